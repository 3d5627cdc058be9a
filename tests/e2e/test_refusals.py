"""Redis refuses, or the report store cannot be written, while audits run: nothing is measured twice or lost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from zooaudit.contract import kept_report_key, state_key

from tests.e2e.harness import eventually
from tests.fakes import is_problem

REFUSALS = {
    "READONLY": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
    "OOM": (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
}
TTL_S = 3


@contextmanager
def refusing(stack, code: str) -> Iterator[Redis]:
    refuse, allow = REFUSALS[code]
    with Redis.from_url(stack.redis_url) as redis:
        redis.execute_command(*refuse)
        try:
            yield redis
        finally:
            redis.execute_command(*allow)


@contextmanager
def no_reports(stack) -> Iterator[None]:
    """Put a file where the store's folder of reports is. (Root may write wherever permissions forbid it.)"""
    reports = stack.directory / "store" / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    reports.rename(reports.with_name("away"))
    reports.write_text("in the way")
    try:
        yield
    finally:
        reports.unlink()
        reports.with_name("away").rename(reports)


@pytest.mark.parametrize("code", REFUSALS)
def test_three_times_a_redis_that_refuses_cost_no_attempt(stack, audits, code):
    worker = stack.workers[-1]
    identifier = audits.submit("slow", num_images=220)
    audits.measuring(identifier)
    for _ in range(3):
        with refusing(stack, code):
            answer = audits.http.post("/audit", json=audits.request_body("quick"))
            assert is_problem(answer, 503, "unavailable")
            assert f"({code})" in answer.json()["detail"]
            health = audits.http.get("/health").json()
            assert health["status"] == "degraded"
            assert f"({code})" in health["reasons"][0]
            time.sleep(TTL_S + 1.5)  # longer than a dead worker would be waited for
        # Whether a worker is lost shows only when the others would notice it.
        time.sleep(2)
    assert audits.ended(identifier, within_s=40.0).status == "succeeded"
    assert len(audits.runs(identifier)) == 1
    with Redis.from_url(stack.redis_url) as redis:
        assert not redis.hexists(state_key(identifier), "deaths")
    assert worker.poll() is None
    eventually(lambda: audits.http.get("/health").json()["status"] == "ok", 10.0)


@pytest.mark.parametrize("code", REFUSALS)
def test_an_audit_that_ends_while_redis_refuses_ends_well(stack, audits, code):
    identifier = audits.submit("slow", num_images=10)
    audits.measuring(identifier)
    with refusing(stack, code):
        time.sleep(2.5)
    assert audits.ended(identifier).status == "succeeded"
    assert len(audits.runs(identifier)) == 1
    assert audits.ended(audits.submit("quick")).status == "succeeded"


def test_a_report_that_cannot_be_stored_is_kept_until_it_can(stack, audits):
    identifier = audits.submit("slow")
    audits.measuring(identifier)
    with no_reports(stack):
        eventually(lambda: audits.get(identifier).progress.phase == "storing", 15.0)
        health = audits.http.get("/health").json()
        assert health["status"] == "degraded"
        assert any("cannot write the report store: " in reason for reason in health["reasons"])
        assert str(stack.directory) not in str(health)
        assert audits.get(identifier).status == "running"
    assert audits.ended(identifier, within_s=40.0).status == "succeeded"
    assert audits.report(identifier).id == identifier
    assert len(audits.runs(identifier)) == 1
    with Redis.from_url(stack.redis_url) as redis:
        assert not redis.exists(kept_report_key(identifier))


def test_an_audit_that_waits_for_the_store_can_be_canceled(stack, audits):
    identifier = audits.submit("slow")
    audits.measuring(identifier)
    with no_reports(stack):
        eventually(lambda: audits.get(identifier).progress.phase == "storing", 15.0)
        eventually(lambda: audits.http.delete(f"/audit/{identifier}").is_success, 5.0)
        audits.until(identifier, "canceled")


def test_a_report_that_could_not_be_stored_in_time_is_not_measured_again(stack, audits):
    stack.workers[-1].kill()
    stack.workers[-1].wait()
    stack.workers.clear()
    limited = stack.start_worker(ZOOAUDIT_JOB_TIMEOUT_S="3")
    body = audits.request_body("slow")
    identifier = audits.http.post("/audit", json=body).json()["id"]
    audits.measuring(identifier)
    with no_reports(stack):
        audit = audits.ended(identifier)
        assert audit.status == "failed"
        assert audit.error.type == "urn:zooaudit:problem:store-unavailable"
        assert "not a directory" in audit.error.detail
        assert str(stack.directory) not in audit.error.detail
        assert "Debug" not in audit.error.detail
    assert audits.http.post("/audit", json=body).status_code == 202
    assert audits.ended(identifier).status == "succeeded"
    assert audits.report(identifier).id == identifier
    assert len(audits.runs(identifier)) == 1
    limited.kill()
    limited.wait()


def test_nothing_is_measured_for_a_store_that_cannot_be_written(stack, audits):
    probes = stack.directory / "store" / "probes"
    audits.ended(audits.submit("quick"))
    probes.rmdir()
    probes.write_text("in the way")
    try:
        identifier = audits.submit("quick")
        audit = audits.ended(identifier, within_s=30.0)
    finally:
        probes.unlink()
    assert audit.error.type == "urn:zooaudit:problem:store-unavailable"
    assert audits.runs(identifier) == []
