"""Two real workers of one command, ``python -m worker --devices cpu,cpu``, on one queue."""

import itertools
import os
import re
import sys
from collections.abc import Iterator

import httpx
import psutil
import pytest

from service.stack import Stack, running
from tests.e2e.harness import Audits, alive, eventually

COMMAND = (sys.executable, "-m", "worker", "--devices", "cpu,cpu")
LONG = {"model": "test_resnet", "num_images": 5000}


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("two")
    env = {
        "ZOOAUDIT_API_KEYS": "",
        "ZOOAUDIT_WORKER_TTL_S": "5",
        "ZOOAUDIT_DECODE_PROCESSES": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    with running(directory, env=env, worker_command=COMMAND) as stack:
        yield stack


@pytest.fixture
def audits(two) -> Iterator[Audits]:
    two.mend()
    with httpx.Client(base_url=two.url, timeout=30) as http:
        eventually(lambda: http.get("/health").json()["devices"] == ["cpu", "cpu"], 60.0)
        yield Audits(http, two.directory / "runs", itertools.count())
        for audit in http.get("/audit", params={"status": "queued,running"}).json()["audits"]:
            http.delete(f"/audit/{audit['id']}")


def descendants(two: Stack) -> list[psutil.Process]:
    return psutil.Process(two.workers[-1].pid).children(recursive=True)


def both_measuring(audits: Audits) -> list[str]:
    """Submit two long audits, and wait until both are being measured."""
    submitted = [audits.submit(**LONG) for _ in range(2)]
    for identifier in submitted:
        eventually(lambda one=identifier: audits.get(one).progress.phase == "measuring", 60.0)
    assert audits.http.get("/health").json()["running"] == 2
    return submitted


def begun(two: Stack) -> list[str]:
    """The ids of the audits that the workers have begun, in order. One that was begun again occurs again."""
    return re.findall(r"^cpu#[12] \| .* INFO (\w+): .*, begun$", two.log("worker-1").read_text(), re.MULTILINE)


def test_each_worker_has_its_audit_and_all_give_them_back_when_told_to_stop(two, audits):
    submitted = both_measuring(audits)
    processes = descendants(two)
    parent = two.workers[-1]
    parent.terminate()
    assert parent.wait(30) == 0
    assert [audits.get(identifier).status for identifier in submitted] == ["queued", "queued"]
    assert [process for process in processes if alive(process.pid)] == []
    health = audits.http.get("/health").json()
    assert (health["workers"], health["devices"]) == (0, [])


def test_all_end_with_their_supervisor_and_the_audits_are_measured_again(two, audits):
    submitted = both_measuring(audits)
    processes = descendants(two)
    assert len(processes) >= 10  # two workers, each with three processes beside it, one for the audit, one that decodes
    two.workers[-1].kill()
    eventually(lambda: not any(alive(process.pid) for process in processes), 5.0)
    two.mend()
    for identifier in submitted:
        eventually(lambda one=identifier: begun(two).count(one) == 2, 60.0)


def test_a_killed_worker_is_replaced_and_both_audits_succeed(two, audits):
    submitted = [audits.submit("test_resnet", num_images=150, translations_px=[1]) for _ in range(2)]
    for identifier in submitted:
        eventually(lambda one=identifier: audits.get(one).progress.phase == "measuring", 60.0)
    parent = psutil.Process(two.workers[-1].pid)
    killed, other = parent.children()
    killed.kill()
    told = "has died (killed by SIGKILL) and is started again."
    eventually(lambda: told in " ".join(audits.http.get("/health").json()["reasons"]), 10.0)
    eventually(lambda: len(parent.children()) == 2, 5.0)
    assert other.pid in [child.pid for child in parent.children()]
    for identifier in submitted:
        assert audits.ended(identifier, within_s=120.0).status == "succeeded"
    assert sorted(begun(two).count(identifier) for identifier in submitted) == [1, 2]
    both_measuring(audits)  # the new worker takes audits, too
