"""Every kind of change that breaks a client is found, and additions are not."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from service.app import create_app
from service.openapi_changes import breaks

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Document:
    return json.loads(json.dumps(create_app().openapi()))


def changed(document: Document, change: Callable[[Document], object]) -> list[str]:
    new = copy.deepcopy(document)
    change(new)
    return list(breaks(document, new))


def schema(document: Document, name: str) -> dict[str, Any]:
    return document["components"]["schemas"][name]


def test_nothing_has_changed(document):
    assert changed(document, lambda _: None) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda new: new["paths"].pop("/models"), "/models is gone"),
        (lambda new: new["paths"]["/audit"].pop("post"), "POST /audit is gone"),
        (lambda new: new["paths"]["/audit"]["get"]["parameters"].pop(0), "parameter status is gone"),
        (lambda new: new["paths"]["/audit"]["get"]["parameters"][0].update(required=True), "status is required now"),
        (lambda new: new["paths"]["/audit"]["post"]["responses"].pop("202"), "no answer 202 any more"),
        (lambda new: schema(new, "Audit")["properties"].pop("progress"), "Audit.progress is gone"),
        (lambda new: schema(new, "Audit")["required"].remove("status"), "Audit.status may be absent now"),
        (lambda new: schema(new, "Audit")["properties"]["id"].update(type="integer"), "Audit.id may be integer now"),
        (lambda new: schema(new, "Status")["enum"].append("paused"), 'Status may be "paused" now'),
        (lambda new: schema(new, "AuditRequest")["properties"].pop("seed"), "AuditRequest.seed is gone"),
        (lambda new: schema(new, "AuditRequest")["required"].append("seed"), "AuditRequest.seed is required now"),
        (
            lambda new: schema(new, "AuditRequest")["properties"]["num_images"].update(maximum=5),
            "AuditRequest.num_images has the maximum 5 now",
        ),
        (
            lambda new: schema(new, "AuditRequest")["properties"]["border"]["enum"].remove("all"),
            'AuditRequest.border may not be "all" now',
        ),
        (
            lambda new: schema(new, "AuditRequest")["properties"]["seed"].update(type="string"),
            "AuditRequest.seed may not be integer now",
        ),
        (
            lambda new: schema(new, "AuditRequest")["properties"]["model"].update(pattern="^x$"),
            "AuditRequest.model has another pattern now",
        ),
        (
            lambda new: schema(new, "AuditRequest")["properties"]["num_images"].update(default=7),
            "AuditRequest.num_images has another default now",
        ),
        (
            lambda new: new["paths"]["/audit"]["get"]["parameters"][-1]["schema"].pop("default"),
            "GET /audit, parameter offset has another default now",
        ),
        (lambda new: new["paths"]["/audit"]["get"].update({"x-role": "submit"}), "GET /audit needs the role submit"),
        (lambda new: new["paths"]["/health"]["get"].update({"x-role": "admin"}), "/health needs the role admin"),
    ],
)
def test_a_break_is_found(document, change, words):
    found = changed(document, change)
    assert any(words in sentence for sentence in found), found


@pytest.mark.parametrize(
    "change",
    [
        lambda new: new["paths"].update({"/new": {}}),
        lambda new: schema(new, "Audit")["properties"].update(more={"type": "string"}),
        lambda new: schema(new, "AuditRequest")["properties"].update(more={"type": "string"}),
        lambda new: schema(new, "AuditRequest")["properties"]["border"]["enum"].append("mirror"),
        lambda new: schema(new, "AuditRequest")["properties"]["num_images"].update(maximum=10**9),
        lambda new: schema(new, "Status")["enum"].remove("canceled"),
        lambda new: new["paths"]["/audit"]["get"]["parameters"].append(
            {"name": "more", "in": "query", "schema": {"type": "string"}}
        ),
    ],
)
def test_an_addition_is_no_break(document, change):
    assert changed(document, change) == []
