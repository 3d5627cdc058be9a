"""Reflections and directions in requests: what they are, and that whoever asks for none gets what there was before."""

import hashlib
from typing import Any

import pytest
from pydantic import ValidationError
from zooaudit.contract import AuditRequest, audit_id, forward_images_of, protocol_of

from tests.client.samples import report, whole_report

MODEL = "timm/resnet50.a1_in1k"
EARLIER: list[tuple[dict[str, Any], str]] = [
    ({"model": MODEL}, "4682ef5d029688fad20965bc0ed5b933"),
    (
        {"model": "torchvision/vit_b_16", "weights": "untrained", "dataset": "synthetic", "num_images": 64},
        "936dfc70eae0a5d85ae97ff776269119",
    ),
    (
        {
            "model": "own/net",
            "weights": "checkpoint:run",
            "checkpoint_version": "0f1e",
            "translations_px": [1, 8],
            "rotations_deg": [],
            "similarity": "both",
            "border": "all",
            "tolerance": 0.05,
            "baseline": True,
            "baseline_seeds": 2,
            "repetition": 3,
        },
        "e4208d26810f67475917245f35152d9c",
    ),
]
"""Requests, and the ids that they had before there were reflections and directions."""


@pytest.mark.parametrize(("asked", "identifier"), EARLIER)
def test_earlier_requests_keep_their_ids_and_their_protocol(asked: dict[str, Any], identifier: str):
    written_out = AuditRequest(**asked, reflections=[], direction="diagonal")
    assert audit_id(AuditRequest(**asked)) == audit_id(written_out) == identifier
    assert protocol_of(written_out) == "1"
    assert "reflection" not in written_out.model_dump_json()
    assert "direction" not in written_out.model_dump_json()


def test_earlier_reports_keep_their_bytes():
    hashes = [hashlib.sha256(each.model_dump_json().encode()).hexdigest()[:32] for each in (report(), whole_report())]
    assert hashes == ["39ea996252fba0d6f10fc63287d10a4a", "b1aff79ff58308695ca5f62ede793973"]


def test_reflections_are_a_set_and_make_another_audit():
    either, other = (
        AuditRequest(model=MODEL, reflections=axes) for axes in (["horizontal", "vertical"], ["vertical", "horizontal"])
    )
    assert audit_id(either) == audit_id(other) != audit_id(AuditRequest(model=MODEL))
    assert protocol_of(either) == protocol_of(AuditRequest(model=MODEL, direction="down")) == "2"
    assert AuditRequest.model_validate_json(either.model_dump_json()) == either
    assert len({audit_id(AuditRequest(model=MODEL, direction=each)) for each in ("diagonal", "right", "down")}) == 3


def test_reflections_are_enough_of_a_request_and_cost_a_view_each():
    request = AuditRequest(
        model=MODEL, num_images=10, translations_px=[], rotations_deg=[], reflections=["horizontal", "vertical"]
    )
    assert forward_images_of(request) == 10 * (1 + 2)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"reflections": ["horizontal", "horizontal"]}, "only once"),
        ({"reflections": ["diagonal"]}, "'horizontal' or 'vertical'"),
        ({"direction": "left"}, "'diagonal', 'right' or 'down'"),
        ({"direction": "right", "translations_px": []}, "direction goes with translations_px"),
        ({"warps": [{"kind": "rotation", "amounts": [True]}]}, "valid number"),
        ({"warps": [{"kind": "rotation", "amounts": ["15"]}]}, "valid number"),
        ({"warps": [{"kind": "rotation", "amounts": [float("nan")]}]}, "1 validation error.*\n.*\n.*finite number"),
        ({"warps": [{"kind": "rotation", "amounts": []}]}, "at least one value"),
        ({"warps": [{"kind": "rotation", "amounts": [15, 15.0000001]}]}, "differ by 0.001 or more"),
        ({"warps": [{"kind": "rotation", "amounts": [-180]}]}, "by -180 degrees is one by 180"),
        ({"warps": [{"kind": "scale", "amounts": [1.3]}]}, "from 0.8 to 1.25"),
        ({"warps": [{"kind": "shear", "amounts": [0]}, {"kind": "shear", "amounts": [0.1]}]}, "each kind of warps"),
        ({"deformation": {"displacements_px": [1, 1.0000001]}}, "differ by 0.001 or more"),
        ({"deformation": {"displacements_px": []}}, "at least one value"),
        ({"deformation": {"cutoff": 1}}, "greater than or equal to 2"),
        ({"translations_px": [], "rotations_deg": []}, "at least one translation, rotation, reflection or warp"),
    ],
)
def test_what_makes_no_sense_is_refused(asked: dict[str, Any], says: str):
    with pytest.raises(ValidationError, match=says):
        AuditRequest(model=MODEL, **asked)
