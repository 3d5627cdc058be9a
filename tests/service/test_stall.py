"""Health and the dashboard's files do not wait for requests that wait; those give up soon when Redis stalls."""

import asyncio
import signal
import sys
import threading

import httpx
import pytest
from zooaudit.contract import Health

from service.processes import free_port, start, stop, tail
from service.queue import AuditQueue
from service.redis_server import EmbeddedRedis
from service.turns import LISTS, OTHERS
from tests.fakes import is_problem
from tests.service.test_connections import wait_until

FILES = ("/", "/static/app.js", "/static/plotly.min.js")
UNKNOWN = f"/audit/{'0' * 32}"


@pytest.fixture
def stalled(monkeypatch):
    """The queue's reads do not come back before this event is set."""
    released = threading.Event()
    real_read = AuditQueue.read

    def read(queue: AuditQueue, identifiers: list[str]) -> object:
        released.wait()
        return real_read(queue, identifiers)

    monkeypatch.setattr(AuditQueue, "read", read)
    yield released
    released.set()


@pytest.mark.parametrize(("path", "turns"), [("/audit", LISTS), (UNKNOWN, OTHERS)])
async def test_nothing_waits_behind_pollers(http, stalled, path, turns):
    pollers = [asyncio.create_task(http.get(path)) for _ in range(turns + 50)]
    refused, waiting = await asyncio.wait(pollers, return_when=asyncio.FIRST_COMPLETED)
    while len(refused) < 50:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        refused |= done
    for answer in (poller.result() for poller in refused):
        assert is_problem(answer, 503, "unavailable")
        assert "Too many requests" in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) > 0
    health = [http.get("/health") for _ in range(60)]
    for answer in await asyncio.gather(*health, *(http.get(file) for file in FILES)):
        assert answer.status_code == 200
    assert (await http.get("/models")).status_code == (200 if path == "/audit" else 503)
    assert not any(poller.done() for poller in waiting)
    assert len(waiting) == turns
    stalled.set()
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200 if path == "/audit" else 404}
    assert (await http.get(path)).status_code == (200 if path == "/audit" else 404)


async def test_a_turn_ends_when_its_request_fails(http):
    for _ in range(OTHERS + 1):
        assert is_problem(await http.get(UNKNOWN), 404, "unknown-audit")
    for _ in range(LISTS + 1):
        assert (await http.get("/audit", params={"limit": 0})).status_code == 422
        assert (await http.get("/audit", params={"cursor": "x"})).status_code == 422
    assert (await http.get("/audit")).status_code == 200


async def test_a_redis_that_stalls_costs_seconds_and_is_named(tmp_path):
    redis = EmbeddedRedis(tmp_path / "redis")
    redis.start()
    assert redis.process is not None
    port, log = free_port(), tmp_path / "api.log"
    env = {
        "ZOOAUDIT_REDIS_URL": redis.url,
        "ZOOAUDIT_STORE": str(tmp_path / "store"),
        "ZOOAUDIT_PORT": str(port),
        "PYTHONPATH": ":".join(sys.path),
    }
    service = start([sys.executable, "-m", "service"], log, env)
    limits = httpx.Limits(max_connections=None)
    try:
        wait_until(lambda: "running on" in tail(log))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30) as http:
            assert Health.model_validate_json((await http.get("/health")).content).redis
            assert (await http.get("/audit")).status_code == 200
            redis.process.send_signal(signal.SIGSTOP)
            pollers = [asyncio.create_task(http.get(path)) for path in ("/audit", UNKNOWN) for _ in range(60)]
            for file in FILES:
                assert (await http.get(file)).status_code == 200
            health = Health.model_validate_json((await http.get("/health")).content)
            assert (health.status, health.redis, health.reasons) == ("degraded", False, ("Redis does not answer.",))
            for answer in await asyncio.gather(*pollers):
                assert is_problem(answer, 503, "unavailable")
            redis.process.send_signal(signal.SIGCONT)
            assert Health.model_validate_json((await http.get("/health")).content).redis
            assert (await http.get("/audit")).status_code == 200
    finally:
        redis.process.send_signal(signal.SIGCONT)
        stop(service, wait_s=10)
        redis.stop()
    assert len(log.read_text().splitlines()) < 40, tail(log)
