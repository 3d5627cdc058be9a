"""An audit after its submission: its status and report, lists, cancels, and what survives the loss of Redis."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from rq.job import JobStatus
from zooaudit.contract import Audit, AuditRequest, Progress, Report, problem, state_key

from service.queue import STOP_LIMIT_S
from tests.fakes import ASK, is_problem, report_of

NOBODY = "0" * 32


async def submit(http, **changes) -> str:
    answer = await http.post("/audit", json=ASK | changes)
    assert answer.status_code == 202
    return answer.json()["id"]


async def get(http, identifier) -> Audit:
    return Audit.model_validate_json((await http.get(f"/audit/{identifier}")).content)


@pytest.mark.parametrize("identifier", [NOBODY, "x", "A" * 32, "0" * 31, f"{NOBODY}%0a"])
async def test_an_unknown_id_is_404_everywhere(http, identifier):
    assert is_problem(await http.get(f"/audit/{identifier}"), 404, "unknown-audit")
    assert is_problem(await http.get(f"/audit/{identifier}/report"), 404, "unknown-audit")
    assert is_problem(await http.delete(f"/audit/{identifier}"), 404, "unknown-audit")


async def test_a_poll_that_brings_nothing_new_is_304(http):
    identifier = await submit(http)
    first = await http.get(f"/audit/{identifier}")
    assert first.headers["retry-after"] == "1"
    for known in (first.headers["etag"], f'"x", W/{first.headers["etag"]}', "*"):
        again = await http.get(f"/audit/{identifier}", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["retry-after"]) == (304, b"", "1")
        assert again.headers["etag"] == first.headers["etag"]
    assert (await http.get(f"/audit/{identifier}", headers={"If-None-Match": '"x"'})).status_code == 200


async def test_a_list_that_brings_nothing_new_is_304(http):
    await submit(http)
    first = await http.get("/audit")
    known = {"If-None-Match": first.headers["etag"]}
    assert (await http.get("/audit", headers=known)).status_code == 304
    await submit(http, seed=1)
    assert len((await http.get("/audit", headers=known)).json()["audits"]) == 2


async def test_a_running_audit_shows_its_progress(http, redis, set_status):
    identifier = await submit(http)
    set_status(identifier, JobStatus.STARTED, started_at=datetime.now(UTC))
    progress = Progress(phase="measuring", done=5, total=36, eta_s=3.5)
    redis.hset(state_key(identifier), "progress", progress.model_dump_json())
    audit = await get(http, identifier)
    assert (audit.status, audit.progress) == ("running", progress)
    assert audit.started_at >= audit.created_at
    assert audit.finished_at is None


async def test_a_failed_audit_shows_why(http, redis, set_status):
    identifier = await submit(http)
    set_status(identifier, JobStatus.FAILED, ended_at=datetime.now(UTC))
    assert (await get(http, identifier)).error.type == "urn:zooaudit:problem:internal-error"
    why = problem("hub-unreachable", "Try untrained weights.")
    redis.hset(state_key(identifier), "error", why.model_dump_json())
    answer = await http.get(f"/audit/{identifier}")
    assert "retry-after" not in answer.headers
    audit = Audit.model_validate_json(answer.content)
    assert (audit.status, audit.error) == ("failed", why)
    assert audit.finished_at is not None


async def test_a_report_is_409_until_there_is_one(http, set_status, store_report):
    identifier = await submit(http)
    assert is_problem(await http.get(f"/audit/{identifier}/report"), 409, "not-ready")
    set_status(identifier, JobStatus.FINISHED)
    assert is_problem(await http.get(f"/audit/{identifier}/report"), 404, "report-lost")
    report = report_of(AuditRequest(**ASK))
    store_report(report)
    answer = await http.get(f"/audit/{identifier}/report")
    assert Report.model_validate_json(answer.content) == report
    known = {"If-None-Match": answer.headers["etag"]}
    assert (await http.get(f"/audit/{identifier}/report", headers=known)).status_code == 304


async def test_cancel_of_a_queued_audit_is_done_at_once(http, redis):
    identifier = await submit(http)
    answer = await http.delete(f"/audit/{identifier}")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert answer.json()["finished_at"] is not None
    assert redis.llen("rq:queue:audits") == 0
    again = await http.delete(f"/audit/{identifier}")
    assert (again.status_code, again.json()) == (200, answer.json())
    assert (await http.post("/audit", json=ASK)).status_code == 202


async def test_cancel_of_one_that_a_worker_takes_in_that_moment_holds(http, set_status):
    identifier = await submit(http)
    await http.delete(f"/audit/{identifier}")
    set_status(identifier, JobStatus.STARTED, started_at=datetime.now(UTC), worker_name="w")
    assert (await get(http, identifier)).status == "canceled"


async def test_cancel_of_a_running_audit_tells_its_worker(http, redis, set_status):
    identifier = await submit(http)
    set_status(identifier, JobStatus.STARTED, started_at=datetime.now(UTC), worker_name="w")
    with redis.pubsub() as channel:
        channel.subscribe("rq:pubsub:w")
        assert channel.get_message(timeout=1)["type"] == "subscribe"
        answer = await http.delete(f"/audit/{identifier}")
        message = channel.get_message(timeout=1)
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    assert b"stop-job" in message["data"]
    assert identifier.encode() in message["data"]


async def test_a_cancel_that_the_worker_never_answers_ends_by_itself(http, redis, set_status):
    identifier = await submit(http)
    canceled_s = time.time() - STOP_LIMIT_S - 1
    set_status(identifier, JobStatus.STARTED, started_at=datetime.now(UTC) - timedelta(hours=1), worker_name="gone")
    redis.hset(state_key(identifier), "outcome", f"canceled {canceled_s}")
    audit = await get(http, identifier)
    assert audit.status == "canceled"
    assert abs(audit.finished_at.timestamp() - canceled_s) < 0.01
    assert (await http.post("/audit", json=ASK)).status_code == 202


@pytest.mark.parametrize("status", [JobStatus.FINISHED, JobStatus.FAILED])
async def test_what_has_ended_cannot_be_canceled(http, redis, set_status, status):
    identifier = await submit(http)
    set_status(identifier, status)
    assert is_problem(await http.delete(f"/audit/{identifier}"), 409, "not-cancelable")
    assert not redis.hexists(state_key(identifier), "outcome")


async def test_a_cancel_that_comes_while_the_report_is_stored_is_too_late(http, redis, set_status):
    identifier = await submit(http)
    set_status(identifier, JobStatus.STARTED, started_at=datetime.now(UTC), worker_name="w")
    redis.hset(state_key(identifier), "outcome", "storing")
    assert is_problem(await http.delete(f"/audit/{identifier}"), 409, "not-cancelable")
    assert (await get(http, identifier)).status == "running"


async def test_a_list_is_newest_first_in_pages_and_filtered(http, set_status):
    ids = [await submit(http, seed=seed) for seed in range(5)]
    other = await submit(http, model="torchvision/vit_b_16")
    set_status(ids[1], JobStatus.FAILED)
    newest_first = [other, *reversed(ids)]
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await http.get("/audit", params=params)).json()
        seen += [audit["id"] for audit in page["audits"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert (seen, pages) == (newest_first, 3)

    async def listed(**params):
        return [audit["id"] for audit in (await http.get("/audit", params=params)).json()["audits"]]

    assert await listed(status="failed") == [ids[1]]
    assert await listed(model="VIT") == [other]
    assert await listed(model="resnet18", status="queued", limit=2) == [ids[4], ids[3]]
    assert await listed(model="nothing") == []


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=" + "A" * 128, "cursor=%F0%9F%98%80", "limit=0", "limit=x", "limit=201", "status=odd"]
)
async def test_a_bad_list_query_is_422(http, query):
    answer = await http.get(f"/audit?{query}")
    assert is_problem(answer, 422, "invalid-request")
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


async def test_a_redis_that_has_lost_everything_gets_finished_audits_back(http, redis, store_report, tmp_path):
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    reports = [report_of(AuditRequest(**ASK, seed=n), started + timedelta(hours=n), skipped=n) for n in range(3)]
    for report in reports:
        store_report(report)
    broken = tmp_path / "store" / "reports" / f"{NOBODY}.json"
    broken.write_text("{ torn")
    (broken.parent / "notes.txt").write_text("not a report")
    listed = (await http.get("/audit")).json()["audits"]
    assert [audit["id"] for audit in listed] == [report.id for report in reversed(reports)]
    audit = await get(http, reports[1].id)
    assert audit.status == "succeeded"
    assert audit.request == AuditRequest(**ASK, seed=1)
    assert audit.started_at == started + timedelta(hours=1)
    assert audit.finished_at == started + timedelta(hours=1, seconds=2)
    assert (audit.progress.phase, audit.progress.done) == ("done", 36)
    redis.flushall()
    assert (await get(http, reports[2].id)).status == "succeeded"
    assert (await http.get(f"/audit/{reports[2].id}/report")).status_code == 200
    assert len((await http.get("/audit")).json()["audits"]) == 3
    assert is_problem(await http.get(f"/audit/{NOBODY}/report"), 404, "unknown-audit")


async def test_the_start_of_the_service_takes_up_finished_audits(app, store_report, redis):
    report = report_of(AuditRequest(**ASK))
    store_report(report)
    async with app.router.lifespan_context(app):
        deadline = time.monotonic() + 10
        while not redis.exists(f"rq:job:{report.id}"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert redis.zcard("zooaudit:audits") == 1


async def test_a_job_that_is_not_understood_counts_as_absent(http, redis):
    redis.hset(f"rq:job:{'a' * 32}", "data", b"nonsense")
    redis.zadd("zooaudit:audits", {"a" * 32: 1.0})
    assert is_problem(await http.get(f"/audit/{'a' * 32}"), 404, "unknown-audit")
    assert (await http.get("/audit")).json() == {"audits": [], "total": 0, "next_cursor": None}


async def test_an_accepted_job_that_is_not_understood_is_written_anew(http, app, redis, monkeypatch):
    audit = (await http.post("/audit", json=ASK)).json()
    redis.hset(f"rq:job:{audit['id']}", "data", b"nonsense")
    assert (await http.get(f"/audit/{audit['id']}")).json() == audit
    monkeypatch.setattr("service.recovery.MISSING_FOR_S", 0.0)
    app.state.recovery.check_accepted()
    assert redis.lrange("rq:queue:audits", 0, -1) == [audit["id"].encode()]
    assert (await http.get("/audit")).json()["audits"] == [audit]
    assert (await http.post("/audit", json=ASK)).status_code == 200


async def test_a_job_of_which_only_a_part_is_left_counts_as_absent(http, redis):
    audit = (await http.post("/audit", json=ASK)).json()
    redis.delete(f"rq:job:{audit['id']}")
    redis.hset(f"rq:job:{audit['id']}", "last_heartbeat", "2026-01-01T00:00:00.000000Z")
    assert (await http.get(f"/audit/{audit['id']}")).json() == audit
    assert (await http.get("/audit")).json()["audits"] == []
