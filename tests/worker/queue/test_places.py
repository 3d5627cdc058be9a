"""A job that goes back into the queue waits where it did before."""

from collections.abc import Callable

import pytest
from redis import Redis
from rq import Queue, Retry
from rq.job import Job, JobStatus
from zooaudit.contract import QUEUE, state_key

from worker.queue.attempt import Attempt
from worker.queue.ending import end_early
from worker.queue.lost_jobs import LostJobs

TAKEN = "rq:queue:audits:intermediate"
TTL_S = 30


@pytest.fixture
def queue(redis: Redis) -> Queue:
    return Queue(QUEUE, connection=redis, serializer="json")


@pytest.fixture
def enqueue(redis: Redis, queue: Queue) -> Callable[[str, float | None], Job]:
    def put(identifier: str, place: float | None) -> Job:
        job = queue.create_job("worker.queue.job.audit", [{}], job_id=identifier, retry=Retry(max=2))
        if place is not None:
            redis.hset(state_key(identifier), "place", repr(place))
        return queue.enqueue_job(job)

    return put


@pytest.fixture
def begun(redis: Redis, queue: Queue) -> Callable[[], Attempt]:
    """Take the next job and claim it."""

    def begin() -> Attempt:
        identifier = redis.lmove(queue.key, TAKEN).decode()
        job = Job.fetch(identifier, connection=redis, serializer="json")
        attempt = Attempt(job, queue, "worker", TTL_S)
        assert attempt.claim()
        return attempt

    return begin


def hand_back(attempt: Attempt) -> None:
    end_early(attempt, death=None, handed_back=True)


def die(attempt: Attempt) -> None:
    end_early(attempt, death="by signal 9")


def stop_with_the_machine(attempt: Attempt) -> None:
    attempt.job.connection.zadd("rq:wip:audits", {f"{attempt.job.id}:{attempt.token}": 1.0})
    LostJobs(attempt.queue, TTL_S).put_back()


def vanish_before_it_claims(attempt: Attempt) -> None:
    """As if the worker had died between taking the job and claiming it."""
    redis = attempt.job.connection
    attempt.change(lambda pipe, _state: attempt.close(pipe))
    attempt.job.set_status(JobStatus.QUEUED)
    redis.rpush(TAKEN, attempt.job.id)
    LostJobs(attempt.queue, ttl_s=0).put_back()
    assert redis.llen(TAKEN) == 0


WAYS_BACK = [hand_back, die, stop_with_the_machine, vanish_before_it_claims]


@pytest.mark.parametrize("give_up", WAYS_BACK)
@pytest.mark.parametrize("place", [0.0, 1.5, 3.5, 4.0, 1e11, 2e11 + 1.7e9])
def test_it_waits_at_its_place(redis, queue, enqueue, begun, give_up, place):
    enqueue("mine", place)
    attempt = begun()
    others = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 5.0, "e": 1e11 + 1, "f": 2e11}
    for identifier, other in others.items():
        enqueue(identifier, other)
    give_up(attempt)
    expected = sorted([*others, "mine"], key=lambda one: place if one == "mine" else others[one])
    assert [identifier.decode() for identifier in redis.lrange(queue.key, 0, -1)] == expected
    assert attempt.job.get_status(refresh=True) == JobStatus.QUEUED
    assert begun().job.id == expected[0]


@pytest.mark.parametrize("give_up", WAYS_BACK)
def test_without_a_place_it_is_the_next(redis, queue, enqueue, begun, give_up):
    enqueue("mine", None)
    attempt = begun()
    enqueue("other", None)
    enqueue("another", 0.0)
    give_up(attempt)
    assert redis.lrange(queue.key, 0, -1) == [b"mine", b"other", b"another"]


@pytest.mark.parametrize("give_up", WAYS_BACK)
def test_of_equal_places_the_one_that_came_back_is_last(redis, queue, enqueue, begun, give_up):
    enqueue("mine", 7.0)
    attempt = begun()
    for number in range(120):  # more than are read at a time
        enqueue(f"other{number}", 7.0)
    enqueue("later", 7.5)
    give_up(attempt)
    assert redis.lrange(queue.key, -2, -1) == [b"mine", b"later"]
    assert redis.llen(queue.key) == 122


def test_an_audit_that_was_raised_while_it_ran_or_waited_waits_at_its_new_place(redis, queue, enqueue, begun):
    enqueue("mine", 2e11)
    attempt = begun()
    enqueue("other", 1e11)
    redis.hset(state_key("mine"), "place", "5.0")
    hand_back(attempt)
    assert redis.lrange(queue.key, 0, -1) == [b"mine", b"other"]
