"""What an audit would cost, as a person reads it."""

import pytest
from zooaudit.contract import AuditRequest, QueuePosition

from tests.client.samples import ID, cost

SAME = "By audit 01234567 of the same model on NVIDIA H100, 2026-01-02: 36,000 forward images, 6.31 a second."
WAIT = "Now 3 audits wait and 1 runs, on 1 worker."
NAME = "timm/resnet18.a1_in1k"


def test_it_prints_as_three_sentences():
    assert str(cost()) == repr(cost())
    assert str(cost()).splitlines() == [
        f"{NAME}: 72,000 forward images, about 3 h 10 min on one worker.",
        SAME,
        WAIT,
    ]


@pytest.mark.parametrize(
    ("certainty", "tolerance", "told"),
    [
        ("at least", None, "at least 72,000 forward images, about 3 h 10 min"),
        ("at most", 0.01, "at most 72,000 forward images, at most about 3 h 10 min"),
        ("at most about", 0.01, "at most about 72,000 forward images, at most about 3 h 10 min"),
    ],
)
def test_it_says_how_certain_it_is(certainty, tolerance, told):
    request = AuditRequest(model=NAME, weights="untrained", tolerance=tolerance)
    first = str(cost(certainty=certainty, request=request)).splitlines()[0]
    assert first == f"{NAME} (untrained): {told} on one worker."


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"model": "timm/resnet34.a1_in1k", "same_model": False},
            "of timm/resnet34.a1_in1k, a model of about this size,",
        ),
        ({"images_per_second": 1499.6}, "36,000 forward images, 1,500 a second."),
        ({"images_per_second": 99.96}, "36,000 forward images, 100 a second."),
        ({"images_per_second": 0.0341}, "36,000 forward images, 0.0341 a second."),
        ({"device": "a\x1b[31m"}, "on a [31m, 2026"),
    ],
)
def test_it_says_by_what_it_is_known(changes, told):
    basis = cost().basis.model_copy(update=changes)
    assert told in str(cost(basis=basis)).splitlines()[1]


def test_by_another_model_it_is_rougher():
    basis = cost().basis.model_copy(update={"same_model": False})
    assert ": 72,000 forward images, roughly 3 h 10 min on one worker." in str(cost(basis=basis))


def test_without_a_measured_model_it_says_why():
    lines = str(cost(seconds=None, basis=None, reason="Nothing has been measured here")).splitlines()
    assert lines == [
        f"{NAME}: 72,000 forward images; how long they take is not known.",
        "Nothing has been measured here.",
        WAIT,
    ]


@pytest.mark.parametrize(
    ("queued", "running", "workers", "told"),
    [
        (0, 0, 0, "No worker is running: the audit would wait until one is started."),
        (0, 1, 2, "A worker is free now."),
        (0, 2, 2, "Now 0 audits wait and 2 run, on 2 workers."),
        (1, 0, 1, "Now 1 audit waits and 0 run, on 1 worker."),
    ],
)
def test_it_says_what_is_before_it(queued, running, workers, told):
    assert str(cost(queued=queued, running=running, workers=workers)).splitlines()[-1] == told


@pytest.mark.parametrize(
    ("starts_in_s", "told"),
    [(1020, "2nd in the queue and start in about 17 min."), (None, "2nd in the queue."), (0, "2nd in the queue.")],
)
def test_it_says_where_the_audit_would_wait(starts_in_s, told):
    queue = QueuePosition(position=2, starts_in_s=starts_in_s)
    assert str(cost(queue=queue)).splitlines()[-1] == f"{WAIT} This one would be {told}"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("queued", "this audit waits for a worker already"),
        ("running", "this audit is running already"),
        ("succeeded", "this audit has a report already"),
    ],
)
def test_what_exists_costs_nothing(status, told):
    exists = cost(id=ID, status=status, forward_images=0, seconds=0, basis=None)
    assert str(exists) == f"{NAME}: {told}, so asking for it costs nothing."
