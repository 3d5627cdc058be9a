"""Whole audits, with what makes their numbers worth something: intervals, tolerance, baseline, borders and so on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from zooaudit.contract import BORDERS, AuditRequest, Progress, Report, request_of

from worker import zoo
from worker.audit import run
from worker.measure import scores
from worker.measure.passes import GROWTH_WITH_TOLERANCE
from worker.measure.similarity import Equivariance

SMALL: dict[str, Any] = {
    "model": "timm/test_resnet.r160_in1k",
    "weights": "untrained",
    "dataset": "synthetic",
    "num_images": 24,
    "translations_px": [5, 16],
    "rotations_deg": [90],
}


def audit(request: dict[str, Any] | None = None, **how: Any) -> Report:
    return run(AuditRequest(**{**SMALL, **(request or {})}), **how)


def intervals(report: Report) -> list[tuple[float, float, float]]:
    """(low, score, high) of every score that has an interval."""
    with_intervals = []
    for level in (*report.parts.values(), *report.blocks):
        for score in (level.translation, level.rotation):
            for value, interval in ((score.channel, score.channel_interval), (score.layer, score.layer_interval)):
                if interval is not None:
                    assert value is not None
                    with_intervals.append((interval[0], value, interval[1]))
    return with_intervals


@pytest.fixture(scope="module")
def whole() -> Report:
    return audit({"similarity": "both", "border": "all"})


def test_every_part_and_block_score_has_an_interval_around_it(whole: Report) -> None:
    with_intervals = intervals(whole)
    assert len(with_intervals) == 4 * (5 + len(whole.blocks))
    assert all(0 <= low <= value <= high <= 1 for low, value, high in with_intervals)
    assert sum(high > low for low, _, high in with_intervals) == len(with_intervals)
    assert whole.images.groups == 12
    assert intervals(audit({"num_images": 4})) == []


def test_more_images_narrow_the_intervals() -> None:
    few, many = (np.mean([high - low for low, _, high in intervals(audit({"num_images": n}))]) for n in (16, 96))
    assert many < 0.7 * few


def test_intervals_do_not_depend_on_passes(whole: Report) -> None:
    split = audit({"similarity": "both", "border": "all"}, memory_gib=0.01, batch_size=16)
    assert split.timing.forward_images > whole.timing.forward_images
    np.testing.assert_allclose(intervals(split), intervals(whole), atol=1e-5)


def test_an_interval_holds_the_score_of_many_more_images() -> None:
    large = audit({"num_images": 160, "seed": 1})
    inside = []
    for seed in (2, 3, 4):
        small = audit({"num_images": 24, "seed": seed})
        for (low, _, high), (_, value, _) in zip(intervals(small), intervals(large), strict=True):
            inside.append(low <= value <= high)
    # The scores of an audit go together, so this is far from exact; benchmarks/coverage.py is.
    assert np.mean(inside) > 0.8


def test_all_borders_are_what_each_gives_alone(whole: Report) -> None:
    assert whole.borders is not None
    assert tuple(whole.borders) == BORDERS
    assert whole.parts == whole.borders["crop"]
    for border in BORDERS:
        alone = audit({"border": border})
        for name, part in alone.parts.items():
            mine = whole.borders[border][name]
            assert mine.translation.channel == pytest.approx(part.translation.channel, abs=1e-9)
            assert mine.translation.layer_interval == pytest.approx(part.translation.layer_interval, abs=1e-9)
            assert mine.rotation == part.rotation
    assert request_of(whole).border == "all"


def test_both_similarities_are_what_each_gives_alone(whole: Report) -> None:
    cosine = audit({"similarity": "cosine"})
    assert whole.cosine is not None
    for name, part in cosine.parts.items():
        for transform in ("translation", "rotation"):
            mine, theirs = getattr(whole.cosine.parts[name], transform), getattr(part, transform)
            assert (mine.channel, mine.layer) == pytest.approx((theirs.channel, theirs.layer), abs=1e-9)
            assert mine.channel_interval == pytest.approx(theirs.channel_interval, abs=1e-9)
    assert cosine.cosine is None
    assert audit().parts["Late"].rotation.channel == pytest.approx(whole.parts["Late"].rotation.channel, abs=1e-9)


def test_activation_is_a_rank_correlation_with_the_channels(whole: Report) -> None:
    checks = [block.activation for block in whole.blocks]
    assert all(check is not None for check in checks)
    assert any(check.rotation.correlation != check.rotation.cosine for check in checks if check)
    assert whole.cosine is not None
    blocks = [block for block in whole.blocks if block.part not in ("Pool", "Final")]
    scored = [block.rotation.channel for block in blocks]
    model = zoo.load(SMALL["model"], "untrained", lambda _progress: None)
    from tests.worker import reference
    from worker.images.synthetic import dead_leaves

    canvas = reference.canvases([dead_leaves(0, i) for i in range(24)], model.preprocessing, whole.method.canvas_size)
    maps = reference.feature_maps(
        model.module.double(),
        whole.model_dump(mode="json")["blocks"],
        "fc",
        reference.transformed(canvas, whole.model.input_size, "crop"),
    )
    magnitude = [np.abs(maps[f"{block.part}:{block.name}"].mean((0, 2, 3))).mean() for block in blocks]
    assert whole.cosine.activation.rotation.correlation == pytest.approx(spearmanr(magnitude, scored).statistic)


def test_aligned_means_are_over_whole_shifts_only() -> None:
    report = audit({"translations_px": [5, 8, 16, 32]})
    assert report.model.input_size == 160
    for block in report.blocks:
        rows = [
            row
            for row in block.translation.by_transform
            if block.height == 1 or row.shift_px * block.height % report.model.input_size == 0
        ]
        aligned = block.translation.aligned
        assert aligned is not None
        assert aligned.shifts == len(rows)
        if rows:
            assert aligned.channel == pytest.approx(np.mean([row.channel for row in rows]))
        else:
            assert aligned.channel is None
            assert "whole" in (aligned.reason or "")
    late = report.parts["Late"].translation.aligned
    blocks = [block.translation.aligned for block in report.blocks if block.part == "Late"]
    assert late is not None
    assert late.shifts == sum(one.shifts for one in blocks if one)
    assert late.layer == pytest.approx(np.mean([one.layer for one in blocks if one and one.layer is not None]))


def test_a_tolerance_ends_an_audit_early_and_keeps_its_promise() -> None:
    wide = audit({"num_images": 2000, "tolerance": 0.2})
    assert wide.images.stopped == "tolerance"
    assert 16 <= wide.images.count < 1000
    assert wide.images.requested == 2000
    part_widths = [
        interval[1] - interval[0]
        for part in wide.parts.values()
        for score in (part.translation, part.rotation)
        for interval in (score.channel_interval, score.layer_interval)
        if interval
    ]
    assert len(part_widths) == 20
    assert max(part_widths) <= 0.2
    # It did not go on for much longer than it had to.
    fewer = audit({"num_images": 2000, "tolerance": 0.2 * GROWTH_WITH_TOLERANCE})
    assert fewer.images.count <= wide.images.count
    again = audit({"num_images": 2000, "tolerance": 0.2}, batch_size=16, memory_gib=0.01)
    assert again.images.stopped == "tolerance"
    assert all(high - low <= 0.2 for low, _, high in intervals(again.model_copy(update={"blocks": ()})))
    assert request_of(wide).tolerance == 0.2
    assert request_of(wide).num_images == 2000


def test_a_tolerance_that_cannot_be_met_uses_all_images() -> None:
    report = audit({"tolerance": 1e-4})
    assert report.images.stopped == "num_images"
    assert report.images.count == 24


def test_the_baseline_is_the_untrained_architecture_on_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    load = zoo.load

    def stand_in(name: str, _weights: str, on_progress: Any, **_more: Any) -> zoo.LoadedModel:
        # No checkpoint can be had here: another initialisation stands for what was trained.
        other = load(name, "untrained", on_progress)
        return replace(
            other, module=other.initialised(99), weights=other.weights.model_copy(update={"kind": "pretrained"})
        )

    monkeypatch.setattr(zoo, "load", stand_in)
    report = audit({"weights": "pretrained", "baseline": True, "baseline_seeds": 2})
    assert report.baseline is not None
    assert report.baseline.seeds == (0, 1)
    monkeypatch.undo()
    alone = [run(AuditRequest(**SMALL)), None]
    late = report.baseline.parts["Late"].rotation.layer
    assert late.pretrained.value == report.parts["Late"].rotation.layer
    assert late.pretrained.interval == report.parts["Late"].rotation.layer_interval
    assert late.by_seed[0] == pytest.approx(alone[0].parts["Late"].rotation.layer, abs=1e-9)
    assert late.untrained.value == pytest.approx(np.mean(late.by_seed))
    assert late.difference.value == pytest.approx(late.pretrained.value - late.untrained.value)
    assert late.difference.interval is not None
    low, high = late.difference.interval
    assert -1 <= low < late.difference.value < high <= 1
    asked = {**SMALL, "weights": "pretrained", "baseline": True, "baseline_seeds": 2}
    assert request_of(report) == AuditRequest(**asked)


def test_a_model_against_itself_has_learned_nothing_for_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    load = zoo.load
    monkeypatch.setattr(zoo, "load", lambda name, _weights, on_progress, **_: load(name, "untrained", on_progress))
    report = audit({"weights": "pretrained", "baseline": True})
    assert report.baseline is not None
    for part in report.baseline.parts.values():
        assert part.rotation.channel.difference.value == 0
        assert part.rotation.channel.difference.interval == pytest.approx((0, 0), abs=1e-9)


def test_provisional_scores_come_while_it_runs_and_end_near_the_final_ones() -> None:
    seen: list[Progress] = []
    report = audit({"num_images": 40}, batch_size=8, on_progress=seen.append)
    provisional = [progress.provisional for progress in seen if progress.provisional]
    # Four images to a piece, and five pieces before there is an interval.
    assert {one.images for one in provisional} == {24}
    last = provisional[-1].parts["Early"].translation
    assert last.channel == pytest.approx(report.parts["Early"].translation.channel, abs=0.05)
    assert last.channel_interval is not None


def test_images_are_measured_in_random_order() -> None:
    from worker.images.dataset import open_dataset

    chosen = open_dataset("synthetic", {}, 100, 7)
    order = chosen.shuffled()
    assert order == chosen.shuffled()
    assert order != chosen.names == sorted(order)
    assert order[:10] != open_dataset("synthetic", {}, 100, 8).shuffled()[:10]


def test_where_nothing_varies_there_is_neither_score_nor_interval() -> None:
    report = audit({"model": "timm/mixer_s16_224", "num_images": 8, "translations_px": [16], "rotations_deg": []})
    final = report.parts["Final"].translation
    assert (final.channel, final.channel_interval, final.layer_interval) == (None, None, None)
    assert final.reason
    assert final.aligned is not None
    assert final.aligned.reason


def test_means_leave_out_what_could_not_be_measured() -> None:
    known = Equivariance(0.5, 0.75, deviations=np.ones((2, 5)))
    mean = scores.mean([known, Equivariance(None, None, "dead")], "nothing")
    assert (mean.channel, mean.layer, mean.reason) == (0.5, 0.75, None)
    assert scores.mean([], "nothing").reason == "nothing"
