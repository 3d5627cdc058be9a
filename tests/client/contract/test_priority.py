"""The priority of a request: what it does not change, and the place that follows from it."""

import pytest
from pydantic import ValidationError
from zooaudit.contract import Audit, AuditRequest, audit_id, place_of

from tests.client.samples import audit

REQUEST = AuditRequest(model="timm/resnet50.a1_in1k", num_images=100)
BYTES = (
    '{"model":"timm/resnet50.a1_in1k","weights":"pretrained","dataset":"imagenet-val","num_images":100,"seed":0,'
    '"translations_px":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32],'
    '"rotations_deg":[90,180,270],"similarity":"correlation","border":"crop","precision":"float32","tolerance":null,'
    '"baseline":false,"baseline_seeds":1,"repetition":0}'
)
"""The request as it was written before there were priorities, and its id then."""
IDENTIFIER = "8b37bec35482fa0bdff31c058a8fca3e"


def with_priority(priority: str) -> AuditRequest:
    return AuditRequest.model_validate(REQUEST.model_dump() | {"priority": priority})


def test_a_request_of_normal_priority_is_what_it_was_before():
    assert REQUEST.model_dump_json() == with_priority("normal").model_dump_json() == BYTES
    assert AuditRequest.model_validate_json(BYTES) == REQUEST


@pytest.mark.parametrize("priority", ["low", "normal", "high"])
def test_the_id_never_depends_on_it(priority):
    request = with_priority(priority)
    assert audit_id(request) == IDENTIFIER
    assert AuditRequest.model_validate_json(request.model_dump_json()).priority == priority


@pytest.mark.parametrize("priority", ["urgent", "", "HIGH", None, 1])
def test_there_are_three(priority):
    with pytest.raises(ValidationError):
        with_priority(priority)


def test_an_audit_that_does_not_wait_has_no_position():
    assert "queue" not in audit("running").model_dump(mode="json")
    waiting = Audit.model_validate(audit().model_dump() | {"queue": {"position": 1, "starts_in_s": None}})
    assert waiting.model_dump(mode="json")["queue"] == {"position": 1, "starts_in_s": None}
    with pytest.raises(ValidationError):
        Audit.model_validate(audit().model_dump() | {"queue": {"position": 0, "starts_in_s": None}})


def test_no_age_and_no_length_makes_up_for_a_higher_priority():
    for higher, lower in (("high", "normal"), ("normal", "low")):
        newest_and_longest = place_of(with_priority(higher), 4e9, 3e7)
        assert newest_and_longest < place_of(with_priority(lower), 0.0, 0.0)


def test_an_audit_overtakes_those_accepted_up_to_ten_times_the_difference_of_their_lengths_before():
    long = place_of(REQUEST, 1000.0, 50.0)
    assert place_of(REQUEST, 1449.0, 5.0) < long < place_of(REQUEST, 1451.0, 5.0)
    assert place_of(REQUEST, 1000.0, 5.0) < place_of(REQUEST, 1001.0, 5.0)


def test_an_audit_of_unknown_length_is_taken_as_one_on_a_slow_worker():
    images = 36 * 100  # the reference view and 35 transforms
    assert place_of(REQUEST, 0.0, None) == place_of(REQUEST, 0.0, images / 20)
