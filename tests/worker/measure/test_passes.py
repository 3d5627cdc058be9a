"""Passes over the images that end when every part is known well enough."""

import pytest
from zooaudit.contract import AuditRequest, request_of

from tests.worker.small_audits import SMALL, audit, intervals
from worker.audit import prepare_audit
from worker.measure.measurement import Measurement
from worker.measure.passes import GROWTH_WITH_TOLERANCE, measure_pass
from worker.measure.representation_sums import RepresentationSums
from worker.measure.transforms import Transform


def test_a_tolerance_ends_an_audit_early_and_keeps_its_promise() -> None:
    wide = audit({"num_images": 800, "tolerance": 0.3})
    assert wide.images.stopped == "tolerance"
    assert 16 <= wide.images.count < 600
    assert wide.images.requested == 800
    part_widths = [
        interval[1] - interval[0]
        for part in wide.parts.values()
        for kind in (part.translation, part.rotation)
        for interval in (kind.channel_interval, kind.layer_interval)
        if interval
    ]
    assert len(part_widths) == 20
    assert max(part_widths) <= 0.3
    # It did not go on for much longer than it had to.
    fewer = audit({"num_images": 800, "tolerance": 0.3 * GROWTH_WITH_TOLERANCE})
    assert fewer.images.count <= wide.images.count
    again = audit({"num_images": 800, "tolerance": 0.3}, batch_size=16, memory_gib=0.01)
    assert again.images.stopped == "tolerance"
    assert all(high - low <= 0.3 for low, _, high in intervals(again.model_copy(update={"blocks": ()})))
    assert request_of(wide).tolerance == 0.3
    assert request_of(wide).num_images == 800


def test_a_tolerance_that_cannot_be_met_uses_all_images() -> None:
    report = audit({"tolerance": 1e-4})
    assert report.images.stopped == "num_images"
    assert report.images.count == 24


def test_a_pass_that_overflows_on_tensor_cores_is_measured_again_without_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = audit({})
    monkeypatch.setattr(Measurement, "overflowed", lambda measured: measured._subject.tensor_cores)
    report = audit({})
    assert report.blocks == expected.blocks
    assert report.timing.forward_images == expected.timing.forward_images
    assert [record.getMessage() for record in caplog.records] == [
        "some maps are too large for tensor cores; the pass is measured again without them"
    ]


def test_a_pass_whose_transforms_are_all_given_away_has_nothing_to_measure_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared = prepare_audit(AuditRequest(**{**SMALL, "num_images": 8}), batch_size=4, decode_processes=0)
    transforms = prepared.experiment.transforms
    monkeypatch.setattr(RepresentationSums, "overflowed", lambda *_arguments: True)
    looks: list[int] = []

    def given_away() -> tuple[Transform, ...]:
        looks.append(1)
        return transforms if len(looks) > 1 else ()

    scores = measure_pass(prepared.experiment, prepared.subject, transforms, 4, given_away=given_away)
    assert (scores.results, scores.used_tensor_cores) == ({}, None)
    assert scores.images > 0
    # It may begin anew for want of memory, too, and find nothing left.
    scores = measure_pass(prepared.experiment, prepared.subject, transforms, 4, given_away=lambda: transforms)
    assert (scores.results, scores.reference_spreads, scores.images) == ({}, [], 0)
