"""Comparisons: which are refused and why, their numbers, and the figures of audits and of comparisons."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats
from zooaudit.contract import AuditRequest, Comparison, Figures, Images, Report

from service.comparison import compare, relate
from tests.fakes import is_problem, report_of

METHOD = {"dataset": "synthetic", "num_images": 8, "translations_px": [1, 2], "rotations_deg": [90]}
NAMES = [f"model{n}" for n in range(12)]


def scored(model: str, channel: float | None = 0.5, top1: float | None = None, **request) -> Report:
    """The report of a model with the accuracy ``top1``. All of its scores are ``channel``."""
    report = report_of(AuditRequest(model=f"timm/{model}", **(METHOD | request)))
    changes = {"channel": channel, "layer": channel, "reason": "made up" if channel is None else None}
    parts = {
        name: part.model_copy(
            update={
                "translation": part.translation.model_copy(update=changes),
                "rotation": part.rotation.model_copy(update=changes),
            }
        )
        for name, part in report.parts.items()
    }
    return report.model_copy(update={"parts": parts, "model": report.model.model_copy(update={"imagenet_top1": top1})})


@pytest.fixture
def stored(store_report):
    """The ids of four models whose reports are stored. The more accurate a model, the more equivariant it is."""
    reports = [scored(f"m{n}", 0.2 * n, 70.0 + n) for n in range(1, 5)]
    for report in reports:
        store_report(report)
    return [report.id for report in reports]


async def test_a_comparison_has_the_audits_in_the_order_asked_for(http, stored):
    order = [stored[2], stored[0], stored[3], stored[1]]
    answer = await http.get("/comparison", params={"audits": ",".join(order)})
    comparison = Comparison.model_validate_json(answer.content)
    assert [audit.id for audit in comparison.audits] == order
    assert [audit.imagenet_top1 for audit in comparison.audits] == [73, 71, 74, 72]
    assert comparison.audits[1].parts["Late"].rotation.channel == 0.2
    assert comparison.method.translations_px == (1, 2)
    assert comparison.accuracy["Pool"].translation.layer.spearman == 1
    assert (await http.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]})).status_code == 304


async def test_accuracies_of_the_request_take_the_place_of_the_zoos(http, stored):
    answer = await http.get("/comparison", params={"audits": ",".join(stored), "top1": "60,,50.5,40"})
    comparison = Comparison.model_validate_json(answer.content)
    assert [audit.imagenet_top1 for audit in comparison.audits] == [60, 72, 50.5, 40]
    assert comparison.accuracy["Pool"].translation.channel.spearman == pytest.approx(-0.8)


@pytest.mark.parametrize(
    ("audits", "top1", "words"),
    [
        ("{0}", None, "2 to 200 audits can be compared, not 1"),
        (",".join(["{0}"] * 201), None, "not 201"),
        ("", None, "not 0"),
        ("{0},../../etc/passwd", None, "'../../etc/passwd' is not an audit's id"),
        ("{0},{1},", None, "'' is not an audit's id"),
        ("{0},{1},{0}", None, "{0} is there twice"),
        ("{0},{1}", "70", "one for each of the 2 audits, not 1"),
        ("{0},{1}", "70,nan", "'nan', of {1}, is not a number from 0 to 100"),
        ("{0},{1}", "-1,7", "'-1', of {0}"),
        ("{0},{1}", "7,100.1", "'100.1', of {1}"),
        ("{0},{1}", "7,1e1", "'1e1', of {1}"),
    ],
)
async def test_a_wrong_query_is_refused_and_says_why(http, stored, audits, top1, words):
    query = {"audits": audits.format(*stored)} | ({} if top1 is None else {"top1": top1})
    for path in ("/comparison", "/comparison/figures", "/comparison/second-opinion"):
        answer = await http.get(path, params=query)
        assert is_problem(answer, 422, "invalid-request")
        assert words.format(*stored) in answer.json()["detail"]
        assert [error["field"] for error in answer.json()["errors"]] == ["audits" if top1 is None else "top1"]


async def test_an_audit_without_a_report_is_named(http, stored):
    unknown = await http.get("/comparison", params={"audits": f"{stored[0]},{'f' * 32}"})
    assert is_problem(unknown, 404, "unknown-audit")
    assert "f" * 32 in unknown.json()["detail"]
    queued = (await http.post("/audit", json={"model": "timm/resnet18.a1_in1k", **METHOD})).json()["id"]
    early = await http.get("/comparison", params={"audits": f"{stored[0]},{queued}"})
    assert is_problem(early, 409, "not-ready")
    assert queued in early.json()["detail"]
    assert is_problem(await http.get(f"/audit/{queued}/figures"), 409, "not-ready")
    assert is_problem(await http.get("/audit/nonsense/figures"), 404, "unknown-audit")


async def test_an_audit_that_was_missing_is_found_once_it_is_there(http, stored, store_report):
    late = scored("late")
    query = {"audits": f"{stored[0]},{late.id}"}
    assert (await http.get("/comparison", params=query)).status_code == 404
    store_report(late)
    assert (await http.get("/comparison", params=query)).status_code == 200


@pytest.mark.parametrize(
    ("request_field", "value", "field"),
    [
        ("similarity", "cosine", "similarity"),
        ("border", "zero", "border"),
        ("translations_px", [1], "translations_px"),
        ("rotations_deg", [], "rotations_deg"),
        ("warps", [{"kind": "rotation", "amounts": [15, 30]}], "warps"),
        ("deformation", {"displacements_px": [0.5, 1]}, "deformation"),
        ("local", True, "local"),
        ("consistency_draws", 5, "consistency_draws"),
        ("variance", True, "variance"),
        ("precision", "bfloat16", "precision"),
        ("dataset", "photos", "dataset"),
        ("num_images", 9, "num_images"),
        ("seed", 1, "seed"),
    ],
)
async def test_audits_of_different_methods_do_not_compare(http, stored, store_report, request_field, value, field):
    odd = scored("odd", **{request_field: value})
    store_report(odd)
    answer = await http.get("/comparison", params={"audits": ",".join([*stored, odd.id])})
    assert is_problem(answer, 422, "methods-differ")
    protocols = [{"field": "protocol", "message": f"1 in 4 audits, 2 in {odd.id} (timm/odd)"}]
    *others, error = answer.json()["errors"]
    assert others == (protocols if odd.protocol == "2" else [])
    assert error["field"] == field
    assert error["message"].endswith(f" in {odd.id} (timm/odd)")
    assert " in 4 audits, " in error["message"]


async def test_long_lists_of_shifts_are_named_as_ranges(http, store_report):
    reports = [scored(f"m{n}", translations_px=[*range(1, 33), *extra]) for n, extra in enumerate(([], [], [64]))]
    for report in reports:
        store_report(report)
    answer = await http.get("/comparison", params={"audits": ",".join(report.id for report in reports)})
    assert f"translations_px is 1-32 in 2 audits, 1-32,64 in {reports[2].id}" in answer.json()["detail"]


def test_other_differences_are_named_too():
    usual, other = scored("usual"), scored("other")
    images: Images = other.images
    for field, changed in {
        "protocol": {"protocol": "2"},
        "tolerance": {"method": other.method.model_copy(update={"tolerance": 0.01})},
        "images.sha256": {"images": images.model_copy(update={"sha256": "1" * 64})},
    }.items():
        with pytest.raises(Exception, match="Scores compare only") as caught:
            compare([usual, other.model_copy(update=changed)])
        assert [error.field for error in caught.value.problem.errors] == [field]


def test_unlike_warps_and_other_measures_are_named_as_they_are_asked_for():
    warps = [{"kind": "rotation", "amounts": [15, 22.5]}, {"kind": "translation", "amounts": [0.5]}]
    usual = scored("usual", warps=warps, deformation={}, local=True)
    other = scored("other", warps=warps[:1], deformation={"cutoff": 5}, variance=True)
    with pytest.raises(Exception, match="Scores compare only") as caught:
        compare([usual, other])
    assert {error.field: error.message.split(" in ")[0] for error in caught.value.problem.errors} == {
        "warps": "rotation:15,22.5 translation:0.5",
        "deformation": "0.5,1,2,4",
        "local": "True",
        "variance": "False",
    }
    assert "0.5,1,2,4:5 in " in str(caught.value.problem.detail)


def test_warps_and_other_measures_stand_side_by_side():
    asked = {"warps": [{"kind": "shear", "amounts": [0.1]}], "deformation": {}, "local": True, "consistency_draws": 5}
    reports = [scored(f"m{n}", 0.1 * n, 70.0 + n, variance=True, **asked) for n in range(1, 6)]
    compared = Comparison.model_validate_json(compare(reports).model_dump_json())
    assert compared.method.transforms == ("translation", "rotation", "warp_shear")
    late = compared.audits[0].parts["Late"]
    assert (late.warp_shear.layer, late.warp_shear.interpolation) == (0.85, 0.95)
    assert late.second_opinion == reports[0].parts["Late"].second_opinion
    assert compared.audits[0].consistency.value == 0.9
    assert compared.accuracy["Late"].warp_shear.layer.reason == "The score is the same for all 5 models."
    assert compared.differences.audits[0].parts["Late"].warp_shear.channel.value == 0


async def test_the_figures_of_a_comparison_have_warps_where_they_were_asked_for(http, stored, store_report):
    asked = {"warps": [{"kind": "scale", "amounts": [0.9, 1.1]}], "deformation": {}, "local": True, "variance": True}
    warped = [scored(name, **asked) for name in ("one", "two")]
    for report in warped:
        store_report(report)
    names = {"parts", "shifts", "agreement", "depth", "accuracy"}
    further = {"warps", "deformations", "local_error", "variance"}
    for audits, more in ((stored, set()), ([report.id for report in warped], further)):
        answer = await http.get("/comparison/figures", params={"audits": ",".join(audits)})
        assert set(answer.json()) == names | more
        Figures.model_validate_json(answer.content)
    shown = (await http.get(f"/audit/{warped[0].id}/figures")).json()
    assert "Warp scale equivariance" in str(shown["warps"])


def test_reflections_are_compared_and_directions_kept_apart():
    mirrors = {"reflections": ["horizontal", "vertical"]}
    reports = [scored(f"m{n}", 0.1 * n, 70.0 + n, **mirrors) for n in range(1, 6)]
    compared = compare(reports)
    assert compared.method.transforms == ("translation", "rotation", "reflection")
    assert compared.audits[0].parts["Late"].reflection.layer == 0.7
    assert compared.accuracy["Late"].reflection.layer.reason == "The score is the same for all 5 models."
    assert compared.differences.audits[0].parts["Late"].reflection.channel.value == 0
    with pytest.raises(Exception, match="Scores compare only") as caught:
        compare([*reports, scored("one", reflections=["vertical"])])
    (error,) = caught.value.problem.errors
    assert (error.field, error.message.partition(" in ")[0]) == ("reflections", "horizontal,vertical")
    with pytest.raises(Exception, match="Scores compare only") as caught:
        compare([scored("diagonal"), scored("right", direction="right"), scored("none")])
    assert [error.field for error in caught.value.problem.errors] == ["protocol", "direction"]


def test_a_report_of_all_borders_and_both_similarities_compares_with_its_main_parts():
    reports = [scored("a"), scored("b", border="all"), scored("c", similarity="both")]
    method = compare(reports).method
    assert (method.border, method.similarity) == ("crop", "correlation")
    assert compare([reports[1], scored("d", border="all")]).method.border == "crop"


def test_spearman_its_interval_and_the_line_are_those_of_the_textbook():
    scores = [0.1, 0.4, 0.2, 0.5, 0.3, 0.6]
    top1 = [60.0, 70.0, 65.0, 75.0, 80.0, 77.0]
    relation = relate(dict(zip(NAMES, scores, strict=False)), dict(zip(NAMES, top1, strict=False)))
    # Ranks 1 4 2 5 3 6 and 1 3 2 4 6 5: the squared differences are 0 1 0 1 9 1.
    rho = 1 - 6 * 12 / (6 * 35)
    assert relation.spearman == pytest.approx(rho)
    half = 1.959964 * math.sqrt((1 + rho**2 / 2) / 3)
    assert relation.interval == pytest.approx((math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)))
    slope, intercept = np.polyfit(top1, scores, 1)
    assert (relation.slope, relation.intercept) == pytest.approx((slope, intercept))
    assert relation.residuals["model4"] == pytest.approx(0.3 - intercept - slope * 80)
    assert sum(relation.residuals.values()) == pytest.approx(0)
    assert relation.models == 6


def test_the_p_value_of_few_models_counts_all_their_pairings():
    scores, top1 = (1, 2, 2, 4, 5), (3, 1, 4, 5, 9)  # with a tie
    sums = [np.dot(stats.rankdata(scores), np.take(stats.rankdata(top1), order)) for order in permutations(range(5))]
    seen = np.dot(stats.rankdata(scores), stats.rankdata(top1))
    expected = 2 * min(np.mean(np.array(sums) >= seen), np.mean(np.array(sums) <= seen))
    relation = relate(dict(zip(NAMES, (s / 10 for s in scores), strict=False)), dict(zip(NAMES, top1, strict=False)))
    assert relation.p_value == pytest.approx(expected)


@pytest.mark.parametrize("models", [12, 29, 30, 100])
def test_the_p_value_is_near_that_of_students_t(models):
    rng = np.random.default_rng(models)
    top1 = rng.normal(size=models)
    scores = np.clip(0.5 + 0.1 * rng.normal(size=models) + 0.04 * top1, 0, 1)
    names = [str(n) for n in range(models)]
    relation = relate(dict(zip(names, scores, strict=True)), dict(zip(names, top1, strict=True)))
    expected = stats.spearmanr(top1, scores)
    assert relation.spearman == pytest.approx(expected.statistic)
    tolerance = 1e-12 if models >= 30 else 0.02
    assert relation.p_value == pytest.approx(expected.pvalue, abs=tolerance)


def test_the_interval_covers_the_true_correlation():
    """Of 400 samples of 40 models with Pearson's r = 0.6, so that Spearman's rho is 6 / pi asin(r / 2)."""
    rng = np.random.default_rng(0)
    truth = 6 / math.pi * math.asin(0.3)
    names = [str(n) for n in range(40)]
    covered = 0
    for _ in range(400):
        x, y = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 40).T
        low, high = relate(dict(zip(names, y, strict=True)), dict(zip(names, x, strict=True))).interval
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize(
    ("scores", "top1", "models", "words"),
    [
        ([0.1, 0.2, 0.3, 0.4], [70, None, 71, None], 2, "2 of 4 audits have both"),
        ([0.1, None, 0.3, 0.4], [70, 72, 71, 73], 3, "3 of 4 audits have both"),
        ([0.5, 0.5, 0.5, 0.5], [70, 72, 71, 73], 4, "The score is the same for all 4"),
        ([0.1, 0.2, 0.3, 0.4], [70, 70, 70, 70], 4, "The top-1 accuracy is the same for all 4"),
    ],
)
def test_what_cannot_be_computed_is_null_and_says_why(scores, top1, models, words):
    relation = relate(dict(zip(NAMES, scores, strict=False)), dict(zip(NAMES, top1, strict=False)))
    assert relation.models == models
    assert (relation.spearman, relation.interval, relation.p_value, relation.slope, relation.residuals) == (
        None,
        None,
        None,
        None,
        {},
    )
    assert words in relation.reason


def test_a_perfect_order_has_no_interval():
    relation = relate(dict(zip(NAMES, [0.4, 0.3, 0.2, 0.1], strict=False)), dict(zip(NAMES, range(4), strict=False)))
    assert (relation.spearman, relation.interval) == (-1, None)
    assert relation.p_value == pytest.approx(2 / 24)
    assert relation.reason


async def test_figures_of_an_audit_and_of_a_comparison(http, stored):
    one = Figures.model_validate_json((await http.get(f"/audit/{stored[0]}/figures")).content)
    assert one.accuracy is None
    assert "No top-1 agreement: it was not measured." in str(one.agreement.layout)
    answer = await http.get("/comparison/figures", params={"audits": ",".join(stored), "score": "layer"})
    several = Figures.model_validate_json(answer.content)
    assert "timm/m1 " in " ".join(trace["name"] + " " for trace in several.accuracy.data if "name" in trace)
    assert (await http.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]})).status_code == 304
