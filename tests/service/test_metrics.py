"""Metrics, read as Prometheus reads them."""

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from redis import Redis
from rq.job import JobStatus

from service.app import create_app
from service.callbacks import COUNTS_KEY
from service.processes import free_port
from service.settings import ServiceSettings
from tests.fakes import ASK


def samples(answer: httpx.Response) -> dict[tuple[str, ...], float]:
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


async def test_the_queue_and_what_has_ended(http, redis: Redis, set_status):
    ids = [(await http.post("/audit", json={**ASK, "seed": seed})).json()["id"] for seed in range(3)]
    set_status(ids[0], JobStatus.FAILED)
    redis.hset(COUNTS_KEY, "given up", 2)
    read = samples(await http.get("/metrics"))
    assert read["zooaudit_redis_up",] == 1
    assert (read["zooaudit_queue_length",], read["zooaudit_workers",]) == (2, 0)
    assert (read["zooaudit_audits", "failed"], read["zooaudit_audits", "queued"]) == (1, 2)
    assert 0 < read["zooaudit_queue_oldest_wait_seconds",] < 600
    assert read["zooaudit_callbacks_total", "given up"] == 2


async def test_without_redis_it_says_so(tmp_path):
    settings = ServiceSettings(redis_url=SecretStr(f"redis://127.0.0.1:{free_port()}/0"), store=str(tmp_path))
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        assert samples(await http.get("/metrics")) == {("zooaudit_redis_up",): 0}


async def test_it_needs_the_key_where_reading_does(redis_server, tmp_path):
    settings = ServiceSettings(
        redis_url=redis_server.url,
        store=str(tmp_path),
        api_keys=(SecretStr("key"),),
        keys_guard_reads=True,
    )
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        assert (await http.get("/metrics")).status_code == 401
        assert (await http.get("/metrics", headers={"Authorization": "Bearer key"})).status_code == 200
