"""The order of the queue: by priority, age and length; and what a queued audit tells about its place in it."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore
from redis import Redis
from rq.job import Job, JobStatus
from zooaudit.contract import (
    HELP_PREFIX,
    Audit,
    AuditRequest,
    Cost,
    MemberRecord,
    PlanRecord,
    ShardRecord,
    Status,
    audit_id,
    board_key,
    members_key,
    place_of,
    state_key,
)

from service.accepted import AcceptedAudits
from service.queue import AuditQueue, WaitingLine
from tests.fakes import ASK

QUEUE = "rq:queue:audits"
PRIORITIES = ("low", "normal", "high")


@pytest.fixture
def queue(redis) -> AuditQueue:
    return AuditQueue(redis)


@pytest.fixture
def accepted() -> AcceptedAudits:
    return AcceptedAudits(MemoryStore())


@pytest.fixture
def submit(queue, accepted):
    def ask(seed: int, priority: str = "normal", estimated_s: float | None = None) -> str:
        request = AuditRequest(**ASK, seed=seed, priority=priority)
        return queue.submit(request, lambda _: None, accepted, lambda _: estimated_s)[0].id

    return ask


@pytest.fixture
def waiting(redis):
    """The ids in the queue, the one that a worker takes next first."""
    return lambda: [identifier.decode() for identifier in redis.lrange(QUEUE, 0, -1)]


@pytest.fixture
def start(redis):
    """Let a worker begin the next audit; with its progress, if that is given. Returns its id."""

    def begin(progress: dict[str, Any] | None = None) -> str:
        identifier = redis.lpop(QUEUE).decode()
        Job.fetch(identifier, connection=redis, serializer="json").set_status(JobStatus.STARTED)
        redis.zadd("rq:wip:audits", {f"{identifier}:token": time.time() + 60})
        if progress:
            redis.hset(state_key(identifier), "progress", json.dumps(progress))
        return identifier

    return begin


@pytest.fixture
def workers(redis):
    def appear(number: int) -> None:
        for name in map(str, range(number)):
            redis.sadd("rq:workers:audits", f"rq:worker:{name}")
            redis.hset(f"rq:worker:{name}", "last_heartbeat", "now")

    return appear


def positions(redis: Redis, queue: AuditQueue, identifiers: list[str]) -> dict[str, tuple[int, float | None] | None]:
    line = WaitingLine(redis)
    audits = {identifier: line.show(audit) for identifier, audit in queue.read(identifiers).items()}
    return {
        identifier: (audit.queue.position, audit.queue.starts_in_s) if audit.queue else None
        for identifier, audit in audits.items()
    }


@pytest.mark.parametrize("seed", range(8))
def test_the_queue_is_always_sorted_by_place(queue, accepted, redis, submit, waiting, start, seed):
    """Submissions, starts, cancels, raises and losses in random order never leave an id at a wrong place, or twice."""
    chance = random.Random(seed)
    asked: dict[int, str] = {}

    def places() -> list[float]:
        """The places of those that wait, computed anew."""
        audits = queue.read(waiting())
        with redis.pipeline() as pipe:
            for identifier in audits:
                pipe.hget(state_key(identifier), "estimated_s")
            known = [None if one is None else float(one) for one in pipe.execute()]
        return [
            place_of(audit.request, audit.created_at.timestamp(), estimated_s)
            for audit, estimated_s in zip(audits.values(), known, strict=True)
        ]

    for step in range(120):
        deed = chance.random()
        before = waiting()
        if deed < 0.55 or not before:
            asked[step] = submit(step, chance.choice(PRIORITIES), chance.choice([None, 0.5, 5, 60, 600, 1e5]))
            assert sorted(waiting()) == sorted([*before, asked[step]])
        elif deed < 0.7:
            again = chance.choice([number for number, identifier in asked.items() if identifier in before])
            old = queue.get(asked[again]).request.priority
            new = chance.choice(PRIORITIES)
            submit(again, new, estimated_s=1.0)
            assert queue.get(asked[again]).request.priority == max(old, new, key=PRIORITIES.index)
            assert sorted(waiting()) == sorted(before)
        elif deed < 0.85:
            assert start() == before[0]
        elif deed < 0.95:
            queue.cancel(chance.choice(before))
        else:
            lost = chance.choice(before)
            redis.lrem(QUEUE, 0, lost)
            redis.delete(f"rq:job:{lost}", state_key(lost))
            assert queue.take_up(accepted.load(lost))
            assert sorted(waiting()) == sorted(before)
        assert places() == sorted(places())


def test_many_at_once_are_sorted_too(redis, submit, waiting):
    chance = random.Random(0)
    asks = [(seed, chance.choice(PRIORITIES), chance.choice([None, 1.0, 50.0])) for seed in range(120)]
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda ask: submit(*ask), asks))
    places = [float(redis.hget(state_key(identifier), "place")) for identifier in waiting()]
    assert len(set(waiting())) == 120
    assert places == sorted(places)


def test_a_short_audit_is_not_behind_a_hundred_long_ones(submit, waiting):
    long = [submit(seed, estimated_s=600.0) for seed in range(100)]
    short = submit(100, estimated_s=5.0)
    assert waiting() == [short, *long]


def test_a_sweep_of_long_ones_is_not_overtaken_for_ever(queue, submit, waiting, monkeypatch):
    """Short audits that are accepted more than ten times its length later wait behind a long one."""
    long = submit(0, estimated_s=60.0)
    late = queue._new_job

    def accepted_later(*arguments: Any) -> Job:
        job = late(*arguments)
        job.created_at = datetime.fromtimestamp(job.created_at.timestamp() + 601, UTC)
        return job

    before = submit(1, estimated_s=1.0)
    monkeypatch.setattr(queue, "_new_job", accepted_later)
    after = submit(2, estimated_s=0.5)
    assert waiting() == [before, long, after]


@pytest.mark.parametrize(("old", "new"), [("low", "normal"), ("low", "high"), ("normal", "high")])
async def test_a_higher_priority_moves_a_queued_audit_up(http, app, redis, waiting, tmp_path, old, new):
    for seed in range(3):
        await http.post("/audit", json={**ASK, "seed": seed, "priority": old})
    first, second, third = waiting()
    answer = await http.post("/audit", json={**ASK, "seed": 2, "priority": new})
    audit = Audit.model_validate_json(answer.content)
    assert (answer.status_code, audit.id, audit.request.priority) == (200, third, new)
    assert answer.json()["queue"]["position"] == 1
    assert waiting() == [third, first, second]
    assert (await http.get(f"/audit/{third}")).json() == answer.json()
    kept = AcceptedAudits(LocalStore(tmp_path / "store")).load(third)
    assert kept.request.priority == new
    redis.flushall()
    for identifier in (first, second, third):
        assert app.state.queue.take_up(AcceptedAudits(LocalStore(tmp_path / "store")).load(identifier))
    assert waiting() == [third, first, second]
    assert app.state.queue.get(third).request.priority == new


@pytest.mark.parametrize(("old", "new"), [("high", "normal"), ("high", "low"), ("normal", "low"), ("low", "low")])
async def test_a_lower_priority_changes_nothing(http, redis, waiting, old, new):
    for seed in range(2):
        await http.post("/audit", json={**ASK, "seed": seed, "priority": old})
    order, first = waiting(), (await http.get(f"/audit/{waiting()[0]}")).json()
    everything = {key: redis.dump(key) for key in redis.scan_iter("*") if b"asked" not in key}
    answer = await http.post("/audit", json={**ASK, "priority": new})
    assert (answer.status_code, answer.json()) == (200, first)
    assert waiting() == order
    assert {key: redis.dump(key) for key in redis.scan_iter("*") if b"asked" not in key} == everything


async def test_a_running_audit_keeps_its_priority_and_stays_out_of_the_queue(http, waiting, start):
    await http.post("/audit", json=ASK)
    identifier = start()
    answer = await http.post("/audit", json={**ASK, "priority": "high"})
    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    assert "priority" not in answer.json()["request"]
    assert "queue" not in answer.json()
    assert (waiting(), identifier) == ([], answer.json()["id"])


def test_an_audit_that_a_worker_takes_in_that_moment_is_not_queued_again(redis, submit, waiting):
    """The worker has it and has not claimed it yet: its job says queued, and it is in the queue no more."""
    identifier = submit(0, "low")
    redis.lmove(QUEUE, f"{QUEUE}:intermediate")
    assert submit(0, "high") == identifier
    assert waiting() == []
    assert redis.lrange(f"{QUEUE}:intermediate", 0, -1) == [identifier.encode()]


def test_of_two_who_raise_it_at_once_the_higher_wins(queue, submit, waiting):
    low = [submit(seed, "low") for seed in range(2)]

    class Between(AcceptedAudits):
        def keep(self, audit) -> None:
            if audit.request.priority == "normal":
                submit(1, "high")
            super().keep(audit)

    request = AuditRequest(**ASK, seed=1, priority="normal")
    audit, enqueued = queue.submit(request, lambda _: None, Between(MemoryStore()))
    assert (audit.request.priority, enqueued) == ("high", False)
    assert waiting() == [low[1], low[0]]


def test_ids_without_a_place_stay_in_front(redis, queue, submit, waiting):
    """As an older service has queued them."""
    old = [submit(seed) for seed in range(2)]
    for identifier in old:
        redis.hdel(state_key(identifier), "place", "priority", "estimated_s")
    new = submit(2, "high")
    assert waiting() == [*old, new]
    assert queue.get(old[0]).request == AuditRequest(**ASK)
    assert positions(redis, queue, [*old, new]) == {old[0]: (1, None), old[1]: (2, None), new: (3, None)}


def test_a_sweep_reads_few_places(redis, submit, waiting):
    """The next of many goes to the right end, whose neighbour tells so; a high one is found a place for, too."""

    def reads(ask) -> int:
        before = redis.info("commandstats").get("cmdstat_hget", {"calls": 0})["calls"]
        ask()
        return redis.info("commandstats")["cmdstat_hget"]["calls"] - before

    for seed in range(300):
        submit(seed, "low", 60.0)
    assert reads(lambda: submit(300, "low", 60.0)) < 10
    assert reads(lambda: submit(301, "high", 60.0)) < 320
    assert waiting()[0] == audit_id(AuditRequest(**ASK, seed=301))


def test_the_start_is_the_work_before_shared_over_the_workers(redis, queue, submit, start, workers):
    ids = [submit(seed, estimated_s=seconds) for seed, seconds in enumerate([8.0, 30.0, 31.0, 500.0, 900.0])]
    assert set(positions(redis, queue, ids).values()) == {(place, None) for place in range(1, 6)}  # no worker is alive
    workers(2)
    assert [positions(redis, queue, ids)[one] for one in ids] == [(1, 0), (2, 4), (3, 19), (4, 34), (5, 280)]
    start({"phase": "measuring", "done": 1, "total": 2, "eta_s": 5.0})
    start()  # it has not told yet how long it takes, but was estimated
    assert [positions(redis, queue, ids)[one] for one in ids] == [None, None, (1, 18), (2, 33), (3, 280)]
    redis.hset(state_key(ids[0]), "progress", json.dumps({"phase": "storing"}))
    assert positions(redis, queue, ids)[ids[2]] == (1, 15)


def test_the_rest_of_a_shared_audit_is_the_work_of_all_who_measure_it(redis, queue, submit, start, workers):
    workers(2)
    ids = [submit(seed, estimated_s=seconds) for seed, seconds in enumerate([100.0, 200.0])]
    start({"phase": "measuring", "done": 30, "total": 90, "eta_s": 50.0})
    plan = PlanRecord(fingerprint="", software="", models=1, units=(("1 px",),) * 8, images=10, adaptive=False, most=8)
    redis.hset(board_key(ids[0]), mapping={"plan": plan.model_dump_json(), "version": 1})
    for number, token in enumerate(("leads", "helps")):
        shard = ShardRecord(job="job", token=token, worker=token, device="cpu").model_dump_json()
        member = MemberRecord(worker=token, at_s=time.time(), shard=f"{number}-{token}", done=30, total=50, rate=1.0)
        redis.hset(board_key(ids[0]), f"shard:{number}-{token}", shard)
        redis.hset(members_key(ids[0]), token, member.model_dump_json())
        for unit in range(4 * number, 4 * number + 4):
            redis.hset(board_key(ids[0]), f"task:0/{unit}", f"{number}-{token}")
    redis.zadd("rq:wip:audits", {f"{HELP_PREFIX}job:helps": time.time() + 60})
    # Each of the two workers has 20 forward images left, at one in a second.
    assert positions(redis, queue, ids)[ids[1]] == (1, 20)
    shown = queue.read(ids)[ids[0]]
    assert (shown.progress.done, shown.progress.total, shown.progress.eta_s) == (60, 100, 20.0)
    assert [(shard.worker, shard.done, shard.total) for shard in shown.sharing.shards] == [
        ("leads", 30, 50),
        ("helps", 30, 50),
    ]


def test_what_is_not_known_is_not_told(redis, queue, submit, start, workers):
    workers(1)
    ids = [submit(seed, estimated_s=seconds) for seed, seconds in enumerate([1.0, 2.0, None])]
    ids.append(submit(3, "low", 3.0))
    known = positions(redis, queue, ids)
    assert [known[one] for one in ids] == [(1, 0), (2, 1), (3, 3), (4, None)]
    start(), start(), start({"phase": "measuring", "done": 1, "total": 9, "eta_s": None})
    assert positions(redis, queue, ids)[ids[3]] == (1, None)


async def test_polls_of_what_has_not_changed_are_304_and_read_little(http, app, redis, submit, start, workers):
    workers(1)
    for seed in range(40):
        submit(seed, estimated_s=100.0)
    running = start({"phase": "measuring", "done": 1, "total": 9, "eta_s": 61.4})
    waiting_ids = [submit(seed, estimated_s=100.0) for seed in range(30, 40)]
    last = waiting_ids[-1]
    first = await http.get(f"/audit/{last}")
    assert Audit.model_validate_json(first.content).queue.position == 39
    redis.hset(state_key(running), "progress", json.dumps({"phase": "measuring", "done": 2, "total": 9, "eta_s": 61.1}))
    calls = redis.info("stats")["total_commands_processed"]
    for _ in range(20):
        again = await http.get(f"/audit/{last}", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304
    assert redis.info("stats")["total_commands_processed"] - calls < 20 * 4 + 20
    start()
    app.state.line.expire()
    moved = await http.get(f"/audit/{last}", headers={"If-None-Match": first.headers["etag"]})
    assert Audit.model_validate_json(moved.content).queue.position == 38


async def test_a_list_tells_it_of_those_that_wait(http, submit, start, workers):
    workers(1)
    ids = [submit(seed, estimated_s=10.0) for seed in range(3)]
    start({"phase": "measuring", "done": 1, "total": 2, "eta_s": 10.0})
    told = {one["id"]: one.get("queue") for one in (await http.get("/audit")).json()["audits"]}
    assert told == {
        ids[0]: None,
        ids[1]: {"position": 1, "starts_in_s": 10.0},
        ids[2]: {"position": 2, "starts_in_s": 20.0},
    }
    assert (await http.delete(f"/audit/{ids[1]}")).json()["status"] == Status.CANCELED
    after = (await http.get(f"/audit/{ids[2]}")).json()
    assert after["queue"] == {"position": 1, "starts_in_s": 10.0}


async def test_a_dry_run_tells_where_the_audit_would_wait(http, submit, workers):
    workers(1)
    for seed in range(100, 104):
        submit(seed, "normal" if seed % 2 else "low", 10_000.0)

    async def told(**body: Any) -> tuple[int, float | None]:
        answer = await http.post("/audit?dry_run=true", json={**ASK, **body})
        position = Cost.model_validate_json(answer.content).queue
        return position.position, position.starts_in_s

    assert await told(priority="high") == (1, 0)
    assert await told(num_images=8) == (1, 0)  # of normal priority, and shorter than all others
    assert await told(num_images=8, priority="low") == (3, 19_800)
    assert await told(num_images=100_000, priority="low") == (5, 40_200)
    exists = await http.post("/audit?dry_run=true", json={**ASK, "seed": 100})
    assert exists.json()["status"] == "queued"
    assert "queue" not in exists.json()
