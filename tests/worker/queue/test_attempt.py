"""Only one attempt at an audit counts: whoever holds an older one writes nothing."""

from datetime import UTC, datetime

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from zooaudit.contract import INDEX_KEY, QUEUE, state_key

from worker.queue.attempt import Attempt, Superseded

ID = "0" * 32
TAKEN = "rq:queue:audits:intermediate"
TTL_S = 30


@pytest.fixture
def queue(redis: Redis) -> Queue:
    return Queue(QUEUE, connection=redis, serializer="json")


@pytest.fixture
def taken(redis: Redis, queue: Queue) -> Job:
    """A job that a worker has got from the queue."""
    job = queue.enqueue("worker.queue.job.audit", {}, job_id=ID)
    redis.lmove(queue.key, TAKEN)
    return job


def attempt_at(job: Job, queue: Queue, worker: str = "first") -> Attempt:
    return Attempt(Job.fetch(job.id, connection=queue.connection, serializer="json"), queue, worker, TTL_S)


def note(attempt: Attempt, text: str) -> None:
    attempt.change(lambda pipe, _state: pipe.hset(state_key(ID), "progress", text))


def everything(redis: Redis) -> dict[bytes, object]:
    return {key: redis.dump(key) for key in redis.scan_iter()}


def test_a_claimed_job_is_running_and_in_no_queue(redis, queue, taken) -> None:
    attempt = attempt_at(taken, queue)
    assert attempt.claim()
    assert attempt.claim()  # as after a lost answer
    assert redis.hget(state_key(ID), "attempt") == attempt.token.encode()
    assert taken.get_status() == JobStatus.STARTED
    assert taken.worker_name == "first" or Job.fetch(ID, connection=redis, serializer="json").worker_name == "first"
    assert redis.zrange("rq:wip:audits", 0, -1) == [f"{ID}:{attempt.token}".encode()]
    assert (redis.llen(queue.key), redis.llen(TAKEN)) == (0, 0)


def test_two_workers_cannot_claim_the_same_job(queue, taken) -> None:
    first, second = attempt_at(taken, queue), attempt_at(taken, queue, "second")
    assert [second.claim(), first.claim()] == [True, False]


@pytest.mark.parametrize("status", [JobStatus.CANCELED, JobStatus.FINISHED, JobStatus.STARTED])
def test_a_job_that_waits_no_longer_is_not_claimed(redis, queue, taken, status) -> None:
    taken.set_status(status)
    assert not attempt_at(taken, queue).claim()
    assert taken.get_status() == status
    assert redis.llen(TAKEN) == 0


def test_a_job_that_was_put_back_is_not_claimed(redis, queue, taken) -> None:
    redis.lmove(TAKEN, queue.key)
    assert not attempt_at(taken, queue).claim()
    assert redis.lrange(queue.key, 0, -1) == [ID.encode()]


def test_an_attempt_that_another_one_followed_writes_nothing(redis, queue, taken) -> None:
    first = attempt_at(taken, queue)
    first.claim()
    first.change(lambda pipe, _state: (taken.retry(queue, pipe) if taken.retries_left else None, first.close(pipe)))
    before = everything(redis)
    with pytest.raises(Superseded):
        note(first, "after its end")
    assert everything(redis) == before
    taken.set_status(JobStatus.QUEUED)
    redis.rpush(TAKEN, ID)
    second = attempt_at(taken, queue, "second")
    assert second.claim()
    before = everything(redis)
    with pytest.raises(Superseded):
        note(first, "while another one runs")
    assert everything(redis) == before
    note(second, "mine")
    assert redis.hget(state_key(ID), "progress") == b"mine"


def test_a_change_that_comes_between_is_seen(redis, queue, taken) -> None:
    attempt = attempt_at(taken, queue)
    attempt.claim()
    calls = []

    def write(pipe, _state) -> None:
        calls.append(1)
        if len(calls) == 1:
            redis.hset(state_key(ID), "attempt", "another")
        pipe.hset(state_key(ID), "progress", "late")

    with pytest.raises(Superseded):
        attempt.change(write)
    assert not redis.hexists(state_key(ID), "progress")


def test_only_an_attempt_without_signs_of_life_lapses(redis, queue, taken) -> None:
    attempt = attempt_at(taken, queue)
    attempt.claim()
    with pytest.raises(Superseded):
        attempt.change(lambda pipe, _state: attempt.close(pipe), only_if_lapsed=True)
    redis.zadd("rq:wip:audits", {f"{ID}:{attempt.token}": 1.0})

    def write(pipe, _state) -> None:
        if redis.zscore("rq:wip:audits", f"{ID}:{attempt.token}") == 1.0:  # it wakes up just now
            redis.zadd("rq:wip:audits", {f"{ID}:{attempt.token}": 1e12})
        attempt.close(pipe)

    with pytest.raises(Superseded):
        attempt.change(write, only_if_lapsed=True)
    redis.zadd("rq:wip:audits", {f"{ID}:{attempt.token}": 1.0})
    attempt.change(lambda pipe, _state: attempt.close(pipe), only_if_lapsed=True)
    assert redis.hget(state_key(ID), "attempt") == b""
    assert redis.zcard("rq:wip:audits") == 0


def test_an_emptied_redis_gets_the_attempt_back_once(redis, queue, taken) -> None:
    created_at, attempt = taken.created_at, attempt_at(taken, queue)
    attempt.claim()
    started_at = attempt.job.started_at
    redis.flushall()
    note(attempt, "still here")
    job = Job.fetch(ID, connection=redis, serializer="json")
    assert (job.get_status(), job.created_at, job.started_at) == (JobStatus.STARTED, created_at, started_at)
    assert redis.zscore(INDEX_KEY, ID) == pytest.approx(created_at.timestamp())
    assert redis.hget(state_key(ID), "attempt") == attempt.token.encode()
    assert redis.zcard("rq:wip:audits") == 1


def test_a_job_that_the_service_enqueued_again_meanwhile_is_taken_back(redis, queue, taken) -> None:
    attempt = attempt_at(taken, queue)
    attempt.claim()
    redis.flushall()
    job = queue.create_job("worker.queue.job.audit", [{}], job_id=ID)
    job.created_at = datetime(2026, 1, 1, tzinfo=UTC)
    queue.enqueue_job(job)
    redis.lmove(queue.key, TAKEN)
    other = attempt_at(taken, queue, "second")
    note(attempt, "still here")
    assert (redis.llen(queue.key), redis.llen(TAKEN)) == (0, 0)
    assert not other.claim()
    assert redis.hget(state_key(ID), "attempt") == attempt.token.encode()
