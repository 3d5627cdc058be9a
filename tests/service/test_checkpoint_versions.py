"""An audit of an operator's checkpoint measures the content that the checkpoint has when the audit is submitted."""

import threading
from collections.abc import Iterator

import pytest
from zooaudit.contract import WANTED_VERSIONS_KEY, Audit, CheckpointVersion, problem, version_key

from service import checkpoint_versions
from tests.fakes import ASK, is_problem

MINE = ASK | {"weights": "checkpoint:mine"}


@pytest.fixture
def worker(redis) -> Iterator[dict[str, CheckpointVersion]]:
    """A running worker that answers for each checkpoint with what the test puts into this dict."""
    redis.sadd("rq:workers:audits", "rq:worker:one")
    redis.hset("rq:worker:one", "last_heartbeat", "x")
    says: dict[str, CheckpointVersion] = {}
    ended = threading.Event()

    def answer() -> None:
        while not ended.is_set():
            if question := redis.blpop([WANTED_VERSIONS_KEY], timeout=0.2):
                token, _, name = question[1].decode().partition(" ")
                redis.rpush(version_key(token), says[name].model_dump_json())

    thread = threading.Thread(target=answer)
    thread.start()
    yield says
    ended.set()
    thread.join()


async def test_another_file_under_the_name_is_another_audit(http, worker):
    worker["mine"] = CheckpointVersion(version="0f")
    first = Audit.model_validate_json((await http.post("/audit", json=MINE)).content)
    assert (first.request.weights, first.request.checkpoint_version) == ("checkpoint:mine", "0f")
    assert (await http.post("/audit", json=MINE)).status_code == 200
    worker["mine"] = CheckpointVersion(version="1e")
    answer = await http.post("/audit", json=MINE)
    second = Audit.model_validate_json(answer.content)
    assert answer.status_code == 202
    assert (second.request.checkpoint_version, second.id == first.id) == ("1e", False)
    # That of before can still be had, by what it was.
    answer = await http.post("/audit", json=MINE | {"checkpoint_version": "0f"})
    assert (answer.status_code, answer.json()["id"]) == (200, first.id)


async def test_a_checkpoint_that_is_not_there_is_refused_before_it_waits_in_a_queue(http, worker, redis):
    worker["mine"] = CheckpointVersion(error=problem("unknown-checkpoint", "There are: yours."))
    answer = await http.post("/audit", json=MINE)
    assert is_problem(answer, 422, "unknown-checkpoint")
    assert answer.json()["detail"] == "There are: yours."
    assert not redis.exists("rq:queue:audits")


async def test_without_a_worker_nobody_knows_the_file(http, redis):
    answer = await http.post("/audit", json=MINE)
    assert is_problem(answer, 503, "unavailable")
    assert "No worker is running" in answer.json()["detail"]
    assert answer.headers["retry-after"]
    assert not redis.exists(WANTED_VERSIONS_KEY)


async def test_a_worker_that_is_slow_is_asked_again(http, redis, monkeypatch):
    monkeypatch.setattr(checkpoint_versions, "WAIT_S", 0.1)
    redis.sadd("rq:workers:audits", "rq:worker:one")
    redis.hset("rq:worker:one", "last_heartbeat", "x")
    answer = await http.post("/audit", json=MINE)
    assert is_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"]
    assert not redis.exists(WANTED_VERSIONS_KEY)  # nobody waits for it any more


@pytest.mark.parametrize("wrong", [{"weights": "untrained"}, {"checkpoint_version": "../x"}])
async def test_a_version_is_of_a_checkpoint_and_nothing_else(http, wrong):
    body = MINE | {"checkpoint_version": "0f"} | wrong
    assert is_problem(await http.post("/audit", json=body), 422, "invalid-request")
