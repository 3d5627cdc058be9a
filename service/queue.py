"""The queue of audits, as the service sees it: the one file here that knows RQ.

An RQ job is the one record of an audit's state; its id is the audit's. Beside it are one hash for each audit (see
``contract.state_key``) and one index by time. Every change that could race with another is one MULTI under WATCH.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import WatchError
from redis.retry import Retry as ConnectionRetry
from rq import Queue, Retry, Worker
from rq.command import send_stop_job_command
from rq.exceptions import DeserializationError, InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from zooaudit.contract import (
    CATALOGUE_KEY,
    INDEX_KEY,
    JOB,
    QUEUE,
    Audit,
    AuditRequest,
    Catalogue,
    Links,
    Problem,
    Progress,
    Report,
    Status,
    audit_id,
    problem,
    request_of,
    state_key,
)

log = logging.getLogger("zooaudit.service")

STOP_LIMIT_S = 5.0
"""A running audit that was canceled counts as canceled after this, whether or not its worker has said so."""

ATTEMPTS = 3
"""How many workers may die on an audit before it fails."""

DAY_S = 86_400

FIELDS = ("data", "status", "created_at", "started_at", "ended_at", "last_heartbeat")
"""What of a job a Row is made of."""

BATCH = 1000
"""How many jobs one pipeline reads."""

STATUS = {
    JobStatus.CREATED: Status.QUEUED,
    JobStatus.QUEUED: Status.QUEUED,
    JobStatus.DEFERRED: Status.QUEUED,
    JobStatus.SCHEDULED: Status.QUEUED,
    JobStatus.STARTED: Status.RUNNING,
    JobStatus.FINISHED: Status.SUCCEEDED,
    JobStatus.FAILED: Status.FAILED,
    JobStatus.STOPPED: Status.CANCELED,
    JobStatus.CANCELED: Status.CANCELED,
}


@dataclass(frozen=True)
class Load:
    """What the queue is doing now."""

    workers: int
    queued: int
    running: int


@dataclass(frozen=True, slots=True)
class Row:
    """What a list sorts and filters by. ``created`` is the audit's place in the index: seconds."""

    id: str
    created: float
    model: str
    status: Status
    started: datetime | None
    finished: datetime | None


def connect(url: str) -> Redis:
    """A connection that gives up soon, since a request waits for it."""
    retry = ConnectionRetry(ExponentialBackoff(cap=0.2, base=0.05), 2)
    return Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3, retry=retry, health_check_interval=30)


class AuditQueue:
    """Accepts, finds, lists and cancels audits. Raises ``redis.RedisError`` when Redis does not answer."""

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._queue = Queue(QUEUE, connection=connection, serializer="json", default_timeout=DAY_S)
        self._catalogue: tuple[bytes, Catalogue] | None = None

    def submit(self, request: AuditRequest, stored: Callable[[str], Report | None]) -> tuple[Audit, bool]:
        """The audit of ``request``, and whether it was enqueued just now. ``stored`` looks into the report store."""
        identifier = audit_id(request)
        while True:
            with self._redis.pipeline() as pipe:
                pipe.watch(Job.key_for(identifier))
                audit = self.get(identifier)
                if audit is not None and not audit.status.final:
                    if not self._being_canceled(identifier):
                        return audit, False
                    time.sleep(0.1)  # it ends within STOP_LIMIT_S; then it can run again
                    continue
                if audit is None or audit.status is Status.SUCCEEDED:
                    report = stored(identifier)
                    if report is not None:
                        return audit or self.restore(report), False
                self._forget(identifier, pipe)
                job = self._new_job(identifier, request, JobStatus.QUEUED)
                pipe.zadd(INDEX_KEY, {identifier: job.created_at.timestamp()})
                self._queue.enqueue_job(job, pipeline=pipe)
                try:
                    pipe.execute()
                except WatchError:
                    continue  # somebody else has just submitted the same
            return _audit(job, {}), True

    def get(self, identifier: str) -> Audit | None:
        """The audit, or None when the queue does not know it."""
        return next(iter(self.read([identifier]).values()), None)

    def cancel(self, identifier: str) -> tuple[Audit, bool] | None:
        """The audit and whether it is, or will at once be, canceled; None when the queue does not know it."""
        audit = self.get(identifier)
        if audit is None:
            return None
        if audit.status.final:
            return audit, audit.status is Status.CANCELED
        first = self._redis.hsetnx(state_key(identifier), "outcome", f"canceled {time.time()}")
        if not first and not self._being_canceled(identifier):
            return self.get(identifier) or audit, False  # the report is being stored: too late
        self._withdraw(identifier)
        return self.get(identifier) or audit, True

    def index(self) -> tuple[dict[str, float], set[str]]:
        """When each audit was accepted, in seconds, oldest first; and which of them wait in the queue."""
        with self._redis.pipeline() as pipe:
            pipe.zrange(INDEX_KEY, 0, -1, withscores=True)
            pipe.lrange(self._queue.key, 0, -1)
            scores, waiting = pipe.execute()
        return {member.decode(): score for member, score in scores}, {member.decode() for member in waiting}

    def rows(self, created: Mapping[str, float]) -> Iterator[Row]:
        """A row for each of these audits, given when they were accepted; none for what is not understood."""
        identifiers = list(created)
        for start in range(0, len(identifiers), BATCH):
            batch = identifiers[start : start + BATCH]
            with self._redis.pipeline(transaction=False) as pipe:
                for identifier in batch:
                    pipe.hmget(Job.key_for(identifier), FIELDS)
                    pipe.hmget(state_key(identifier), "outcome")
                answers = pipe.execute()
            for identifier, fields, (outcome,) in zip(batch, answers[::2], answers[1::2], strict=True):
                with understood(identifier):
                    job = Job(identifier, connection=self._redis, serializer="json")
                    job.restore({name: value for name, value in zip(FIELDS, fields, strict=True) if value is not None})
                    status, started, finished = _life(job, {b"outcome": outcome or b""})
                    yield Row(identifier, created[identifier], _request(job).model, status, started, finished)

    def read(self, identifiers: Sequence[str]) -> dict[str, Audit]:
        """Those of these audits that there are and that are understood."""
        jobs = Job.fetch_many(identifiers, connection=self._redis, serializer="json")
        with self._redis.pipeline(transaction=False) as pipe:
            for identifier in identifiers:
                pipe.hgetall(state_key(identifier))
            states = pipe.execute()
        audits = {}
        for identifier, job, state in zip(identifiers, jobs, states, strict=True):
            if job is not None:
                with understood(identifier):
                    audits[identifier] = _audit(job, state)
        return audits

    def restore(self, report: Report) -> Audit:
        """Takes up a finished audit that Redis has lost."""
        timing = report.timing
        job = self._new_job(report.id, request_of(report), JobStatus.FINISHED)
        job.created_at = job.started_at = timing.started_at.astimezone(UTC)
        job.ended_at = timing.finished_at.astimezone(UTC)
        done = Progress(phase="done", done=timing.forward_images, total=timing.forward_images).model_dump_json()
        with self._redis.pipeline() as pipe:
            pipe.watch(job.key)
            if pipe.exists(job.key):
                pipe.unwatch()
            else:
                pipe.multi()
                job.save(pipeline=pipe)
                pipe.hset(state_key(report.id), "progress", done)
                pipe.zadd(INDEX_KEY, {report.id: job.created_at.timestamp()})
                # Another process that restores the same, or a new job: theirs is as good.
                with suppress(WatchError):
                    pipe.execute()
        return self.get(report.id) or _audit(job, {b"progress": done.encode()})

    def missing(self, identifiers: list[str]) -> list[str]:
        """Those that Redis knows nothing of, or has lost from the index."""
        with self._redis.pipeline(transaction=False) as pipe:
            for identifier in identifiers:
                pipe.exists(Job.key_for(identifier))
            return [identifier for identifier, known in zip(identifiers, pipe.execute(), strict=True) if not known]

    def flag(self, name: str, value: bool | None = None) -> bool:
        """Reads a flag that lives and dies with Redis' data, after setting it when ``value`` is given."""
        if value:
            self._redis.set(f"zooaudit:{name}", "1")
        return bool(self._redis.exists(f"zooaudit:{name}"))

    def catalogue(self) -> Catalogue | None:
        """What the workers can audit; None when no worker has ever said so."""
        version = self._redis.hget(CATALOGUE_KEY, "version")
        if version is None:
            return None
        if self._catalogue is None or self._catalogue[0] != version:
            content = self._redis.hget(CATALOGUE_KEY, "json")
            if content is None:
                return None
            self._catalogue = (version, Catalogue.model_validate_json(content))
        return self._catalogue[1]

    def load(self) -> Load:
        """Counts, read without RQ's own counters: those clean up as they count, and two at once requeue twice."""
        with self._redis.pipeline(transaction=False) as pipe:
            for key in Worker.all_keys(queue=self._queue):
                pipe.hmget(key, "last_heartbeat", "death")
            workers = sum(bool(heartbeat) and not death for heartbeat, death in pipe.execute())
        running = self._redis.zcount(self._queue.started_job_registry.key, time.time(), "+inf")
        return Load(workers, self._redis.llen(self._queue.key), running)

    def _being_canceled(self, identifier: str) -> bool:
        return (self._redis.hget(state_key(identifier), "outcome") or b"").startswith(b"canceled")

    def _withdraw(self, identifier: str) -> None:
        """Takes a queued job out of the queue, or tells the worker of a running one to stop."""
        with self._redis.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(Job.key_for(identifier))
                    job = Job.fetch(identifier, connection=self._redis, serializer="json")
                    if job.get_status(refresh=False) is JobStatus.STARTED:
                        send_stop_job_command(self._redis, identifier, serializer="json")
                    elif STATUS[job.get_status(refresh=False)] is Status.QUEUED:
                        pipe.multi()
                        job.cancel(pipeline=pipe)
                        pipe.execute()
                    return
                except WatchError:
                    continue  # a worker took it in this very moment
                except (NoSuchJobError, InvalidJobOperation):
                    return  # it has ended in the meantime

    def _forget(self, identifier: str, pipe: Any) -> None:
        """Begins a MULTI that removes all traces of an earlier run, the entries of a dead worker among them."""
        wip = self._queue.started_job_registry
        entries = [entry for entry in self._redis.zrange(wip.key, 0, -1) if entry.startswith(f"{identifier}:".encode())]
        pipe.multi()
        pipe.delete(Job.key_for(identifier), state_key(identifier), f"rq:executions:{identifier}")
        pipe.delete(f"rq:results:{identifier}")
        pipe.lrem(self._queue.key, 0, identifier)
        pipe.lrem(self._queue.intermediate_queue_key, 0, identifier)
        for registry in (self._queue.failed_job_registry, self._queue.canceled_job_registry):
            pipe.zrem(registry.key, identifier)
        pipe.zrem(self._queue.finished_job_registry.key, identifier)
        if entries:
            pipe.zrem(wip.key, *entries)

    def _new_job(self, identifier: str, request: AuditRequest, status: JobStatus) -> Job:
        return self._queue.create_job(
            JOB,
            args=[request.model_dump(mode="json")],
            job_id=identifier,
            timeout=DAY_S,  # the worker puts its own limit here
            result_ttl=-1,
            failure_ttl=-1,
            description=f"audit of {request.model}",
            status=status,
            retry=Retry(max=ATTEMPTS - 1),
        )


@contextmanager
def understood(identifier: str) -> Iterator[None]:
    """Leaves out, with a warning, a job that is not there or not as this service writes them."""
    try:
        yield
    except (DeserializationError, NoSuchJobError, ValidationError, ValueError, LookupError) as error:
        _warn_once(identifier, repr(error))


@lru_cache(1000)
def _warn_once(identifier: str, error: str) -> None:
    log.warning("job %s is not understood and counts as absent: %s", identifier, error)


def _audit(job: Job, state: dict[bytes, bytes]) -> Audit:
    """The audit that a job and its state stand for, now."""
    status, started, finished = _life(job, state)
    progress = state.get(b"progress") if status is not Status.QUEUED else None
    return Audit(
        id=job.id,
        status=status,
        request=_request(job),
        created_at=job.created_at,
        started_at=started,
        finished_at=finished,
        progress=Progress.model_validate_json(progress) if progress else Progress(),
        error=_error(state) if status is Status.FAILED else None,
        links=Links(self=f"/audit/{job.id}", report=f"/audit/{job.id}/report"),
    )


def _life(job: Job, state: dict[bytes, bytes]) -> tuple[Status, datetime | None, datetime | None]:
    """Where the audit is now, when it was started and when it ended."""
    status = STATUS[job.get_status(refresh=False)]
    canceled_at = _canceled_at(state)
    if canceled_at is not None and status is not Status.SUCCEEDED:
        stopping = (
            status is Status.RUNNING
            and job.started_at is not None
            and job.started_at <= canceled_at
            and time.time() < canceled_at.timestamp() + STOP_LIMIT_S
        )
        status = Status.RUNNING if stopping else Status.CANCELED
    started = None if status is Status.QUEUED else job.started_at
    ended = (canceled_at if status is Status.CANCELED else job.ended_at) or job.last_heartbeat or job.created_at
    return status, started, ended if status.final else None


def _request(job: Job) -> AuditRequest:
    return AuditRequest.model_validate(job.args[0])


def _canceled_at(state: dict[bytes, bytes]) -> datetime | None:
    word, _, seconds = state.get(b"outcome", b"").decode().partition(" ")
    return datetime.fromtimestamp(float(seconds), UTC) if word == "canceled" else None


def _error(state: dict[bytes, bytes]) -> Problem:
    if content := state.get(b"error"):
        return Problem.model_validate_json(content)
    return problem("internal-error", "The worker could not begin this audit; its log says why.")
