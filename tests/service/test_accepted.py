"""What was accepted is kept: it stands in the report store before the answer, and comes back from there."""

import os
import shutil
import time

import pytest
from obstore.store import LocalStore
from redis.client import Pipeline
from redis.exceptions import ConnectionError
from rq.job import JobStatus
from zooaudit.contract import AuditRequest, Health, audit_id

from service import recovery
from service.accepted import AcceptedAudits
from service.queue import AuditQueue
from tests.fakes import ASK, is_problem, report_of

IDENTIFIER = audit_id(AuditRequest(**ASK))


@pytest.fixture
def accepted(tmp_path) -> AcceptedAudits:
    return AcceptedAudits(LocalStore(tmp_path / "store", mkdir=True))


@pytest.fixture
def check(app, monkeypatch):
    """Check the accepted audits as the service does it from time to time, but without waiting first."""
    monkeypatch.setattr(recovery, "MISSING_FOR_S", 0.0)
    return app.state.recovery.check_accepted


async def test_it_is_written_down_until_it_has_ended(http, accepted, check, set_status):
    audit = (await http.post("/audit", json=ASK)).json()
    assert list(accepted.identifiers()) == [IDENTIFIER]
    kept = accepted.load(IDENTIFIER)
    assert kept.request == AuditRequest(**ASK)
    assert kept.accepted_at.isoformat().startswith(audit["created_at"].removesuffix("Z")[:23])
    for status in (JobStatus.QUEUED, JobStatus.STARTED):
        set_status(IDENTIFIER, status)
        check()
        assert list(accepted.identifiers()) == [IDENTIFIER]
    set_status(IDENTIFIER, JobStatus.FAILED)
    check()
    assert list(accepted.identifiers()) == []


async def test_an_emptied_redis_gets_it_back(http, app, redis, check):
    audit = (await http.post("/audit", json=ASK)).json()
    catalogue = redis.hgetall("zooaudit:catalogue")
    redis.flushall()
    redis.hset("zooaudit:catalogue", mapping=catalogue)
    app.state.line.expire()
    lost = {name: value for name, value in audit.items() if name != "queue"}  # it is in no queue now
    assert (await http.get(f"/audit/{IDENTIFIER}")).json() == lost
    check()
    assert redis.lrange("rq:queue:audits", 0, -1) == [IDENTIFIER.encode()]
    check()
    assert redis.llen("rq:queue:audits") == 1
    assert (await http.get(f"/audit/{IDENTIFIER}")).json() == audit
    assert [row["id"] for row in (await http.get("/audit")).json()["audits"]] == [IDENTIFIER]
    assert (await http.post("/audit", json=ASK)).status_code == 200
    # A worker that still measures it may go on: no other attempt has begun.
    assert not redis.hexists(f"zooaudit:audit:{IDENTIFIER}", "attempt")


async def test_a_redis_that_lost_only_its_end_gets_it_back(http, redis, check):
    first = (await http.post("/audit", json=ASK)).json()["id"]
    await http.post("/audit", json={**ASK, "seed": 1})
    redis.delete(f"rq:job:{first}", f"zooaudit:audit:{first}")
    redis.lrem("rq:queue:audits", 0, first)
    redis.zrem("zooaudit:audits", first)
    check()
    assert redis.llen("rq:queue:audits") == 2
    assert (await http.get("/audit")).json()["total"] == 2


async def test_it_is_not_taken_up_before_its_worker_could_write_it_down_again(http, app, redis):
    await http.post("/audit", json=ASK)
    redis.flushall()
    app.state.recovery.check_accepted()
    app.state.recovery.check_accepted()
    assert not redis.exists("rq:queue:audits")


async def test_one_that_has_succeeded_is_restored_instead(http, redis, accepted, check, store_report):
    await http.post("/audit", json=ASK)
    store_report(report_of(AuditRequest(**ASK)))
    redis.flushall()
    check()
    assert (await http.get(f"/audit/{IDENTIFIER}")).json()["status"] == "succeeded"
    assert not redis.exists("rq:queue:audits")
    check()
    assert list(accepted.identifiers()) == []


async def test_one_that_redis_lost_can_be_canceled(http, redis, check):
    await http.post("/audit", json=ASK)
    redis.flushall()
    answer = await http.delete(f"/audit/{IDENTIFIER}")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    check()
    assert not redis.exists("rq:queue:audits")


async def test_a_damaged_one_is_no_audit(http, accepted, check, tmp_path, caplog):
    (tmp_path / "store" / "accepted").mkdir(parents=True)
    (tmp_path / "store" / "accepted" / f"{'a' * 32}.json").write_text('{"request": ')
    check()
    assert is_problem(await http.get(f"/audit/{'a' * 32}"), 404, "unknown-audit")
    assert "cannot be read" in caplog.text
    assert list(accepted.identifiers()) == []


async def test_without_a_store_nothing_is_accepted(http, redis, tmp_path):
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "accepted").write_text("a file where the folder should be")
    answer = await http.post("/audit", json=ASK)
    assert is_problem(answer, 503, "store-unavailable")
    assert answer.headers["retry-after"] == "5"
    assert not redis.exists("rq:queue:audits")
    assert is_problem(await http.get(f"/audit/{IDENTIFIER}"), 503, "store-unavailable")


@pytest.mark.parametrize(
    ("refuse", "allow", "reason"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "its memory is full (OOM)"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "it is a read-only replica"),
    ],
    ids=["OOM", "READONLY"],
)
async def test_a_redis_that_refuses_is_named_and_nothing_is_accepted(http, redis, accepted, refuse, allow, reason):
    redis.hset("rq:worker:here", mapping={"last_heartbeat": "2026-01-01T00:00:00Z"})
    redis.sadd("rq:workers:audits", "rq:worker:here")
    assert (await http.get("/health")).json()["status"] == "ok"
    redis.execute_command(*refuse)
    try:
        answer = await http.post("/audit", json=ASK)
        health = Health.model_validate_json((await http.get("/health")).content)
    finally:
        redis.execute_command(*allow)
    assert is_problem(answer, 503, "unavailable")
    assert reason in answer.json()["detail"]
    assert list(accepted.identifiers()) == []
    assert (health.status, health.redis, health.workers) == ("degraded", True, 1)
    assert reason in health.reasons[0]
    assert (await http.get("/health")).json()["status"] == "ok"
    assert (await http.post("/audit", json=ASK)).status_code == 202


async def test_health_tells_that_the_store_cannot_be_written(http, app, redis, tmp_path):
    (tmp_path / "store" / "accepted").write_text("a file where the folder should be")
    app.state.recovery._probe()
    reasons = (await http.get("/health")).json()["reasons"]
    assert any("cannot write the report store: " in reason for reason in reasons)
    redis.zadd("zooaudit:troubles", dict.fromkeys(redis.zrange("zooaudit:troubles", 0, -1), 1.0))
    assert not any("store" in reason for reason in (await http.get("/health")).json()["reasons"])


def test_a_redis_error_that_is_no_refusal_leaves_the_request(redis, accepted, monkeypatch):
    """Redis may have enqueued the audit, and only its answer was lost."""
    execute = Pipeline.execute

    def executed_without_an_answer(pipe, *args):
        answer = execute(pipe, *args)
        if IDENTIFIER.encode() in redis.lrange("rq:queue:audits", 0, -1):
            raise ConnectionError("connection lost")
        return answer

    monkeypatch.setattr(Pipeline, "execute", executed_without_an_answer)
    with pytest.raises(ConnectionError):
        AuditQueue(redis).submit(AuditRequest(**ASK), lambda _: None, accepted)
    assert list(accepted.identifiers()) == [IDENTIFIER]


def test_only_shards_that_nobody_has_asked_for_in_a_month_are_removed(accepted, tmp_path):
    accepted.drop_old_shards()
    for name, days in (("old", 31), ("new", 29)):
        file = tmp_path / "store" / "shards" / name / "plan" / "1-token.safetensors"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"shard")
        then_s = time.time() - days * 86_400
        os.utime(file, (then_s, then_s))
    accepted.drop_old_shards()
    assert [file.parent.parent.name for file in tmp_path.rglob("*.safetensors")] == ["new"]
