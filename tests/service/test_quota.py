"""How many audits a key may have queued."""

import asyncio

import httpx
import pytest
from rq.job import JobStatus
from zooaudit.contract import CATALOGUE_KEY

from service.app import create_app
from service.settings import ServiceSettings
from tests.fakes import ASK, is_problem

FIRST, SECOND = {"Authorization": "Bearer first"}, {"Authorization": "bearer  second "}


def ask(seed: int) -> dict[str, object]:
    return {**ASK, "seed": seed}


@pytest.fixture
def limited(redis_server, published, tmp_path):  # noqa: ARG001 - only its effect on Redis is needed
    def build(keys: str) -> tuple[httpx.AsyncClient, object]:
        settings = ServiceSettings(
            redis_url=redis_server.url, store=str(tmp_path / "store"), api_keys=keys, max_queued_per_key=2
        )
        app = create_app(settings)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost"), app

    return build


async def test_a_key_at_its_limit_waits_and_others_do_not(limited, redis, set_status):
    http, app = limited("first,second")
    first = [(await http.post("/audit", json=ask(seed), headers=FIRST)).json()["id"] for seed in range(2)]
    refused = await http.post("/audit", json=ask(2), headers=FIRST)
    assert is_problem(refused, 429, "too-many-audits")
    assert int(refused.headers["retry-after"]) > 0
    assert "2 audits queued or running and may have 2" in refused.json()["detail"]
    assert redis.llen("rq:queue:audits") == 2
    assert (await http.post("/audit", json=ask(2), headers=SECOND)).status_code == 202
    # What exists costs nothing: neither an own audit, nor another's.
    for seed in (0, 1, 2):
        assert (await http.post("/audit", json=ask(seed), headers=FIRST)).status_code == 200
    set_status(first[0], JobStatus.STARTED)
    app.state.rows.expire()
    assert (await http.post("/audit", json=ask(3), headers=FIRST)).status_code == 429
    assert b"first" not in b"".join(redis.keys("*"))


@pytest.mark.parametrize("end", ["finished", "failed", "canceled"])
async def test_an_audit_that_ends_makes_room(limited, set_status, end):
    http, app = limited("first")
    first = [(await http.post("/audit", json=ask(seed), headers=FIRST)).json()["id"] for seed in range(2)]
    assert (await http.post("/audit", json=ask(2), headers=FIRST)).status_code == 429
    if end == "canceled":
        assert (await http.delete(f"/audit/{first[0]}", headers=FIRST)).status_code == 200
    else:
        set_status(first[0], JobStatus(end))
        app.state.rows.expire()
    assert (await http.post("/audit", json=ask(2), headers=FIRST)).status_code == 202
    assert (await http.post("/audit", json=ask(3), headers=FIRST)).status_code == 429


async def test_a_failed_audit_that_would_run_again_counts(limited, set_status):
    http, app = limited("first")
    failed = (await http.post("/audit", json=ask(0), headers=FIRST)).json()["id"]
    set_status(failed, JobStatus.FAILED)
    app.state.rows.expire()
    for seed in (1, 2):
        assert (await http.post("/audit", json=ask(seed), headers=FIRST)).status_code == 202
    assert (await http.post("/audit", json=ask(0), headers=FIRST)).status_code == 429


async def test_without_keys_all_count_together(limited):
    http, _ = limited("")
    for seed in range(2):
        assert (await http.post("/audit", json=ask(seed))).status_code == 202
    refused = await http.post("/audit", json=ask(2), headers=FIRST)
    assert is_problem(refused, 429, "too-many-audits")
    assert "This service has" in refused.json()["detail"]


async def test_an_emptied_redis_holds_nothing_against_a_key(limited, redis):
    http, _ = limited("first")
    for seed in range(2):
        await http.post("/audit", json=ask(seed), headers=FIRST)
    catalogue = redis.hgetall(CATALOGUE_KEY)
    redis.flushall()
    redis.hset(CATALOGUE_KEY, mapping=catalogue)
    assert (await http.post("/audit", json=ask(2), headers=FIRST)).status_code == 202


async def test_what_a_key_asked_for_long_ago_is_forgotten(limited, redis, set_status):
    http, app = limited("first")
    for seed in range(6):
        identifier = (await http.post("/audit", json=ask(seed), headers=FIRST)).json()["id"]
        set_status(identifier, JobStatus.FINISHED)
        app.state.rows.expire()
    (name,) = redis.keys("zooaudit:asked:*")
    assert redis.ttl(name) > 0
    redis.zadd(name, dict.fromkeys(redis.zrange(name, 0, -1), 1.0))
    assert (await http.post("/audit", json=ask(7), headers=FIRST)).status_code == 202
    assert redis.zcard(name) == 1


async def test_an_audit_that_another_key_asked_for_takes_no_room(limited):
    http, _ = limited("first,second")
    for seed in range(2):
        assert (await http.post("/audit", json=ask(seed), headers=FIRST)).status_code == 202
    for seed, status in ((0, 200), (1, 200), (2, 202), (3, 202), (4, 429)):
        assert (await http.post("/audit", json=ask(seed), headers=SECOND)).status_code == status


async def test_requests_at_the_same_time_get_no_more_room(limited):
    http, _ = limited("first")
    asked = (http.post("/audit", json=ask(seed), headers=FIRST) for seed in range(20))
    statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
    assert statuses.count(202) == 2
    assert statuses.count(429) == 18
