"""Idle workers spread over the running audits."""

import time
from dataclasses import replace

import pytest
from redis import Redis
from rq import Queue
from zooaudit.contract import HELP_PREFIX, IDLE_KEY, QUEUE, Board, MemberRecord, PlanRecord, ShardRecord

from worker.queue.taking import SILENT_S, Workforce, has_free_work, is_worth_dividing, worth_taking

PLAN = PlanRecord(
    fingerprint="f",
    software="s",
    models=1,
    units=tuple((f"{shift} px",) for shift in range(35)),
    images=10,
    adaptive=False,
    most=35,
)


def board(*shards: int, joining: int = 0, told: bool = True) -> Board:
    """Return the board of an audit whose shards have so many tasks each, and that so many other workers have joined.
    Those who measure have ``told`` so as members, or not yet."""
    names = [f"{number}-token{number}" for number in range(1, 1 + len(shards))]
    tasks = iter(range(35))
    members = {
        f"token{number}": MemberRecord(worker="w", at_s=time.time(), shard=name if told else None, total=10)
        for number, name in enumerate(names, start=1)
    }
    members |= {f"joining{number}": MemberRecord(worker="w", at_s=time.time()) for number in range(joining)}
    return Board(
        plan=PLAN,
        version=1,
        taken={(0, next(tasks)): name for name, count in zip(names, shards, strict=True) for _ in range(count)},
        shards={name: ShardRecord(job="j", token=name.partition("-")[2], worker="w", device="d") for name in names},
        members=members,
    )


@pytest.mark.parametrize("told", [True, False])
def test_there_is_work_for_one_more_while_something_is_free_and_others_have_enough(told: bool) -> None:
    assert has_free_work(board(18, told=told), fair=2)
    assert not has_free_work(board(18, told=told), fair=1)
    assert has_free_work(board(18, joining=1, told=told), fair=3)
    assert not has_free_work(board(18, joining=1, told=told), fair=2)
    assert not has_free_work(board(34, joining=1, told=told), fair=3)


@pytest.mark.parametrize("adaptive", [True, False])
def test_all_may_be_taken_from_a_worker_that_has_long_been_silent(adaptive: bool) -> None:
    of_others = board(35)
    (token, member), *_ = of_others.members.items()
    plan = PLAN.model_copy(update={"adaptive": adaptive})
    silent = member.model_copy(update={"at_s": time.time() - SILENT_S - 1, "done": 9})
    assert len(worth_taking(replace(of_others, plan=plan, members={token: silent}), 35)) == 35
    talking = silent.model_copy(update={"at_s": time.time()})
    assert worth_taking(replace(of_others, plan=plan, members={token: talking}), 35) == []


def test_what_others_measure_may_be_taken_by_one_worker_at_a_time() -> None:
    assert is_worth_dividing(board(35))
    assert not is_worth_dividing(board(35, joining=1))
    assert not is_worth_dividing(board(35, told=False))
    assert not is_worth_dividing(board(34))


@pytest.mark.parametrize(
    ("idle", "leading", "helping", "waiting", "each"),
    [
        (15, 1, 0, 0, 16),
        (15, 1, 0, 7, 2),  # eight asked for at once, of which seven wait
        (8, 8, 0, 0, 2),
        (0, 16, 0, 100, 1),
        (1, 2, 0, 0, 2),
        (0, 1, 1, 0, 2),
    ],
)
def test_workers_are_shared_out_evenly(redis: Redis, idle: int, leading: int, helping: int, waiting: int, each: int):
    queue = Queue(QUEUE, connection=redis, serializer="json")
    later_s = time.time() + 60
    redis.zadd(IDLE_KEY, {f"worker{number}": later_s for number in range(idle)} | {"long gone": 1.0})
    leaders = {f"audit{number}:token": later_s for number in range(leading)}
    helpers = {f"{HELP_PREFIX}{number}:token": later_s for number in range(helping)}
    redis.zadd(queue.started_job_registry.key, leaders | helpers | {"dead:token": 1.0})
    if waiting:
        redis.rpush(queue.key, *(f"waiting{number}" for number in range(waiting)))
    workers = Workforce.now(queue)
    assert workers.for_each_audit() == each
    assert len(workers.attempts) == leading + helping


def test_audits_of_which_all_is_measured_or_taken_need_no_more_workers() -> None:
    workers = Workforce(idle=4, waiting=0, attempts=frozenset(f"audit{number}:token" for number in range(4)))
    assert workers.for_each_audit() == 2
    assert workers.for_each_audit([board(35), board(35), board(35)]) == 5
