"""Workers share an audit, whatever becomes of them, and its report is always the same."""

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest
from redis import Redis
from zooaudit.contract import IDLE_KEY, Audit, Report, state_key

from service.stack import Stack, running
from tests.e2e.harness import Audits, eventually

WORKER = (sys.executable, "-m", "tests.e2e.stand_in")
ALL = {"translations_px": list(range(1, 33)), "rotations_deg": [90, 180, 270], "num_images": 10}
SEEDS = itertools.count(1)


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("sharing")
    (directory / "runs").mkdir()
    env = {
        "ZOOAUDIT_WORKER_TTL_S": "3",
        "ZOOAUDIT_STOP_GRACE_S": "0",
        "FAKE_RUNS": str(directory / "runs"),
        "ZOOAUDIT_API_KEYS": "",
        "STAND_IN_S": "0.02",
        "OMP_NUM_THREADS": "1",
    }
    with running(directory, workers=2, env=env, worker_command=WORKER) as stack:
        yield stack


@pytest.fixture
def stack(shared_stack) -> Iterator[Stack]:
    with Redis.from_url(shared_stack.redis_url) as redis:
        eventually(lambda: redis.zcount(IDLE_KEY, time.time(), "+inf") == 2, 30.0)
    yield shared_stack
    for worker in shared_stack.workers:
        worker.send_signal(signal.SIGCONT)
    shared_stack.mend()


@pytest.fixture
def audits(stack) -> Iterator[Audits]:
    with httpx.Client(base_url=stack.url, timeout=30) as http:
        yield Audits(http, stack.directory / "runs", seeds=SEEDS)


def shared(audits: Audits, identifier: str, workers: int = 2, done: int = 0) -> Audit:
    """Wait until so many workers measure shards of the audit, and each has measured ``done`` images or more."""

    def look() -> Audit | None:
        audit = audits.get(identifier)
        busy = [shard for shard in audit.sharing.shards if shard.state == "measuring"] if audit.sharing else []
        return audit if len(busy) >= workers and all(shard.done > done for shard in busy) else None

    return eventually(look, 30.0)


def scores(report: Report) -> list[float | None]:
    block = report.blocks[0]
    return [row.channel for kind in (block.translation, block.rotation) for row in kind.by_transform]


def repeated(stack: Stack, identifier: str) -> tuple[int, int]:
    """Count, from what the workers have written down, the steps that were taken again, and all steps."""
    lines = (stack.directory / "runs" / identifier).read_text().splitlines()
    steps = [line.partition(" ")[2] for line in lines if not line.endswith("reference")]
    return len(steps) - len(set(steps)), len(steps)


def worker_of(stack: Stack, audit: Audit, index: int) -> subprocess.Popen:
    """Return the worker of the audit's shard with this index."""
    assert audit.sharing
    pid = int(audit.sharing.shards[index].worker.rpartition(":")[2])
    return next(worker for worker in stack.workers if worker.pid == pid)


def test_two_workers_share_an_audit_and_none_of_it_is_measured_twice(stack, audits):
    identifier = audits.submit("quick", **ALL)
    audit = shared(audits, identifier)
    assert [len(shard.transforms) for shard in audit.sharing.shards] == [18, 17]
    assert audit.sharing.waiting == audit.sharing.repeated == 0
    assert audit.progress.total == 10 * (35 + 2)
    assert audits.ended(identifier, 60.0).status == "succeeded"
    report = audits.report(identifier)
    assert (report.timing.workers, report.timing.repeated_images) == (2, 0)
    assert report.timing.forward_images == 10 * (35 + 2)
    assert repeated(stack, identifier) == (0, 350)
    assert not list((stack.directory / "store" / "shards").rglob("*"))
    assert audits.get(identifier).sharing is None
    assert audits.http.get("/health").json()["running"] == 0


@pytest.mark.parametrize("what", ["worker", "child"])
@pytest.mark.parametrize("which", ["leads", "helps"])
def test_a_death_repeats_no_more_than_the_shard_in_flight(stack, audits, which, what):
    identifier = audits.submit("quick", **ALL)
    audit = shared(audits, identifier, done=50)
    process = psutil.Process(worker_of(stack, audit, 0 if which == "leads" else 1).pid)
    lost = audit.sharing.shards[0 if which == "leads" else 1]
    (process if what == "worker" else process.children()[0]).kill()
    assert audits.ended(identifier, 60.0).status == "succeeded"
    report = audits.report(identifier)
    again, _ = repeated(stack, identifier)
    assert 0 < again <= 10 * len(lost.transforms)
    # The last progress of the dead one is a step or so old. A tenth of the images is a step.
    assert abs(report.timing.repeated_images - again - again // len(lost.transforms)) <= 40
    other = audits.submit("quick", **ALL, seed=audit.request.seed, repetition=1)
    assert audits.ended(other, 60.0).status == "succeeded"
    assert scores(audits.report(other)) == scores(report)


@pytest.mark.parametrize("which", ["leads", "helps"])
def test_a_worker_that_is_told_to_stop_hands_over_and_no_death_is_counted(stack, audits, which):
    identifier = audits.submit("quick", **ALL)
    audit = shared(audits, identifier, done=50)
    lost = audit.sharing.shards[0 if which == "leads" else 1]
    worker_of(stack, audit, 0 if which == "leads" else 1).terminate()
    assert audits.ended(identifier, 60.0).status == "succeeded"
    again, _ = repeated(stack, identifier)
    assert 0 < again <= 10 * len(lost.transforms)
    with Redis.from_url(stack.redis_url) as redis:
        assert redis.hget(state_key(identifier), "deaths") is None
    assert len({*scores(audits.report(identifier))}) == 35


def test_a_frozen_helper_changes_nothing_when_it_goes_on(stack, audits):
    identifier = audits.submit("quick", **ALL)
    audit = shared(audits, identifier, done=20)
    helper = psutil.Process(worker_of(stack, audit, 1).pid)
    frozen = [helper, *helper.children()]
    for process in frozen:
        process.suspend()
    eventually(lambda: audits.get(identifier).sharing and audits.get(identifier).sharing.repeated, 30.0)
    for process in frozen:
        process.resume()
    assert audits.ended(identifier, 60.0).status == "succeeded"
    content = audits.http.get(f"/audit/{identifier}/report").content
    eventually(lambda: not [child for child in helper.children() if child.status() == "running"], 30.0)
    assert audits.http.get(f"/audit/{identifier}/report").content == content
    assert len({*scores(audits.report(identifier))}) == 35


def test_the_whole_stack_goes_on_with_what_is_stored(stack, audits):
    identifier = audits.submit("poor", **ALL)
    eventually(
        lambda: (
            (sharing := audits.get(identifier).sharing) and sum(shard.state == "done" for shard in sharing.shards) >= 3
        ),
        40.0,
    )
    for worker in stack.workers:
        for child in psutil.Process(worker.pid).children():
            child.kill()
        worker.kill()
        worker.wait()
    stack.api.kill()
    stack.api.wait()
    stack.redis.process.kill()
    stack.redis.process.wait()
    stack.redis.start()
    stack.mend()
    audit = audits.ended(identifier, 60.0)
    assert audit.status == "succeeded"
    again, steps = repeated(stack, identifier)
    assert steps - again == 350
    assert again <= 2 * 10 * 5  # two shards were in flight
    assert len({*scores(audits.report(identifier))}) == 35


def test_an_emptied_redis_costs_no_shard_that_is_stored(stack, audits):
    identifier = audits.submit("poor", **ALL)
    eventually(
        lambda: (
            (sharing := audits.get(identifier).sharing) and sum(shard.state == "done" for shard in sharing.shards) >= 3
        ),
        40.0,
    )
    with Redis.from_url(stack.redis_url) as redis:
        redis.flushall()
    assert eventually(lambda: audits.http.get(f"/audit/{identifier}/report").is_success, 60.0)
    again, steps = repeated(stack, identifier)
    assert steps - again == 350
    assert again <= 2 * 10 * 5


def test_cancel_stops_all_who_measure(stack, audits):
    identifier = audits.submit("quick", **ALL)
    audit = shared(audits, identifier)
    processes = [psutil.Process(worker.pid) for worker in stack.workers]
    assert audits.http.delete(f"/audit/{identifier}").is_success
    assert audits.ended(identifier).status == "canceled"
    eventually(lambda: not any(process.children() for process in processes), 10.0)
    assert audit.sharing.workers == 2
    again = audits.http.post("/audit", json=audit.request.model_dump(mode="json"))
    assert again.status_code == 202
    assert audits.ended(identifier, 60.0).status == "succeeded"


def test_a_shard_that_fails_fails_the_audit_once_with_its_reason(stack, audits):  # noqa: ARG001
    identifier = audits.submit("broken", **ALL)
    audit = audits.ended(identifier)
    assert audit.status == "failed"
    assert audit.error.type.endswith("internal-error")
    assert "a bug in this shard" in audit.error.detail


def test_a_shard_on_which_workers_die_fails_the_audit_after_five_of_them(stack, audits):  # noqa: ARG001
    identifier = audits.submit("poison", translations_px=[1, 13], rotations_deg=[], num_images=10)
    audit = audits.ended(identifier, 60.0)
    assert audit.status == "failed"
    assert audit.error.type.endswith("worker-died")
    assert "5 times" in audit.error.detail


def test_a_waiting_audit_gets_the_helper(stack, audits):  # noqa: ARG001
    long = audits.submit("poor", **ALL | {"num_images": 30})
    shared(audits, long)
    short = audits.submit("quick", translations_px=[1], rotations_deg=[], num_images=10)
    assert audits.ended(short, 30.0).status == "succeeded"
    assert not audits.get(long).status.final
    assert audits.ended(long, 90.0).status == "succeeded"
