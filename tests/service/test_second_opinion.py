"""Whether measures agree: by SciPy's own Spearman, with their signs, and null with a reason where there is no rho."""

import random
import time
from itertools import combinations

import pytest
from scipy import stats
from zooaudit.contract import (
    GENERATORS,
    PARTS,
    TERMS,
    Aligned,
    AuditRequest,
    Block,
    Consistency,
    DeformationRow,
    Magnitude,
    MeasureAgreement,
    MeasureFigures,
    MeasureMatrix,
    MeasurePair,
    Part,
    Report,
    Score,
    SecondOpinion,
    WarpRow,
    WarpScore,
)

from service.comparison import compare
from service.second_opinion import MEASURES, over_blocks, over_models
from tests.fakes import ASK, is_problem, report_of

DISPLACEMENTS = (1.0, 2.0)


def opinion_of(number: random.Random) -> SecondOpinion:
    def magnitude() -> Magnitude:
        return Magnitude(value=number.random())

    return SecondOpinion(
        deformation=tuple(
            DeformationRow(displacement_px=px, gradient=0.1, deformation=0.2, noise=0.4, ratio=number.random())
            for px in DISPLACEMENTS
        ),
        local_error={generator: magnitude() for generator in GENERATORS},
        variance={"translation": magnitude(), "rotation": magnitude()},
    )


def measured(place: Block | Part, number: random.Random) -> Block | Part:
    """Copy a block or a part, with random values of all measures."""

    def scored(score: Score, **more: object) -> Score:
        return score.model_copy(update={"channel": number.random(), "layer": number.random(), **more})

    aligned = Aligned(channel=number.random(), layer=number.random(), shifts=1)
    return place.model_copy(
        update={
            "translation": scored(place.translation, aligned=aligned),
            "rotation": scored(place.rotation),
            "warp_rotation": scored(WarpScore(channel=0, layer=0, by_transform=())),
            "second_opinion": opinion_of(number),
        }
    )


def audited(seed: int = 0, blocks: int = 9, top1: float | None = None) -> Report:
    """The report of an audit of all measures, with ``blocks`` blocks from Early to Late."""
    number = random.Random(seed)
    report = report_of(AuditRequest(**(ASK | {"model": f"timm/m{seed}"})))
    pattern = report.blocks[0]
    inner = [
        measured(pattern.model_copy(update={"name": f"b{n}", "part": PARTS[3 * n // blocks]}), number)
        for n in range(blocks)
    ]
    ends = [measured(block, number) for block in report.blocks if block.part in ("Pool", "Final")]
    return report.model_copy(
        update={
            "blocks": (*inner, *ends),
            "parts": {name: measured(part, number) for name, part in report.parts.items()},
            "consistency": Consistency(draws=5, offset_px=32, value=number.random()),
            "model": report.model.model_copy(update={"imagenet_top1": top1}),
        }
    )


def pair_of(matrix: MeasureMatrix, *names: str) -> MeasurePair:
    return next(pair for pair in matrix.pairs if {pair.first, pair.second} == set(names))


def value_of(place: Block | Part, name: str) -> float:
    """The value of a measure, looked up once more."""
    kind, _, rest = name.partition(".")
    if name == "translation.aligned":
        return place.translation.aligned.channel
    if kind == "local_error":
        return place.second_opinion.local_error[rest].value
    if kind == "variance":
        return place.second_opinion.variance[rest].value
    if kind == "deformation":
        return sum(row.ratio for row in place.second_opinion.deformation) / len(DISPLACEMENTS)
    return getattr(getattr(place, kind), rest)


def sign_of(name: str) -> int:
    return -1 if name.startswith(("local_error", "variance", "deformation")) else 1


def test_over_the_depth_it_is_scipys_rho_of_the_blocks_without_pool_and_final():
    report = audited()
    (matrix,) = over_blocks(report).matrices
    names = [measure.name for measure in matrix.measures]
    assert {"translation.aligned", "warp_rotation.layer", "deformation.ratio", "variance.rotation"} <= set(names)
    assert len(names) == 7 + 5 + 1 + 2
    assert [(pair.first, pair.second) for pair in matrix.pairs] == list(combinations(names, 2))
    blocks = report.blocks[:9]
    assert {block.part for block in blocks} == {"Early", "Middle", "Late"}
    for pair in matrix.pairs:
        x, y = ([sign_of(name) * value_of(block, name) for block in blocks] for name in (pair.first, pair.second))
        assert pair.rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
        assert pair.n == 9
        assert pair.interval[0] < pair.rho < pair.interval[1]
    assert (matrix.level, matrix.points) == ("blocks", 9)


def test_an_error_that_falls_as_a_score_rises_agrees_with_it():
    report = audited()
    scores = [0.2, 0.4, 0.5, 0.7, 0.9, 0.95]
    blocks = []
    for block, score in zip(report.blocks, scores, strict=False):
        errors = {generator: Magnitude(value=3 * (1 - score)) for generator in GENERATORS}
        rows = tuple(
            DeformationRow(displacement_px=px, gradient=0.1, deformation=1, noise=1, ratio=1 + score)
            for px in DISPLACEMENTS
        )
        opinion = SecondOpinion(local_error=errors, deformation=rows, variance={"rotation": Magnitude(value=1 - score)})
        rotation = block.rotation.model_copy(update={"channel": score, "layer": score})
        blocks.append(block.model_copy(update={"rotation": rotation, "second_opinion": opinion}))
    (matrix,) = over_blocks(report.model_copy(update={"blocks": tuple(blocks)})).matrices
    for name in ("local_error.rotation", "variance.rotation", "rotation.layer"):
        assert pair_of(matrix, "rotation.channel", name).rho == 1
    assert pair_of(matrix, "rotation.channel", "deformation.ratio").rho == -1  # R rises with the score
    assert pair_of(matrix, "local_error.rotation", "variance.rotation").rho == 1
    assert pair_of(matrix, "rotation.channel", "rotation.layer").reason == "A rho of +1 has no interval."
    assert {measure.name for measure in matrix.measures if measure.lower_is_better} == {
        *(f"local_error.{generator}" for generator in GENERATORS),
        "deformation.ratio",
        "variance.rotation",
    }


def test_with_too_few_blocks_or_a_constant_measure_there_is_a_reason_instead():
    (matrix,) = over_blocks(audited(blocks=3)).matrices
    assert {pair.rho for pair in matrix.pairs} == {None}
    assert {pair.reason for pair in matrix.pairs} == {"3 of 3 have both measures; this takes 4."}
    assert matrix.summary == "Over 3 blocks from Early to Late no two measures can be correlated. This takes 4."

    report = audited()
    still = [
        block.model_copy(update={"rotation": block.rotation.model_copy(update={"channel": 0.5 + n * 1e-7})})
        for n, block in enumerate(report.blocks)
    ]
    (matrix,) = over_blocks(report.model_copy(update={"blocks": tuple(still)})).matrices
    pair = pair_of(matrix, "rotation.channel", "translation.layer")
    assert (pair.rho, pair.interval, pair.n) == (None, None, 9)
    assert pair.reason == "Rotation, channel: the same for all 9."


def test_blocks_without_a_value_are_left_out_of_its_pairs_only():
    report = audited()
    lacking = report.blocks[0].model_copy(
        update={"rotation": report.blocks[0].rotation.model_copy(update={"channel": None, "reason": "no maps"})}
    )
    rows = report.blocks[1].second_opinion.deformation
    half = report.blocks[1].second_opinion.model_copy(
        update={"deformation": (rows[0], rows[1].model_copy(update={"ratio": None}))}
    )
    blocks = (lacking, report.blocks[1].model_copy(update={"second_opinion": half}), *report.blocks[2:])
    (matrix,) = over_blocks(report.model_copy(update={"blocks": blocks})).matrices
    assert pair_of(matrix, "rotation.channel", "rotation.layer").n == 8
    assert pair_of(matrix, "translation.channel", "rotation.layer").n == 9
    # A mean over one displacement is no mean over two.
    assert pair_of(matrix, "deformation.ratio", "rotation.layer").n == 8
    assert pair_of(matrix, "deformation.ratio", "rotation.channel").n == 7


def test_ties_share_their_ranks():
    report = audited()
    tied = [
        block.model_copy(update={"rotation": block.rotation.model_copy(update={"channel": round(0.3 * (n // 3), 1)})})
        for n, block in enumerate(report.blocks)
    ]
    (matrix,) = over_blocks(report.model_copy(update={"blocks": tuple(tied)})).matrices
    x, y = ([value_of(block, name) for block in tied[:9]] for name in ("rotation.channel", "rotation.layer"))
    rho = stats.spearmanr(x, y).statistic
    assert pair_of(matrix, "rotation.channel", "rotation.layer").rho == pytest.approx(rho, abs=1e-12)


def test_values_that_rounding_tells_apart_are_ties():
    report = audited()
    nearly = [
        block.model_copy(update={"rotation": block.rotation.model_copy(update={"channel": 1 - n * 4e-7 if n else 0.5})})
        for n, block in enumerate(report.blocks)
    ]
    (matrix,) = over_blocks(report.model_copy(update={"blocks": tuple(nearly)})).matrices
    rho = stats.spearmanr([0.5] + 8 * [1.0], [value_of(block, "rotation.layer") for block in nearly[:9]]).statistic
    assert pair_of(matrix, "rotation.channel", "rotation.layer").rho == pytest.approx(rho, abs=1e-12)


def test_a_mean_over_some_of_the_warps_does_not_count():
    report = audited()
    rows = [WarpRow(amount=amount, channel=None if amount == 45 else 0.9, layer=0.9) for amount in (45, 90)]
    last = report.blocks[8]
    partial = last.model_copy(update={"warp_rotation": last.warp_rotation.model_copy(update={"by_transform": rows})})
    blocks = (*report.blocks[:8], partial, *report.blocks[9:])
    (matrix,) = over_blocks(report.model_copy(update={"blocks": blocks})).matrices
    assert pair_of(matrix, "warp_rotation.channel", "rotation.channel").n == 8


def test_consistencies_over_unlike_offsets_are_not_one_quantity():
    reports = [audited(seed, top1=70 + seed) for seed in range(5)]
    wider = reports[0].consistency.model_copy(update={"offset_px": 98})
    agreement = over_models(compare([reports[0].model_copy(update={"consistency": wider}), *reports[1:]]))
    assert not any(measure.name == "consistency" for matrix in agreement.matrices for measure in matrix.measures)
    assert "Consistency is left out: the windows are up to 32 px and 98 px apart" in agreement.notes[-1]


def test_an_old_report_has_the_scores_that_it_has():
    (matrix,) = over_blocks(report_of(AuditRequest(**ASK))).matrices
    assert [measure.name for measure in matrix.measures] == [
        *("translation.channel", "translation.layer", "rotation.channel", "rotation.layer")
    ]


def test_over_models_there_is_a_matrix_for_the_depth_and_each_part():
    reports = [audited(seed, top1=70 + seed) for seed in range(8)]
    agreement = over_models(compare(reports))
    assert [matrix.level for matrix in agreement.matrices] == ["depth", *PARTS]
    assert {matrix.points for matrix in agreement.matrices} == {8}
    assert agreement.audits == tuple(report.id for report in reports)
    for matrix in agreement.matrices:
        parts = ("Early", "Middle", "Late") if matrix.level == "depth" else (matrix.level,)
        values = {
            name: [sum(value_of(report.parts[part], name) for part in parts) / len(parts) for report in reports]
            for name in ("warp_rotation.channel", "local_error.shear")
        }
        values["consistency"] = [report.consistency.value for report in reports]
        values["imagenet_top1"] = [report.model.imagenet_top1 for report in reports]
        for first, second in combinations(values, 2):
            x, y = ([sign_of(name) * value for value in values[name]] for name in (first, second))
            assert pair_of(matrix, first, second).rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert any("not independent" in note for note in agreement.notes)


def test_a_model_without_a_part_has_no_mean_over_the_depth():
    reports = [audited(seed, top1=70 + seed) for seed in range(5)]
    parts = {name: part for name, part in reports[0].parts.items() if name != "Late"}
    reports[0] = reports[0].model_copy(update={"parts": parts})
    agreement = over_models(compare(reports))
    n = {matrix.level: pair_of(matrix, "rotation.channel", "rotation.layer").n for matrix in agreement.matrices}
    assert n == {"depth": 4, "Early": 5, "Middle": 5, "Late": 4, "Pool": 5, "Final": 5}


def test_the_summary_counts_the_pairs_and_names_the_ends():
    (matrix,) = over_blocks(audited(blocks=12)).matrices
    known = [pair for pair in matrix.pairs if pair.rho is not None]
    agree = sum(pair.interval[0] > 0 for pair in known)
    disagree = sum(pair.interval[1] < 0 for pair in known)
    start = (
        f"Over 12 blocks from Early to Late, {len(known)} pairs of measures: {agree} agree (interval above 0, or the "
    )
    assert matrix.summary.startswith(
        f"{start}very same order), {disagree} disagree (below 0, or the opposite order), "
        f"{len(known) - agree - disagree} stay open."
    )
    labels = {measure.name: measure.label for measure in matrix.measures}
    scores = ("translation", "rotation", "reflection", "warp_")
    others = [
        pair
        for pair in known
        if pair.first.split(".")[0] != pair.second.split(".")[0] or not pair.first.startswith(scores)
    ]
    best, worst = (choose(others, key=lambda pair: pair.rho) for choose in (max, min))
    assert matrix.summary.endswith(
        f" Most alike beside scores of one transform: {labels[best.first]} and {labels[best.second]} "
        f"({best.rho:+.2f}); least: {labels[worst.first]} and {labels[worst.second]} ({worst.rho:+.2f})."
    )


def test_the_summary_of_a_single_perfect_order_claims_no_interval_and_no_likeness_of_two_scores_of_one_transform():
    asked = AuditRequest(model="timm/resnet18.a1_in1k", translations_px=[1], rotations_deg=[])
    block = report_of(asked).blocks[0]
    nothing = dict.fromkeys(("channel", "layer", "channel_interval", "layer_interval"))
    blocks = tuple(
        block.model_copy(
            update={
                "name": str(place),
                "part": "Early",
                "translation": block.translation.model_copy(
                    update={"channel": 0.1 * place, "layer": 0.1 + 0.1 * place}
                ),
                "rotation": block.rotation.model_copy(update=nothing),
            }
        )
        for place in range(1, 7)
    )
    (matrix,) = over_blocks(report_of(asked).model_copy(update={"blocks": blocks})).matrices
    assert [pair.rho for pair in matrix.pairs if {"aligned"}.isdisjoint(pair.second.split("."))] == [1.0]
    assert matrix.summary == (
        "Over 6 blocks from Early to Late, 1 pair of measures: 1 agrees (interval above 0, or the very same order), "
        "0 disagree (below 0, or the opposite order), 0 stay open."
    )


def test_every_measure_is_explained_and_named_once():
    assert {measure.term for measure in MEASURES} <= TERMS.keys()
    for names in ([measure.name for measure in MEASURES], [measure.label for measure in MEASURES]):
        assert len(set(names)) == len(names)


def test_two_hundred_models_of_all_measures_take_seconds():
    reports = [audited(seed, blocks=3, top1=70.0 + seed % 20) for seed in range(200)]
    comparison = compare(reports)
    begun = time.monotonic()
    over_models(comparison)
    assert time.monotonic() - begun < 5


async def test_the_endpoints_of_an_audit(http, store_report):
    report = audited()
    store_report(report)
    path = f"/audit/{report.id}/second-opinion"
    answer = await http.get(path)
    assert MeasureAgreement.model_validate_json(answer.content) == over_blocks(report)
    assert (await http.get(path, headers={"If-None-Match": answer.headers["etag"]})).status_code == 304
    drawn = MeasureFigures.model_validate_json((await http.get(f"{path}/figures")).content)
    assert [trace["type"] for trace in drawn.measures.data].count("heatmap") == 1
    queued = (await http.post("/audit", json=ASK | {"seed": 5})).json()["id"]
    for end in ("second-opinion", "second-opinion/figures"):
        assert is_problem(await http.get(f"/audit/{queued}/{end}"), 409, "not-ready")
        assert is_problem(await http.get(f"/audit/{'0' * 32}/{end}"), 404, "unknown-audit")


async def test_the_endpoints_of_a_comparison(http, store_report):
    reports = [audited(seed, top1=70 + seed) for seed in range(4)]
    for report in reports:
        store_report(report)
    query = {"audits": ",".join(report.id for report in reports), "top1": "80,70,60,50"}
    answer = await http.get("/comparison/second-opinion", params=query)
    agreement = MeasureAgreement.model_validate_json(answer.content)
    assert agreement == over_models(compare(reports, [80, 70, 60, 50]))
    drawn = (await http.get("/comparison/second-opinion/figures", params=query)).json()
    assert [trace["type"] for trace in drawn["measures"]["data"]].count("heatmap") == 6
    wrong = await http.get("/comparison/second-opinion", params={"audits": reports[0].id})
    assert is_problem(wrong, 422, "invalid-request")
