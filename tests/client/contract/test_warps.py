"""Warps and other measures in requests: what they are, what they cost, and how they are written on a line."""

from typing import Any

import pytest
from pydantic import ValidationError
from zooaudit.contract import (
    AuditRequest,
    Deformations,
    Warps,
    audit_id,
    deformation_from,
    deformation_text,
    forward_images_of,
    probe_views,
    protocol_of,
    request_of,
    transforms_in,
    warps_from,
    warps_text,
)

from tests.client.samples import warped_report

MODEL = "timm/resnet50.a1_in1k"
ROTATIONS = {"kind": "rotation", "amounts": [30, 15]}
HALF = {"kind": "translation", "amounts": [0.5]}


@pytest.mark.parametrize(
    "asked",
    [{"warps": [HALF]}, {"deformation": {}}, {"local": True}, {"consistency_draws": 5}, {"variance": True}],
)
def test_each_makes_another_audit_of_the_second_protocol(asked: dict[str, Any]):
    request = AuditRequest(model=MODEL, **asked)
    assert protocol_of(request) == "2"
    assert audit_id(request) != audit_id(AuditRequest(model=MODEL))
    assert AuditRequest.model_validate_json(request.model_dump_json()) == request
    for field in {"warps", "deformation", "local", "consistency_draws", "variance"} - set(asked):
        assert field not in request.model_dump_json()


def test_warps_are_a_set():
    one, other = (AuditRequest(model=MODEL, warps=warps) for warps in ([ROTATIONS, HALF], [HALF, ROTATIONS]))
    assert audit_id(one) == audit_id(other)
    assert [(each.kind, each.amounts) for each in one.warps] == [("rotation", (15, 30)), ("translation", (0.5,))]


def test_they_cost_the_views_that_they_see():
    alone = AuditRequest(model=MODEL, num_images=10, translations_px=[], rotations_deg=[], warps=[ROTATIONS])
    assert (transforms_in(alone), probe_views(alone), forward_images_of(alone)) == (2, 0, 10 * (1 + 2))
    shifts = {"translations_px": [1, 2, 3], "rotations_deg": [90], "warps": [ROTATIONS]}
    views = {
        "deformation": ({"displacements_px": [1, 2]}, 1 + 2 * 2),
        "local": (True, 1 + 2 * 5),
        "consistency_draws": (5, 2 * 5),
        "variance": (True, (1 + 3) + (1 + 1) + (1 + 2)),
    }
    for field, (value, count) in views.items():
        request = AuditRequest(model=MODEL, num_images=10, **shifts, **{field: value})
        assert probe_views(request) == count
        assert forward_images_of(request) == 10 * (1 + 6 + count)
    everything = AuditRequest(
        model=MODEL, num_images=10, baseline=True, **shifts, **{field: value for field, (value, _) in views.items()}
    )
    assert forward_images_of(everything) == 2 * 10 * (1 + 6 + sum(count for _, count in views.values()))


def test_the_request_of_a_report_asks_for_them_again():
    report = warped_report()
    request = request_of(report)
    assert request.warps == report.method.warps
    assert (request.deformation, request.local) == (report.method.deformation, True)
    assert (request.consistency_draws, request.variance) == (5, True)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("none", "none"),
        ("rotation:30,15", "rotation:15,30"),
        ("translation:.5  rotation:-22.5,1e1", "rotation:-22.5,10 translation:0.5"),
        ("shear:-0.1 scale:0.123456789e1", "scale:1.23456789 shear:-0.1"),
    ],
)
def test_warps_on_a_line_are_read_as_they_are_written(text: str, written: str):
    assert warps_text(warps_from(text)) == written
    assert warps_from(written) == warps_from(text)


@pytest.mark.parametrize(("text", "written"), [("none", "none"), ("2,.5", "0.5,2"), ("1:3", "1"), ("1:16", "1:16")])
def test_deformations_on_a_line_are_read_as_they_are_written(text: str, written: str):
    assert deformation_text(deformation_from(text)) == written
    assert deformation_from(written) == deformation_from(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is not like"),
        ("15,30", "'15,30' is not like rotation:15,30 translation:0.5 or none"),
        ("twist:3", "is not like"),
        ("rotation:", "'' is not a list of numbers"),
        ("rotation:15,x", "'15,x' is not a list of numbers"),
        ("rotation:nan", "finite|from -180 to 180"),
        ("scale:2", "the amounts of scale are from 0.8 to 1.25"),
        ("shear:0.1,0.1", "only once"),
        ("rotation:1 rotation:2", "only once"),
    ],
)
def test_what_is_no_warp_is_refused_with_a_sentence(text: str, says: str):
    with pytest.raises(ValueError, match=says) as caught:
        warps_from(text)
    assert not isinstance(caught.value, ValidationError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "x", "1:", "1:x", "1:0", "0", "17", "1,1", "-1"])
def test_what_is_no_deformation_is_refused_with_a_sentence(text: str):
    with pytest.raises(ValueError, match=" ") as caught:
        deformation_from(text)
    assert "\n" not in str(caught.value)


def test_the_usual_ones_are_those_of_the_request():
    asked = AuditRequest(model=MODEL, deformation=Deformations(), warps=(Warps(kind="rotation", amounts=(15, 30)),))
    assert audit_id(asked) == audit_id(AuditRequest(model=MODEL, deformation={}, warps=[ROTATIONS]))
