"""Redis answers but refuses: the worker's connection waits, and everything is done once it takes commands again."""

import logging
import threading
import time
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from service.redis_server import EmbeddedRedis
from worker.queue.patience import Patience, connect

REFUSALS = {
    "READONLY": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
    "OOM": (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
    "NOPERM": (["ACL", "SETUSER", "default", "-set", "-exec"], ["ACL", "SETUSER", "default", "+@all"]),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("refusing"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=REFUSALS)
def refusing(request, server) -> Iterator[Redis]:
    """A Redis that refuses writes until its fixture's ``allow()`` is called, or the test ends."""
    refuse, allow = REFUSALS[request.param]
    with Redis.from_url(server.url) as redis:
        redis.flushall()
        redis.execute_command(*refuse)
        redis.allow = lambda: redis.execute_command(*allow)
        yield redis
        redis.allow()


def later(call) -> threading.Timer:
    timer = threading.Timer(0.7, call)
    timer.start()
    return timer


def test_a_command_waits_until_redis_takes_it(server, refusing, caplog) -> None:
    patience = Patience()
    patient = connect(server.url, patience)
    assert patience.quiet_for_s() == float("inf")
    timer = later(refusing.allow)
    with caplog.at_level(logging.WARNING):
        assert patient.set("key", "value")
    timer.join()
    assert refusing.get("key") == b"value"
    assert patience.quiet_for_s() < 5
    assert len(caplog.messages) == 1
    assert "it refuses commands: " in caplog.messages[0]


def test_a_transaction_waits_as_a_whole(server, refusing) -> None:
    patient = connect(server.url, Patience())
    timer = later(refusing.allow)
    with patient.pipeline() as pipe:
        pipe.set("one", 1)
        pipe.incr("two")
        assert pipe.execute() == [True, 1]
    timer.join()
    assert refusing.mget("one", "two") == [b"1", b"1"]


def test_patience_can_be_limited_while_it_waits(server, refusing) -> None:
    patience = Patience()
    timer = later(lambda: patience.update_retries(0))
    started_s = time.monotonic()
    with pytest.raises(ResponseError):
        connect(server.url, patience).set("key", "value")
    timer.join()
    assert time.monotonic() - started_s >= 0.7
    assert refusing.get("key") is None


def test_a_mistake_is_no_refusal(redis_server) -> None:
    patient = connect(redis_server.url, Patience())
    patient.set("text", "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        patient.lpush("text", "y")


def test_what_redis_py_names_is_known_by_its_code() -> None:
    from zooaudit.contract import refusal

    assert "(READONLY)" in (refusal(ReadOnlyError("You can't write", status_code="READONLY")) or "")
    assert "(OOM)" in (refusal(OutOfMemoryError("command not allowed", status_code="OOM")) or "")
    script = "ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write against a replica."
    assert "(READONLY)" in (refusal(ResponseError(script)) or "")
    assert refusal(RedisError("ERR syntax error")) is None
