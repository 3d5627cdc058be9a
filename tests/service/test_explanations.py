"""Explanations over HTTP: asked for, waited for, served from the store, refused with the reason."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from rq.job import JobStatus
from zooaudit.contract import (
    EXPLAINING_KEY,
    MAX_WAITING,
    WANTED_EXPLANATIONS_KEY,
    AuditRequest,
    Explanation,
    ExplanationQuestion,
    ExplanationRequest,
    LeastEquivariant,
    LeastEquivariantRequest,
    Report,
    explanation_key,
    failure_key,
    problem,
)

from service.app import create_app
from service.settings import ServiceSettings
from tests.fakes import ASK, is_problem, report_of

MAPS: dict[str, Any] = {"block": "layer0", "image": 3, "angle_deg": 90}


@pytest.fixture
def report(store_report) -> Report:
    made_up = report_of(AuditRequest(**ASK))
    store_report(made_up)
    return made_up


@pytest.fixture
def worker(redis) -> None:
    """A worker that lives, and answers nothing."""
    redis.sadd("rq:workers:audits", "rq:worker:one")
    redis.hset("rq:worker:one", "last_heartbeat", "x")


def question_of(report: Report, **changes: Any) -> ExplanationQuestion:
    return ExplanationQuestion(audit=report.id, maps=ExplanationRequest(**(MAPS | changes)))


def store(tmp_path: Path, question: ExplanationQuestion, content: str) -> None:
    path = tmp_path / "store" / explanation_key(question)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def explanation(report: Report) -> Explanation:
    return Explanation(
        audit=report.id,
        block="layer0",
        part="Early",
        place=3,
        image="3.png",
        angle_deg=90,
        border="crop",
        precision="float32",
        height=1,
        width=1,
        shown_height=1,
        shown_width=1,
        channels_of_block=1,
        channels=(),
        audit_channel=0.3,
    )


@pytest.mark.usefixtures("worker")
async def test_it_is_asked_for_once_waited_for_and_then_served(http, redis, report, tmp_path):
    path = f"/audit/{report.id}/explanation"
    assert is_problem(await http.get(path, params=MAPS), 404, "unknown-explanation")
    for _ in range(2):
        asked = await http.post(path, json=MAPS)
        assert (asked.status_code, asked.headers["retry-after"]) == (202, "1")
        assert asked.json() == {"state": "waiting", "before": 0}
    assert redis.zcard(WANTED_EXPLANATIONS_KEY) == 1
    second = await http.post(f"/audit/{report.id}/least-equivariant", json={"shift_px": 1})
    assert second.json() == {"state": "waiting", "before": 1}
    question = ExplanationQuestion.model_validate_json(redis.zpopmin(WANTED_EXPLANATIONS_KEY)[0][0])
    assert question == question_of(report)
    redis.zadd(EXPLAINING_KEY, {question.model_dump_json(): time.time() + 60})
    assert (await http.get(path, params=MAPS)).json() == {"state": "making", "before": 0}
    assert (await http.post(path, json=MAPS)).json() == {"state": "making", "before": 0}
    content = explanation(report).model_dump_json()
    store(tmp_path, question, content)
    for answer in (await http.get(path, params=MAPS), await http.post(path, json=MAPS)):
        assert (answer.status_code, answer.text) == (200, content)
    tag = {"If-None-Match": (await http.get(path, params=MAPS)).headers["etag"]}
    assert (await http.get(path, params=MAPS, headers=tag)).status_code == 304
    assert (await http.post(path, json=MAPS, headers=tag)).status_code == 200


@pytest.mark.usefixtures("worker")
async def test_one_whose_worker_has_died_is_unknown_and_can_be_asked_again(http, redis, report):
    path = f"/audit/{report.id}/explanation"
    redis.zadd(EXPLAINING_KEY, {question_of(report).model_dump_json(): time.time() - 1})
    assert is_problem(await http.get(path, params=MAPS), 404, "unknown-explanation")
    assert (await http.post(path, json=MAPS)).status_code == 202


@pytest.mark.usefixtures("worker")
async def test_a_failure_is_told_until_it_is_asked_again(http, redis, report):
    path = f"/audit/{report.id}/explanation"
    failure = problem("dataset-changed", "It has other images.")
    redis.set(failure_key(question_of(report)), failure.model_dump_json())
    for _ in range(2):
        assert is_problem(await http.get(path, params=MAPS), 409, "dataset-changed")
    assert (await http.post(path, json=MAPS)).status_code == 202
    assert (await http.get(path, params=MAPS)).status_code == 202


@pytest.mark.usefixtures("worker")
async def test_a_damaged_one_is_made_anew(http, report, tmp_path):
    store(tmp_path, question_of(report), explanation(report).model_dump_json()[:50])
    assert (await http.post(f"/audit/{report.id}/explanation", json=MAPS)).status_code == 202


@pytest.mark.usefixtures("worker")
async def test_no_more_may_wait_than_the_limit(http, report):
    path = f"/audit/{report.id}/explanation"
    for image in range(8):
        for block in ("layer0", "layer1", "layer2"):
            assert (await http.post(path, json=MAPS | {"image": image, "block": block})).status_code == 202
    for image in range(MAX_WAITING - 24):
        assert (await http.post(path, json={"block": "layer0", "image": image, "shift_px": 1})).status_code == 202
    refused = await http.post(path, json={"block": "layer1", "image": 0, "shift_px": 1})
    assert is_problem(refused, 429, "too-many-explanations")
    assert refused.headers["retry-after"]
    assert (await http.post(path, json=MAPS)).status_code == 202  # it waits already


async def test_without_a_worker_nobody_waits_in_vain(http, redis, report):
    answer = await http.post(f"/audit/{report.id}/explanation", json=MAPS)
    assert is_problem(answer, 503, "unavailable")
    assert "No worker is running" in answer.json()["detail"]
    assert redis.zcard(WANTED_EXPLANATIONS_KEY) == 0


@pytest.mark.usefixtures("worker")
async def test_one_that_waits_for_too_long_is_given_up_and_health_tells(http, redis, report):
    redis.zadd(WANTED_EXPLANATIONS_KEY, {question_of(report).model_dump_json(): time.time() - 4000})
    answer = await http.get(f"/audit/{report.id}/explanation", params=MAPS)
    assert is_problem(answer, 503, "unavailable")
    assert "No worker makes explanations" in (await http.get("/health")).json()["reasons"][0]
    assert redis.zcard(WANTED_EXPLANATIONS_KEY) == 0


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("changes", "slug", "said"),
    [
        ({"block": "layer9"}, "not-explainable", "has no block 'layer9'"),
        ({"block": "layer3"}, "not-explainable", "has no block 'layer3' with maps; take one of: layer0, layer1"),
        ({"image": 8}, "not-explainable", "has measured 8 images"),
        ({"angle_deg": None, "shift_px": 33}, "not-explainable", "has not measured 33 px; it has 1 px, 2 px"),
        ({"angle_deg": None, "axis": "vertical"}, "not-explainable", "has not measured vertical; it has 1 px, 2 px"),
        ({"shift_px": 1}, "invalid-request", "give one of shift_px, angle_deg, axis and warp"),
        ({"angle_deg": None}, "invalid-request", "give one of shift_px, angle_deg, axis and warp"),
        ({"angle_deg": 45}, "invalid-request", "angle_deg"),
        ({"angle_deg": None, "warp": "rotation", "amount": 15}, "not-explainable", "not measured warp rotation 15; it"),
        ({"angle_deg": None, "warp": "rotation"}, "invalid-request", "a warp has an amount, and nothing else has one"),
        ({"amount": 15}, "invalid-request", "a warp has an amount, and nothing else has one"),
        ({"angle_deg": None, "warp": "twist", "amount": 1}, "invalid-request", "warp"),
        ({"angle_deg": None, "warp": "rotation", "amount": "much"}, "invalid-request", "amount"),
        ({"image": 10**6}, "invalid-request", "image"),
        ({"block": ""}, "invalid-request", "block"),
    ],
)
async def test_what_the_report_shows_to_be_impossible_is_refused(http, redis, report, changes, slug, said):
    asked = {name: value for name, value in (MAPS | changes).items() if value is not None}
    for answer in (
        await http.post(f"/audit/{report.id}/explanation", json=asked),
        await http.get(f"/audit/{report.id}/explanation", params=asked),
    ):
        assert is_problem(answer, 422, slug)
        assert said in answer.json()["detail"]
    assert redis.zcard(WANTED_EXPLANATIONS_KEY) == 0


@pytest.mark.usefixtures("worker")
async def test_an_audit_that_has_not_succeeded_is_not_explained(http, redis, set_status):
    for path in ("explanation", "least-equivariant"):
        asked = {"angle_deg": 90} | (MAPS if path == "explanation" else {})
        assert is_problem(await http.post(f"/audit/{'0' * 32}/{path}", json=asked), 404, "unknown-audit")
        assert is_problem(await http.post(f"/audit/x/{path}", json=asked), 404, "unknown-audit")
    identifier = (await http.post("/audit", json=ASK)).json()["id"]
    for status in (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.FAILED):
        set_status(identifier, status)
        assert is_problem(await http.post(f"/audit/{identifier}/explanation", json=MAPS), 409, "not-ready")
    assert redis.zcard(WANTED_EXPLANATIONS_KEY) == 0


@pytest.mark.usefixtures("worker", "published")
@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"api_keys": ()}, True),
        ({"api_keys": ("k",)}, False),
        ({"api_keys": ("k",), "keys_guard_reads": True}, True),
        ({"api_keys": ("k",), "show_images": True}, True),
        ({"api_keys": (), "show_images": False}, False),
    ],
)
async def test_strangers_see_no_images_of_the_operator(redis_server, redis, tmp_path, store_report, settings, shown):
    app = create_app(ServiceSettings(redis_url=redis_server.url, store=str(tmp_path / "store"), **settings))
    photos = report_of(AuditRequest(**(ASK | {"dataset": "photos"})))
    store_report(photos)
    synthetic = report_of(AuditRequest(**ASK))
    store_report(synthetic)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": "Bearer k"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        answer = await client.post(f"/audit/{photos.id}/explanation", json=MAPS)
        assert answer.status_code == 202 if shown else is_problem(answer, 403, "images-hidden")
        assert (await client.post(f"/audit/{synthetic.id}/explanation", json=MAPS)).status_code == 202
        redis.delete(WANTED_EXPLANATIONS_KEY)
        assert (await client.post(f"/audit/{photos.id}/least-equivariant", json={"angle_deg": 90})).status_code == 202
    ((asked, _),) = redis.zrange(WANTED_EXPLANATIONS_KEY, 0, -1, withscores=True)
    assert ExplanationQuestion.model_validate_json(asked).pictures is shown


async def test_asking_needs_the_key(redis_server, published, tmp_path, store_report):  # noqa: ARG001
    app = create_app(ServiceSettings(redis_url=redis_server.url, store=str(tmp_path / "store"), api_keys=("k",)))
    report = report_of(AuditRequest(**ASK))
    store_report(report)
    question = ExplanationQuestion(audit=report.id, least=LeastEquivariantRequest(angle_deg=90))
    least = LeastEquivariant(
        audit=report.id, border="crop", precision="float32", images=1, changed=None, mean_pool=1, mean_final=1, least=()
    )
    store(tmp_path, question, least.model_dump_json())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    path = f"/audit/{report.id}/least-equivariant"
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert is_problem(await client.post(path, json={"angle_deg": 90}), 401, "unauthorized")
        assert (await client.get(path, params={"angle_deg": 90})).json()["images"] == 1
