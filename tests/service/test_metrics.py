"""Metrics, read as Prometheus reads them."""

import asyncio
import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from redis import Redis
from rq.job import JobStatus
from rq.utils import utcformat
from zooaudit.contract import ENDS_KEY, members_key
from zooaudit.contract.board import MemberRecord

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
        read = samples(await http.get("/metrics"))
        of_process = {"zooaudit_redis_up", "zooaudit_store_errors_total", "zooaudit_redis_errors_total"}
        assert {name for name, *_ in read} - {"zooaudit_http_requests_total"} == of_process
        assert read["zooaudit_redis_up",] == 0
        assert read["zooaudit_redis_errors_total",] >= 1


async def test_it_answers_while_all_turns_are_taken(app, http):
    app.state.turns._free = asyncio.Semaphore(0)
    assert samples(await http.get("/metrics"))["zooaudit_redis_up",] == 1


async def test_ends_deaths_speed_age_and_requests(app, http, redis: Redis):
    before = samples(await http.get("/metrics"))
    identifier = (await http.post("/audit", json=ASK)).json()["id"]
    await http.delete(f"/audit/{identifier}")
    await http.get(f"/v1/audit/{identifier}")
    await http.get("/nowhere")
    redis.hset(ENDS_KEY, mapping={"deaths": 3, "forward_images": 70})
    born = datetime.now(UTC) - timedelta(hours=1)
    redis.sadd("rq:workers:audits", "rq:worker:one")
    redis.hset("rq:worker:one", mapping={"birth": utcformat(born), "last_heartbeat": utcformat(datetime.now(UTC))})
    redis.zadd("rq:wip:audits", {f"{identifier}:token": time.time() + 60})
    for token, at_s in (("now", time.time()), ("lapsed", time.time() - 3600)):
        member = MemberRecord(worker=token, at_s=at_s, shard="0-a", rate=40.0)
        redis.hset(members_key(identifier), token, member.model_dump_json())
    app.state.metrics._text_until_s = 0.0  # rather than wait until it is old
    read = samples(await http.get("/metrics"))
    assert read["zooaudit_audits_ended_total", "canceled"] == 1
    assert (read["zooaudit_deaths_total",], read["zooaudit_forward_images_total",]) == (3, 70)
    assert read["zooaudit_forward_images_per_second",] == 40
    assert named_in_deploy() <= {name for name, *_ in read} | {"zooaudit_callbacks_total"}
    assert 3600 <= read["zooaudit_worker_age_seconds", "oldest"] < 4200
    for *key, more in (("/audit/{identifier}", "200", 2), ("other", "404", 1)):
        name = ("zooaudit_http_requests_total", *key)
        assert read[name] == before.get(name, 0) + more


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


def named_in_deploy() -> set[str]:
    """Return the metrics that the expressions of the board and of the alerts name."""
    deploy = Path(__file__).parents[2] / "deploy"
    board = json.loads((deploy / "grafana" / "zooaudit.json").read_text())
    alerts = yaml.safe_load((deploy / "prometheus" / "alerts.yml").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    assert len(expressions) >= 15
    named = [re.findall(r"\bzooaudit_\w+", expression) for expression in expressions]
    assert all(named)
    return {name for names in named for name in names}


def test_the_board_sums_only_what_each_process_counts_for_itself():
    board = json.loads((Path(__file__).parents[2] / "deploy" / "grafana" / "zooaudit.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    summed = {name for text in expressions if "sum" in text for name in re.findall(r"\bzooaudit_\w+", text)}
    assert summed <= {"zooaudit_http_requests_total", "zooaudit_store_errors_total", "zooaudit_redis_errors_total"}
