"""An audit of an operator's checkpoint measures the content that the checkpoint has when the audit is submitted."""

import threading
import time
from collections.abc import Iterator

import pytest
from rq.job import JobStatus
from zooaudit.contract import (
    CHECKPOINT_QUESTIONS_KEY,
    CHECKPOINT_WORK_KEY,
    Audit,
    AuditRequest,
    CheckpointAnswer,
    CheckpointQuestion,
    Weights,
    answer_key,
    audit_id,
    problem,
)

from service import checkpoint_versions
from tests.fakes import ASK, is_problem, report_of

MINE = ASK | {"weights": "checkpoint:mine"}


@pytest.fixture
def worker(redis) -> Iterator[dict[str, CheckpointAnswer]]:
    """A running worker that answers for each checkpoint with what the test puts into this dict."""
    redis.sadd("rq:workers:audits", "rq:worker:one")
    redis.hset("rq:worker:one", "last_heartbeat", "x")
    says: dict[str, CheckpointAnswer] = {}
    ended = threading.Event()

    def answer() -> None:
        while not ended.is_set():
            if question := redis.blpop([CHECKPOINT_QUESTIONS_KEY], timeout=0.2):
                asked = CheckpointQuestion.model_validate_json(question[1])
                assert asked.model == "timm/resnet18.a1_in1k"
                redis.rpush(answer_key(asked.token), says[asked.name].model_dump_json())

    thread = threading.Thread(target=answer)
    thread.start()
    yield says
    ended.set()
    thread.join()


async def test_another_file_under_the_name_is_another_audit(http, worker):
    worker["mine"] = CheckpointAnswer(version="0f")
    first = Audit.model_validate_json((await http.post("/audit", json=MINE)).content)
    assert (first.request.weights, first.request.checkpoint_version) == ("checkpoint:mine", "0f")
    assert (await http.post("/audit", json=MINE)).status_code == 200
    worker["mine"] = CheckpointAnswer(version="1e")
    answer = await http.post("/audit", json=MINE)
    second = Audit.model_validate_json(answer.content)
    assert answer.status_code == 202
    assert (second.request.checkpoint_version, second.id == first.id) == ("1e", False)
    # That of before can still be had, by what it was.
    answer = await http.post("/audit", json=MINE | {"checkpoint_version": "0f"})
    assert (answer.status_code, answer.json()["id"]) == (200, first.id)


async def test_a_checkpoint_that_is_not_there_is_refused_before_it_waits_in_a_queue(http, worker, redis):
    worker["mine"] = CheckpointAnswer(error=problem("unknown-checkpoint", "There are: yours."))
    answer = await http.post("/audit", json=MINE)
    assert is_problem(answer, 422, "unknown-checkpoint")
    assert answer.json()["detail"] == "There are: yours."
    assert not redis.exists("rq:queue:audits")


async def test_a_dry_run_is_of_the_present_content_and_refused_with_it(http, worker, redis):
    worker["mine"] = CheckpointAnswer(version="0f")
    cost = (await http.post("/audit?dry_run=true", json=MINE)).json()
    assert cost["request"]["checkpoint_version"] == "0f"
    assert (await http.post("/audit", json=MINE)).json()["id"] == cost["id"]
    worker["broken"] = CheckpointAnswer(error=problem("weights-mismatch", "It is another model's."))
    broken = await http.post("/audit?dry_run=true", json=MINE | {"weights": "checkpoint:broken"})
    assert is_problem(broken, 422, "weights-mismatch")
    assert redis.llen("rq:queue:audits") == 1


async def test_only_audits_of_the_same_checkpoint_are_of_the_same_model(http, app, worker, store_report):
    worker["mine"] = worker["yours"] = CheckpointAnswer(version="0f")

    async def basis() -> dict[str, object] | None:
        return (await http.post("/audit?dry_run=true", json=MINE | {"seed": 1})).json()["basis"]

    weights = {"kind": "checkpoint", "sha256": "0" * 64, "version": "0f"}
    for name in (None, "yours", "mine"):
        assert await basis() is None  # the catalogue does not know the sizes of models
        report = report_of(AuditRequest(**ASK))
        if name:
            request = AuditRequest(**ASK | {"weights": f"checkpoint:{name}", "checkpoint_version": "0f"})
            model = report.model.model_copy(update={"weights": Weights(origin=name, **weights)})
            report = report.model_copy(update={"id": audit_id(request), "model": model})
        store_report(report)
        app.state.queue.restore(report)
        app.state.rows.expire()
    assert (await basis())["same_model"] is True


async def test_without_a_worker_nobody_knows_the_file(http, redis):
    answer = await http.post("/audit", json=MINE)
    assert is_problem(answer, 503, "unavailable")
    assert "No worker is running" in answer.json()["detail"]
    assert answer.headers["retry-after"]
    assert not redis.exists(CHECKPOINT_QUESTIONS_KEY)


async def test_a_worker_that_is_slow_is_asked_again(http, redis, monkeypatch):
    monkeypatch.setattr(checkpoint_versions, "WAIT_S", 0.1)
    redis.sadd("rq:workers:audits", "rq:worker:one")
    redis.hset("rq:worker:one", "last_heartbeat", "x")
    answer = await http.post("/audit", json=MINE)
    assert is_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"]
    assert not redis.exists(CHECKPOINT_QUESTIONS_KEY)  # nobody waits for it any more
    health = (await http.get("/health")).json()
    assert health["status"] == "degraded"
    assert "No worker answers questions about checkpoints" in health["reasons"][0]
    redis.flushall()


async def test_a_worker_that_is_at_work_is_no_trouble(http, redis, monkeypatch):
    monkeypatch.setattr(checkpoint_versions, "WAIT_S", 0.1)
    redis.sadd("rq:workers:audits", "rq:worker:one")
    redis.hset("rq:worker:one", "last_heartbeat", "x")
    redis.zadd(CHECKPOINT_WORK_KEY, {"large": time.time() + 60, "lapsed": time.time() - 60})
    for body, said in (
        (MINE, "The workers are busy reading checkpoint:large."),
        (MINE | {"weights": "checkpoint:large"}, "still reading checkpoint:large and goes on"),
    ):
        answer = await http.post("/audit", json=body)
        assert is_problem(answer, 503, "unavailable")
        assert said in answer.json()["detail"]
    assert (await http.get("/health")).json()["status"] == "ok"


async def test_a_checkpoint_that_does_not_fit_is_refused_before_it_waits_in_a_queue(http, worker, redis):
    worker["mine"] = CheckpointAnswer(version="0f", error=problem("weights-mismatch", "missing keys 1: fc.bias."))
    for pinned in ({}, {"checkpoint_version": "0f"}):
        answer = await http.post("/audit", json=MINE | pinned)
        assert is_problem(answer, 422, "weights-mismatch")
        assert answer.json()["detail"] == "missing keys 1: fc.bias."
    assert not redis.exists("rq:queue:audits")


async def test_a_version_that_is_no_longer_there_is_refused_unless_its_audit_exists(http, worker, set_status):
    worker["mine"] = CheckpointAnswer(version="1e")
    answer = await http.post("/audit", json=MINE | {"checkpoint_version": "0f"})
    assert is_problem(answer, 422, "checkpoint-replaced")
    assert "its version is 1e, not 0f" in answer.json()["detail"]
    pinned = MINE | {"checkpoint_version": "1e"}
    identifier = (await http.post("/audit", json=pinned)).json()["id"]
    worker["mine"] = CheckpointAnswer(version="2d")
    assert (await http.post("/audit", json=pinned)).status_code == 200
    set_status(identifier, JobStatus.FAILED)  # so it would run again
    assert is_problem(await http.post("/audit", json=pinned), 422, "checkpoint-replaced")


async def test_a_version_whose_report_is_stored_needs_no_worker(http, store_report, redis):
    request = AuditRequest.model_validate(MINE | {"checkpoint_version": "0f"})
    report = report_of(AuditRequest.model_validate(ASK))
    weights = Weights(kind="checkpoint", origin="mine", sha256="0" * 64, version="0f")
    model = report.model.model_copy(update={"weights": weights})
    store_report(report.model_copy(update={"id": audit_id(request), "model": model}))
    answer = await http.post("/audit", json=MINE | {"checkpoint_version": "0f"})
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert not redis.exists(CHECKPOINT_QUESTIONS_KEY)


async def test_a_worker_that_cannot_read_the_file_now_is_asked_again(http, worker):
    worker["mine"] = CheckpointAnswer(error=problem("unavailable", "Reading it took longer than 600 s."))
    answer = await http.post("/audit", json=MINE)
    assert is_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("wrong", [{"weights": "untrained"}, {"checkpoint_version": "../x"}])
async def test_a_version_is_of_a_checkpoint_and_nothing_else(http, wrong):
    body = MINE | {"checkpoint_version": "0f"} | wrong
    assert is_problem(await http.post("/audit", json=body), 422, "invalid-request")
