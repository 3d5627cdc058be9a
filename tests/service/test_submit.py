"""POST /audit: which requests are accepted, which are refused, and which audits run again."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx
import pytest
from obstore.store import MemoryStore
from rq.job import JobStatus
from zooaudit.contract import Audit, AuditRequest, audit_id

from service.accepted import AcceptedAudits
from service.app import create_app
from service.queue import AuditQueue, connect
from service.settings import ServiceSettings
from tests.fakes import ASK, is_problem, report_of


async def test_a_new_audit_is_accepted_with_its_defaults_filled_in(http, redis):
    answer = await http.post("/audit", json={"model": "timm/resnet18.a1_in1k", "dataset": "synthetic"})
    assert answer.status_code == 202
    audit = Audit.model_validate_json(answer.content)
    request = AuditRequest(model="timm/resnet18.a1_in1k", dataset="synthetic")
    assert audit.request == request
    assert audit.id == audit_id(request)
    assert (audit.status, audit.started_at, audit.finished_at, audit.error) == ("queued", None, None, None)
    assert answer.headers["location"] == f"/audit/{audit.id}" == audit.links.self
    assert answer.headers["retry-after"] == "1"
    assert redis.lrange("rq:queue:audits", 0, -1) == [audit.id.encode()]


async def test_the_same_audit_is_one_audit(http, redis):
    first = await http.post("/audit", json=ASK)
    again = await http.post("/audit", json={**ASK, "translations_px": list(range(32, 0, -1)), "model": "resnet18"})
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert redis.llen("rq:queue:audits") == 1


def test_twenty_at_once_are_one_job(settings, redis):
    request = AuditRequest(**ASK)
    start = Barrier(20)

    def submit(_):
        connection = connect(settings.redis_url.get_secret_value())
        queue = AuditQueue(connection)
        connection.ping()
        start.wait()
        return queue.submit(request, lambda _: None, AcceptedAudits(MemoryStore()))[1]

    with ThreadPoolExecutor(20) as pool:
        created = list(pool.map(submit, range(20)))
    assert created.count(True) == 1
    assert redis.llen("rq:queue:audits") == 1


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.STARTED])
async def test_an_audit_under_way_is_not_enqueued_again(http, redis, set_status, status):
    identifier = (await http.post("/audit", json=ASK)).json()["id"]
    set_status(identifier, status)
    assert (await http.post("/audit", json=ASK)).status_code == 200
    assert redis.llen("rq:queue:audits") == 0


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED])
async def test_one_that_failed_or_was_canceled_runs_again_from_scratch(http, redis, set_status, status):
    first = (await http.post("/audit", json=ASK)).json()
    set_status(first["id"], status)
    redis.hset(f"zooaudit:audit:{first['id']}", mapping={"deaths": 3, "outcome": "canceled 1.0", "error": "{}"})
    redis.zadd("rq:wip:audits", {f"{first['id']}:old": 1e12})
    answer = await http.post("/audit", json=ASK)
    assert answer.status_code == 202
    assert answer.json()["status"] == "queued"
    assert answer.json()["created_at"] > first["created_at"]
    assert redis.lrange("rq:queue:audits", 0, -1) == [first["id"].encode()]
    state = redis.hgetall(f"zooaudit:audit:{first['id']}")
    assert (state.pop(b"priority"), float(state.pop(b"place")) > 0) == (b"normal", True)
    assert state == {b"attempt": b""}
    assert redis.zcard("rq:wip:audits") == 0


async def test_one_whose_report_has_vanished_runs_again(http, redis, set_status, store_report, tmp_path):
    identifier = (await http.post("/audit", json=ASK)).json()["id"]
    set_status(identifier, JobStatus.FINISHED)
    store_report(report_of(AuditRequest(**ASK)))
    assert (await http.post("/audit", json=ASK)).status_code == 200
    (tmp_path / "store" / "reports" / f"{identifier}.json").write_text("{ torn")
    assert (await http.post("/audit", json=ASK)).status_code == 202
    assert redis.llen("rq:queue:audits") == 1


async def test_one_that_only_the_store_knows_is_not_measured_again(http, redis, store_report):
    report = report_of(AuditRequest(**ASK))
    store_report(report)
    answer = await http.post("/audit", json=ASK)
    assert answer.status_code == 200
    assert answer.json()["status"] == "succeeded"
    assert answer.json()["id"] == report.id
    assert redis.llen("rq:queue:audits") == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"num_images": 0}, "num_images"),
        ({"num_images": 8.5}, "num_images"),
        ({"num_images": "8"}, "num_images"),
        ({"num_images": None}, "num_images"),
        ({"translations_px": [-1]}, "translations_px.0"),
        ({"translations_px": [1, 500]}, "translations_px.1"),
        ({"translations_px": [3, 3]}, "translations_px"),
        ({"rotations_deg": [45]}, "rotations_deg.0"),
        ({"rotations_deg": [], "translations_px": []}, "request"),
        ({"seed": -1}, "seed"),
        ({"weights": "../../etc/passwd"}, "weights"),
        ({"dataset": "/etc"}, "dataset"),
        ({"model": "<script>alert(1)</script>"}, "model"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_a_bad_field_is_named(http, change, field):
    answer = await http.post("/audit", json=ASK | change)
    assert is_problem(answer, 422, "invalid-request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "script" not in answer.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"warps": [{"kind": "rotation", "amounts": [*range(199)]}]}, "give at most 36, not 199"),
        ({"translations_px": [1] * 129}, "give at most 128, not 129"),
        ({"reflections": ["horizontal"] * 3}, "give at most 2, not 3"),
        ({"deformation": {"displacements_px": [0.5] * 9}}, "give at most 8, not 9"),
        ({"model": "x" * 129}, "give at most 128 characters"),
        ({"translations_px": [2, 2]}, "each value may be given only once"),
        (
            {"translations_px": [], "rotations_deg": []},
            "ask for at least one translation, rotation, reflection or warp",
        ),
        ({"warps": [{"kind": "rotation", "amounts": [181]}]}, "the amounts of rotation are from -180 to 180"),
        ({"warps": "rotation"}, "Input should be a list"),
        ({"deformation": [1]}, "Input should be an object"),
        ({"num_images": "many"}, "Input should be a whole number"),
        ({"local": 1}, "Input should be true or false"),
        ({"dataset": 1}, "Input should be text"),
    ],
)
async def test_a_mistake_is_told_in_plain_words(http, change, message):
    answer = await http.post("/audit", json=ASK | change)
    assert is_problem(answer, 422, "invalid-request")
    assert [error["message"] for error in answer.json()["errors"]] == [message]


async def test_every_bad_field_is_named(http):
    answer = await http.post("/audit", json={"num_images": 0, "seed": -1})
    assert {error["field"] for error in answer.json()["errors"]} == {"model", "num_images", "seed"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"model": NaN', b"[" * 30_000, b'{"model": "\\ud800"}'])
async def test_what_is_not_json_is_400(http, body):
    answer = await http.post("/audit", content=body, headers={"Content-Type": "application/json"})
    assert is_problem(answer, 400, "malformed-json")


@pytest.mark.parametrize("body", ["[]", "null", "7", '"timm/resnet18"'])
async def test_json_that_is_no_object_is_422(http, body):
    answer = await http.post("/audit", content=body, headers={"Content-Type": "application/json; charset=utf-8"})
    assert is_problem(answer, 422, "invalid-request")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_form_of_another_site_is_415(http, content_type):
    answer = await http.post("/audit", content=json.dumps(ASK), headers={"Content-Type": content_type})
    assert is_problem(answer, 415, "unsupported-media-type")


async def test_a_body_beyond_the_limit_is_413_with_and_without_a_length(http):
    async def chunks():
        for _ in range(70):
            yield b" " * 1024

    headers = {"Content-Type": "application/json"}
    with_length = await http.post("/audit", content=b" " * (64 * 1024 + 1), headers=headers)
    assert is_problem(with_length, 413, "body-too-large")
    assert is_problem(await http.post("/audit", content=chunks(), headers=headers), 413, "body-too-large")


async def test_before_any_worker_has_published_the_models_it_is_503(http, redis):
    redis.flushall()
    answer = await http.post("/audit", json=ASK)
    assert is_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "5"
    assert is_problem(await http.get("/models"), 503, "unavailable")


async def test_without_redis_it_is_503_and_reports_are_still_served(tmp_path, store_report):
    settings = ServiceSettings(redis_url="redis://127.0.0.1:1/0", store=str(tmp_path / "store"), api_keys=())
    transport = httpx.ASGITransport(create_app(settings))
    report = report_of(AuditRequest(**ASK))
    store_report(report)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        for answer in (
            await http.post("/audit", json=ASK),
            await http.get("/audit"),
            await http.get(f"/audit/{report.id}"),
            await http.delete(f"/audit/{report.id}"),
            await http.get("/models"),
            await http.get(f"/audit/{'0' * 32}/report"),
        ):
            assert is_problem(answer, 503, "unavailable")
            assert answer.headers["retry-after"] == "5"
        assert (await http.get(f"/audit/{report.id}/report")).json()["id"] == report.id
        health = await http.get("/health")
        assert health.status_code == 200
        assert (health.json()["status"], health.json()["redis"]) == ("degraded", False)
