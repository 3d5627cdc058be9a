"""Scores and their intervals in whole audits: how sure they are, and what they are means of."""

import numpy as np
import pytest
from zooaudit.contract import Report

from tests.worker.small_audits import audit, intervals
from worker.measure import scores
from worker.measure.similarity import Equivariance


def test_every_part_and_block_score_has_an_interval_around_it(whole: Report) -> None:
    found = intervals(whole)
    assert len(found) == 4 * (5 + len(whole.blocks))
    assert all(0 <= low <= value <= high <= 1 for low, value, high in found)
    assert sum(high > low for low, _, high in found) == len(found)
    assert whole.images.groups == 24
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


def test_where_nothing_varies_there_is_neither_score_nor_interval() -> None:
    report = audit({"model": "timm/mixer_s16_224", "num_images": 8, "translations_px": [16], "rotations_deg": []})
    final = report.parts["Final"].translation
    assert (final.channel, final.channel_interval, final.layer_interval) == (None, None, None)
    assert final.reason
    assert final.aligned is not None
    assert final.aligned.reason


def test_means_leave_out_what_could_not_be_measured() -> None:
    known = Equivariance(0.5, 0.75, deviations=np.ones((2, 5)))
    found = scores.mean([known, Equivariance(None, None, "dead")], "nothing")
    assert (found.channel, found.layer, found.reason) == (0.5, 0.75, None)
    assert scores.mean([], "nothing").reason == "nothing"
