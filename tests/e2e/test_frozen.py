"""A worker that was frozen while another took its audit over changes nothing when it goes on."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from redis import Redis
from zooaudit.contract import state_key

from tests.e2e.harness import alive, eventually


@pytest.fixture
def two_workers(stack, audits) -> Iterator[list[subprocess.Popen]]:
    other = stack.start_worker()
    eventually(lambda: audits.http.get("/health").json()["workers"] == 2, 20.0)
    yield stack.workers
    for worker in stack.workers:
        worker.send_signal(signal.SIGCONT)
    end(stack, other)


def end(stack, worker: subprocess.Popen) -> None:
    stack.workers.remove(worker)
    worker.kill()
    worker.wait()


class Frozen:
    """The worker that has begun an audit and the process that measures it, frozen until another worker took over."""

    def __init__(self, audits, identifier: str, which: str) -> None:
        eventually(lambda: audits.runs(identifier), 10.0)
        audits.measuring(identifier)
        self.child = psutil.Process(audits.runs(identifier)[0])
        self.worker = self.child.parent()
        self.frozen = {"both": [self.worker, self.child], "worker": [self.worker]}[which]
        for process in self.frozen:
            process.suspend()
        eventually(lambda: len(audits.runs(identifier)) == 2, 20.0)

    def thaw(self, first: str) -> None:
        for process in self.frozen if first == "worker" else reversed(self.frozen):
            with suppress(psutil.NoSuchProcess):
                process.resume()
            time.sleep(1.5)  # each has the time for all that it would do before the next goes on
        eventually(lambda: not alive(self.child.pid), 15.0)


def traces(stack, audits, identifier: str) -> tuple[object, ...]:
    """All that is known of an audit, in Redis and in the store."""
    with Redis.from_url(stack.redis_url) as redis:
        state = redis.hgetall(state_key(identifier))
        job = redis.hgetall(f"rq:job:{identifier}")
        waiting = redis.lrange("rq:queue:audits", 0, -1)
    report = audits.http.get(f"/audit/{identifier}/report")
    return state, job, waiting, report.status_code, report.content if report.is_success else None


@pytest.mark.parametrize(
    ("way", "num_images", "which", "first"),
    [
        ("mute", 25, "both", "worker"),
        ("mute", 25, "both", "child"),
        ("slow", 25, "both", "worker"),
        ("slow", 25, "both", "child"),
        ("mute", 100, "worker", "worker"),  # long enough for its child, which goes on, to end only after that
    ],
)
def test_after_the_audit_has_succeeded(stack, audits, two_workers, way, num_images, which, first):  # noqa: ARG001
    identifier = audits.submit(way, num_images=num_images)
    frozen = Frozen(audits, identifier, which)
    assert audits.ended(identifier).status == "succeeded"
    before = traces(stack, audits, identifier)
    assert before[0][b"deaths"] == b"1"
    frozen.thaw(first)
    assert audits.ended(audits.submit("quick")).status == "succeeded"
    assert audits.ended(audits.submit("quick")).status == "succeeded"
    assert traces(stack, audits, identifier) == before
    assert len(audits.runs(identifier)) == 2


@pytest.mark.parametrize("first", ["worker", "child"])
def test_while_the_other_attempt_runs(stack, audits, two_workers, first):  # noqa: ARG001
    identifier = audits.submit("mute", num_images=60)
    frozen = Frozen(audits, identifier, "both")
    frozen.thaw(first)
    assert audits.get(identifier).status == "running"
    assert audits.ended(identifier).status == "succeeded"
    assert len(audits.runs(identifier)) == 2
    assert traces(stack, audits, identifier)[0][b"deaths"] == b"1"


@pytest.mark.parametrize("first", ["worker", "child"])
def test_after_the_audit_has_failed(stack, audits, two_workers, first):  # noqa: ARG001
    identifier = audits.submit("fails_later", num_images=25)
    frozen = Frozen(audits, identifier, "both")
    assert audits.ended(identifier).status == "failed"
    before = traces(stack, audits, identifier)
    frozen.thaw(first)
    assert audits.ended(audits.submit("quick")).status == "succeeded"
    assert traces(stack, audits, identifier) == before
    assert before[3] == 409


def test_before_it_had_claimed_the_audit(stack, audits, two_workers):
    for worker in two_workers:
        worker.send_signal(signal.SIGSTOP)
    identifier = audits.submit("quick")
    with Redis.from_url(stack.redis_url) as redis:
        eventually(lambda: redis.lrange("rq:queue:audits:intermediate", 0, -1) == [identifier.encode()], 5.0)
    third = stack.start_worker()
    try:
        audits.until(identifier, "succeeded", within_s=30.0)
        before = traces(stack, audits, identifier)
        for worker in two_workers:
            worker.send_signal(signal.SIGCONT)
        assert audits.ended(audits.submit("slow")).status == "succeeded"
        assert audits.ended(audits.submit("slow")).status == "succeeded"
        assert traces(stack, audits, identifier) == before
        assert len(audits.runs(identifier)) == 1
    finally:
        end(stack, third)
