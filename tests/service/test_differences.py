"""Paired differences: against an own jackknife, exact zeros, ties by Holm, and why there is none."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from zooaudit.contract import PARTS, AuditRequest, Comparison, Deviations, PartDeviations, Report, ScoreDeviations

from benchmarks.coverage import gaussian, scores_of, truths_of
from service.comparison import compare
from service.differences import holm
from tests.fakes import report_of
from worker.measure.jackknife import half_width

IMAGES = (62, 63) * 16
METHOD: dict[str, Any] = {"dataset": "synthetic", "num_images": 2000, "translations_px": [1, 2], "rotations_deg": [90]}


def scored(model: str, channel: float, deviations: np.ndarray | None = None, **request: Any) -> Report:
    """The report of a model whose channel scores are all ``channel``; at Final as many images keep their class."""
    report = report_of(AuditRequest(model=f"timm/{model}", **(METHOD | request)))
    values = {"channel": channel, "layer": channel, "reason": None, "layer_held_out": channel}
    parts = {
        name: part.model_copy(
            update={
                kind: getattr(part, kind).model_copy(
                    update=values | ({"top1_agreement": channel} if name == "Final" else {})
                )
                for kind in ("translation", "rotation")
            }
        )
        for name, part in report.parts.items()
    }
    kept = None if deviations is None else deviations_of(deviations)
    return report.model_copy(update={"parts": parts, "deviations": kept})


def deviations_of(values: np.ndarray) -> Deviations:
    whole = tuple(values.tolist())
    late = (None,) * 8 + whole[8:]
    fields = {"channel": whole, "layer": late, "layer_held_out": late}
    return Deviations(
        images=IMAGES,
        parts={
            name: PartDeviations(
                **dict.fromkeys(
                    ("translation", "rotation"),
                    ScoreDeviations(**fields, top1_agreement=whole if name == "Final" else None),
                )
            )
            for name in PARTS
        },
    )


def by_hand(a: np.ndarray, b: np.ndarray, difference: float) -> tuple[float, float]:
    """Half of the 95 % interval, and p, by the formulas of Busing, Meijer and van der Leeden (1999)."""
    images = np.array(IMAGES[-len(a) :], dtype=float)
    h = images.sum() / images
    pseudo_values = -(h - 1) * (a - b)
    centre = np.average(pseudo_values, weights=1 / h)
    error = np.sqrt(((pseudo_values - centre) ** 2 / h).sum() / (len(a) - 1))
    return stats.t.ppf(0.975, len(a) - 1) * error, 2 * stats.t.sf(abs(difference) / error, len(a) - 1)


@pytest.fixture
def deviations() -> np.ndarray:
    return np.random.default_rng(0).normal(scale=0.001, size=(4, 32))


def test_a_difference_and_its_interval_are_those_of_an_own_jackknife(deviations: np.ndarray) -> None:
    a, b = deviations[:2]
    found = compare([scored("base", 0.5, b), scored("other", 0.52, a)]).differences
    assert found is not None
    (audit,) = found.audits
    half, p_value = by_hand(a, b, 0.02)
    late = by_hand(a[8:], b[8:], 0.02)
    for name, part in audit.parts.items():
        for scores in (part.translation, part.rotation):
            assert scores.channel.value == pytest.approx(0.02)
            assert scores.channel.interval == pytest.approx((0.02 - half, 0.02 + half))
            assert scores.channel.p_value == scores.channel.p_adjusted == pytest.approx(p_value)
            assert scores.channel.differs is bool(p_value < 0.05)
            assert scores.layer_held_out.interval == pytest.approx((0.02 - late[0], 0.02 + late[0]))
            assert (scores.top1_agreement is not None) is (name == "Final")


def test_the_pairing_takes_out_what_two_models_share(deviations: np.ndarray) -> None:
    shared, own = deviations[0], 0.01 * deviations[1]
    found = compare([scored("base", 0.5, shared), scored("other", 0.501, shared + own)]).differences
    assert found is not None
    score = found.audits[0].parts["Late"].rotation.channel
    half_alone, _ = by_hand(shared, np.zeros(32), 0.5)
    assert score.interval is not None
    assert score.interval[1] - score.interval[0] < 0.05 * 2 * half_alone
    assert score.differs


def test_another_repetition_of_one_audit_differs_by_exactly_nothing(deviations: np.ndarray) -> None:
    found = compare([scored("m", 0.5, deviations[0]), scored("m", 0.5, deviations[0], repetition=1)]).differences
    assert found is not None
    score = found.audits[0].parts["Late"].translation.channel
    assert (score.value, score.interval, score.p_value, score.differs) == (0.0, (0.0, 0.0), 1.0, False)


def test_what_rounding_moves_is_no_difference(deviations: np.ndarray) -> None:
    nudged = deviations[0] + 1e-9 * deviations[1]
    found = compare([scored("m", 0.5, deviations[0]), scored("m", 0.500001, nudged, repetition=1)]).differences
    assert found is not None
    assert found.audits[0].parts["Late"].translation.channel.differs is False


def test_over_many_audits_p_is_adjusted_by_holm(deviations: np.ndarray) -> None:
    steps = (0.0, 0.0005, 0.001, 0.03)
    reports = [scored(f"m{n}", 0.5 + step, deviations[n]) for n, step in enumerate(steps)]
    found = compare(reports, None, reports[0].id).differences
    assert found is not None
    scores = [audit.parts["Pool"].rotation.channel for audit in found.audits]
    p_values = [by_hand(deviations[n], deviations[0], steps[n])[1] for n in (1, 2, 3)]
    assert [score.p_value for score in scores] == pytest.approx(p_values)
    assert [score.p_adjusted for score in scores] == pytest.approx(holm(p_values))
    assert [score.differs for score in scores] == [value < 0.05 for value in holm(p_values)]
    assert scores[2].differs
    assert not scores[0].differs


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        # R: p.adjust(p, "holm")
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),
        ([0.04, 0.01], [0.04, 0.02]),
        ([0.9, 0.6], [1.0, 1.0]),
        ([], []),
    ],
)
def test_holm(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)


def test_without_deviations_on_the_same_images_there_is_a_reason(deviations: np.ndarray) -> None:
    old, new = scored("old", 0.4), scored("new", 0.5, deviations[0])
    found = compare([old, new]).differences
    assert found is not None
    score = found.audits[0].parts["Late"].rotation.layer
    assert score.value == pytest.approx(0.1)
    assert (score.interval, score.p_value, score.differs) == (None, None, None)
    assert f"The report of {old.id} kept no deviations" in str(score.reason)

    fewer = new.model_copy(
        update={"deviations": deviations_of(deviations[1]).model_copy(update={"images": (62,) * 32})}
    )
    other = scored("other", 0.4, deviations[0])
    found = compare([other, fewer]).differences
    assert found is not None
    assert "did not measure the same images" in str(found.audits[0].parts["Late"].rotation.channel.reason)


def test_a_transform_without_deviations_has_a_difference_without_an_interval(deviations: np.ndarray) -> None:
    # An imported report may lack those of a transform that its parts have.
    reports = [scored(f"m{n}", 0.5, deviations[n], reflections=["horizontal"]) for n in range(2)]
    found = compare(reports).differences
    assert found is not None
    late = found.audits[0].parts["Late"]
    assert late.rotation.channel.interval is not None
    assert late.reflection is not None
    assert (late.reflection.channel.interval, late.reflection.channel.differs) == (None, None)
    assert late.reflection.channel.reason == "One of the two scores has no deviations by group."


def test_a_score_that_an_audit_lacks_has_a_reason_and_no_difference(deviations: np.ndarray) -> None:
    whole, other = (scored(f"m{n}", 0.5, deviations[n]) for n in range(2))
    late = whole.parts["Late"]
    unscored = late.rotation.model_copy(update={"layer_held_out": None})
    lacking = whole.model_copy(
        update={"parts": whole.parts | {"Late": late.model_copy(update={"rotation": unscored})}, "id": "0" * 32}
    )
    also_lacking = lacking.model_copy(update={"id": "1" * 32})
    found = compare([lacking, other, also_lacking]).differences
    assert found is not None
    one, both = (audit.parts["Late"].rotation.layer_held_out for audit in found.audits)
    assert (one.value, one.reason) == (None, "Only one of the two audits has such a score.")
    assert (both.value, both.reason) == (None, "Neither of the two audits has such a score.")


async def test_the_reference_is_one_of_the_audits(http: Any, store_report: Any, deviations: np.ndarray) -> None:
    reports = [scored(f"m{n}", 0.5 + n / 100, deviations[n]) for n in range(3)]
    for report in reports:
        store_report(report)
    identifiers = [report.id for report in reports]
    query = {"audits": ",".join(identifiers)}
    first = Comparison.model_validate_json((await http.get("/comparison", params=query)).content)
    assert first.differences is not None
    assert first.differences.reference == identifiers[0]
    answer = await http.get("/comparison", params=query | {"reference": identifiers[2]})
    chosen = Comparison.model_validate_json(answer.content).differences
    assert chosen is not None
    assert [audit.id for audit in chosen.audits] == identifiers[:2]
    assert chosen.audits[0].parts["Early"].rotation.channel.value == pytest.approx(-0.02)
    refused = await http.get("/comparison", params=query | {"reference": "../x"})
    assert refused.status_code == 422
    assert "'../x' is not one of the audits" in refused.text


def test_the_intervals_of_differences_cover_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    population = gaussian(generator, 0.0)
    truths = truths_of(population)
    true = truths[0].channel - truths[1].channel
    held = 0
    for _ in range(200):
        chosen = torch.randint(len(population[0][0]), (64,), generator=generator)
        (first, second), groups = scores_of(population, chosen)
        half = half_width(first.deviations[0] - second.deviations[0], groups)
        held += abs(first.channel - second.channel - true) <= half
    # 95 % of 200, and three standard errors.
    assert 180 <= held <= 199
