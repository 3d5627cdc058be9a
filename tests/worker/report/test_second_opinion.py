"""What a report says by the measures of others, from whole audits of a small model."""

from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor
from zooaudit.contract import GENERATORS, AuditRequest, Magnitude, Report, SecondOpinion, forward_images_of, request_of

from tests.worker.small_audits import SMALL, audit
from worker import zoo
from worker.measure.probes.deformation import DeformationSums

PROBED: dict[str, Any] = {
    "num_images": 12,
    "deformation": {"displacements_px": [0.5, 2]},
    "local": True,
    "consistency_draws": 2,
    "variance": True,
    "reflections": ["horizontal"],
    "warps": [{"kind": "rotation", "amounts": [20]}],
}


@pytest.fixture(scope="module")
def whole() -> Report:
    return audit(PROBED)


def numbers(opinion: SecondOpinion) -> dict[str, float | None]:
    """All numbers of one opinion, by name."""
    rows = {
        f"{name} {row.displacement_px}": getattr(row, name)
        for row in opinion.deformation
        for name in ("deformation", "noise", "ratio")
    }
    magnitudes = {**opinion.local_error, **{f"variance {kind}": each for kind, each in opinion.variance.items()}}
    return {**rows, **{name: each.value for name, each in magnitudes.items()}}


def opinion_of(report: Report, part: str) -> SecondOpinion:
    found = report.parts[part].second_opinion  # type: ignore[index]
    assert found is not None
    return found


def test_a_part_is_the_mean_of_its_blocks(whole: Report) -> None:
    for part in ("Early", "Middle", "Late", "Pool", "Final"):
        blocks = [
            numbers(block.second_opinion) for block in whole.blocks if block.part == part and block.second_opinion
        ]
        assert len(blocks) == whole.parts[part].blocks  # type: ignore[index]
        for name, value in numbers(opinion_of(whole, part)).items():
            known = [block[name] for block in blocks if block[name] is not None]
            assert value == pytest.approx(fmean(known)), name  # type: ignore[type-var]


def test_each_has_what_was_asked_for_and_an_interval_around_it(whole: Report) -> None:
    late = opinion_of(whole, "Late")
    assert [row.displacement_px for row in late.deformation] == [0.5, 2.0]
    assert late.deformation[1].gradient == pytest.approx(4 * late.deformation[0].gradient)
    assert tuple(late.local_error) == GENERATORS
    assert {*late.variance} == {"translation", "rotation", "reflection", "warp_rotation"}
    magnitudes: list[Magnitude] = [*late.local_error.values(), *late.variance.values()]
    intervals = [(each.value, each.interval) for each in magnitudes]
    intervals += [(row.ratio, row.ratio_interval) for row in late.deformation]
    for value, interval in intervals:
        assert value is not None
        assert interval is not None
        assert interval[0] < value < interval[1]
    assert whole.consistency is not None
    assert (whole.consistency.draws, whole.consistency.published) == (2, None)
    assert whole.consistency.offset_px == whole.method.canvas_size - whole.model.input_size >= 32


def test_the_report_counts_the_views_that_its_cost_foretold_and_names_its_request(whole: Report) -> None:
    assert whole.timing.forward_images == forward_images_of(request_of(whole))
    assert request_of(whole) == AuditRequest(**{**SMALL, **PROBED})
    assert Report.model_validate_json(whole.model_dump_json()) == whole


def test_the_batch_size_changes_nothing(whole: Report) -> None:
    other = audit(PROBED, batch_size=5)
    for one, again in zip(whole.blocks, other.blocks, strict=True):
        assert one.second_opinion is not None
        assert again.second_opinion is not None
        assert numbers(one.second_opinion) == pytest.approx(numbers(again.second_opinion), abs=1e-5, rel=1e-5)


def test_out_of_memory_halves_the_batch_of_a_probe_and_counts_no_image_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    see = DeformationSums.see
    sizes: list[int] = []

    def short_of_memory(self: DeformationSums, canvas: Tensor, *rest: Any) -> None:
        sizes.append(len(canvas))
        if len(canvas) > 4:
            raise torch.OutOfMemoryError
        see(self, canvas, *rest)

    asked = {"num_images": 12, "translations_px": [], "deformation": {"displacements_px": [2]}}
    exact = audit(asked, batch_size=8)
    monkeypatch.setattr(DeformationSums, "see", short_of_memory)
    report = audit(asked, batch_size=8)
    assert sizes == [8, 4, 4, 4]
    assert report.timing.forward_images == exact.timing.forward_images == 12 * (1 + 1 + 3)
    assert numbers(opinion_of(report, "Late")) == pytest.approx(numbers(opinion_of(exact, "Late")), rel=1e-5)


def test_the_baseline_says_what_the_untrained_architecture_does(monkeypatch: pytest.MonkeyPatch) -> None:
    load = zoo.load
    monkeypatch.setattr(zoo, "load", lambda name, _weights, on_progress, **_: load(name, "untrained", on_progress))
    report = audit({**PROBED, "weights": "pretrained", "baseline": True, "num_images": 8, "variance": False})
    assert report.baseline is not None
    assert report.baseline.second_opinion is not None
    for part, untrained in report.baseline.second_opinion.items():
        assert numbers(untrained) == pytest.approx(numbers(opinion_of(report, part)), rel=1e-9)
    assert report.baseline.consistency == report.consistency
