"""The processes that answer the service's questions are replaced when they die or hang, and no Redis ends them."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError
from zooaudit.contract import TROUBLES_KEY

from tests.e2e.harness import alive, eventually
from worker.queue import side_processes
from worker.queue.side_processes import SideProcess, SideProcesses, serve


@pytest.fixture
def start() -> Iterator[Callable[[SideProcess], SideProcesses]]:
    started: list[SideProcesses] = []

    def begin(one: SideProcess) -> SideProcesses:
        started.append(SideProcesses([one]))
        started[-1].start()
        return started[-1]

    yield begin
    for beside in started:
        beside.kill()


def live(beat: Callable[[], None]) -> None:
    while True:
        beat()
        time.sleep(0.05)


def pid_of(one: SideProcess) -> int:
    assert one.process is not None
    assert one.process.pid is not None
    return one.process.pid


def troubles(redis: Redis) -> list[str]:
    return [sentence.decode() for sentence in redis.zrangebyscore(TROUBLES_KEY, time.time(), "inf")]


def test_a_process_that_was_killed_is_started_again_and_health_tells(redis, start) -> None:
    one = SideProcess("counts sheep", live)
    beside = start(one)
    beside.look_after(redis)
    first = pid_of(one)
    assert (alive(first), troubles(redis)) == (True, [])
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not alive(first), 5.0)
    beside.look_after(redis)
    assert pid_of(one) != first
    assert alive(pid_of(one))
    assert troubles(redis) == ["The process of a worker that counts sheep died (signal 9); it was started again."]


def test_a_process_that_hangs_is_replaced(redis, start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_processes, "SILENCE_LIMIT_S", 1.0)
    one = SideProcess("counts sheep", live)
    beside = start(one)
    first = pid_of(one)
    os.kill(first, signal.SIGSTOP)
    eventually(lambda: beside.look_after(redis) or pid_of(one) != first, 20.0)
    assert not alive(first)
    assert alive(pid_of(one))
    assert troubles(redis) == ["The process of a worker that counts sheep hung; it was started again."]


def test_a_redis_that_refuses_to_note_the_trouble_does_not_end_the_worker(redis, start) -> None:
    redis.set(TROUBLES_KEY, "of another type")  # so that Redis answers with an error
    one = SideProcess("counts sheep", live)
    beside = start(one)
    os.kill(pid_of(one), signal.SIGKILL)
    first = pid_of(one)
    eventually(lambda: beside.look_after(redis) or pid_of(one) != first, 5.0)
    assert alive(pid_of(one))


@pytest.mark.parametrize("refusal", ["READONLY", "OOM", "MISCONF", "NOPERM", "LOADING"])
def test_whatever_redis_refuses_it_is_asked_again_and_the_log_says_so_once(
    redis_server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refusal: str
) -> None:
    monkeypatch.setattr(side_processes, "POLL_S", 0.01)
    asked = 0

    class Enough(BaseException):
        pass

    def answer_next(_redis: Any) -> None:
        nonlocal asked
        asked += 1
        if asked == 5:
            raise Enough
        raise ResponseError(f"{refusal} not now")

    with pytest.raises(Enough):
        serve(redis_server.url, answer_next, lambda: None)
    assert [record.message for record in caplog.records] == [
        f"questions of the service wait for Redis: {refusal} not now"
    ]


def test_a_real_redis_that_is_read_only_is_waited_for(
    redis, redis_server, monkeypatch: pytest.MonkeyPatch, start
) -> None:
    monkeypatch.setattr(side_processes, "POLL_S", 0.05)

    def take(connection: Any) -> None:
        if popped := connection.blpop(["questions"], timeout=0.1):
            connection.rpush("answers", popped[1])

    one = SideProcess("answers", lambda beat: serve(redis_server.url, take, beat))
    beside = start(one)
    redis.rpush("questions", "one")
    assert redis.blpop(["answers"], timeout=20)
    redis.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(ResponseError):
            redis.rpush("questions", "two")
        time.sleep(0.5)  # some refused tries
    finally:
        redis.replicaof("NO", "ONE")
    first = pid_of(one)
    redis.rpush("questions", "three")
    assert redis.blpop(["answers"], timeout=20) == (b"answers", b"three")
    beside.look_after(redis)
    assert pid_of(one) == first


def test_a_bug_costs_one_question_only(redis, redis_server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_processes, "POLL_S", 0.05)
    answered = threading.Event()

    class Enough(BaseException):
        pass

    def take(connection: Any) -> None:
        question = connection.blpop(["questions"], timeout=0.1)
        if question and question[1] == b"wrong":
            raise ZeroDivisionError
        answered.set()
        raise Enough

    redis.rpush("questions", "wrong", "right")
    with pytest.raises(Enough):
        serve(redis_server.url, take, lambda: None)
    assert answered.is_set()
