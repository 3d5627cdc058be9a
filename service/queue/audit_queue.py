"""Accept, find, list and cancel audits. Every change that could race with another is one MULTI under WATCH."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, RedisError, WatchError
from rq import Queue, Retry
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from zooaudit.contract import (
    ATTEMPTS,
    ENDS_KEY,
    INDEX_KEY,
    JOB,
    MOVE_TO_PLACE,
    OPEN_KEY,
    QUEUE,
    RANKS,
    Audit,
    AuditRequest,
    Import,
    Progress,
    Report,
    Status,
    audit_id,
    board_key,
    kept_report_key,
    members_key,
    place_of,
    refusal,
    request_of,
    state_key,
    unfit_key,
)
from zooaudit.contract.board import readable

from service.accepted import AcceptedAudit, AcceptedAudits
from service.queue.job_reading import ROW_FIELDS, STATUS_OF_JOB, AuditRow, read_audit, read_row, skip_unreadable
from service.tallies import CountingRetry

DAY_S = 86_400
JOBS_PER_PIPELINE = 1000
RESTORED_KEY = "zooaudit:restored"
"""Redis key that exists once Redis holds all finished audits of the report store; it is lost when Redis is emptied."""


def connect(url: str, timeout_s: float = 3.0, retries: int = 2) -> Redis:
    """Connect to Redis so that every call gives up within seconds, since an HTTP request waits for it."""
    # A Redis that has not answered in time is not asked again: two more timeouts would make the request wait thrice.
    retry = CountingRetry(ExponentialBackoff(cap=0.2, base=0.05), retries, (ConnectionError,))
    return Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=retry, health_check_interval=30
    )


class AuditQueue:
    """All audits that were accepted. Every method raises ``redis.RedisError`` when Redis does not answer."""

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._queue = Queue(QUEUE, connection=connection, serializer="json", default_timeout=DAY_S)

    def submit(
        self,
        request: AuditRequest,
        load_report: Callable[[str], Report | None],
        accepted: AcceptedAudits,
        estimate_s: Callable[[AuditRequest], float | None] = lambda _: None,
        load_import: Callable[[Report], Import | None] = lambda _: None,
    ) -> tuple[Audit, bool]:
        """Return the audit of ``request`` and whether this call enqueued it.

        ``load_report`` reads a report from the report store, by id: a finished audit whose report is still stored does
        not run again. What is enqueued is written down in ``accepted`` first. ``estimate_s`` tells how long an audit
        takes, None if that is not known; its place in the queue depends on it. ``load_import`` tells whether a stored
        report was imported. An audit that waits already gets the
        priority of ``request`` if that is higher.
        """
        identifier = audit_id(request)
        while True:
            with self._redis.pipeline() as pipe:
                pipe.watch(Job.key_for(identifier), state_key(identifier))
                audit = self.get(identifier)
                if audit is not None and not audit.status.final:
                    if self._cancel_requested(identifier):
                        time.sleep(0.1)  # the audit ends within STOP_LIMIT_S and can then run again
                        continue
                    if audit.status is Status.QUEUED and RANKS[request.priority] < RANKS[audit.request.priority]:
                        audit = self._raise_priority(audit, request, accepted, pipe)
                    if audit is None:
                        continue  # a worker has just taken the audit, or somebody else has raised it
                    return audit, False
                if audit is None or audit.status is Status.SUCCEEDED:
                    report = load_report(identifier)
                    if report is not None:
                        return audit or self.restore(report, load_import(report)), False
                estimated_s = estimate_s(request)
                self._forget(identifier, pipe)
                job = self._new_job(identifier, request, JobStatus.QUEUED)
                new = AcceptedAudit(request=request, accepted_at=job.created_at, estimated_s=estimated_s)
                self._enqueue(job, new, pipe)
                accepted.keep(new)
                try:
                    pipe.execute()
                except WatchError:
                    continue  # somebody else has just submitted the same request
                except RedisError as error:
                    if refusal(error):  # else Redis may have enqueued it, and only its answer was lost
                        accepted.drop(identifier)
                    raise
            return read_audit(job, _priority(request)), True

    def _raise_priority(self, audit: Audit, request: AuditRequest, accepted: AcceptedAudits, pipe: Any) -> Audit | None:
        """Move a queued audit, which ``pipe`` watches, to where ``request`` would wait. Returns None if something else
        has changed it meanwhile."""
        estimated_s = pipe.hget(state_key(audit.id), "estimated_s")
        again = AcceptedAudit(
            request=audit.request.model_copy(update={"priority": request.priority}),
            accepted_at=audit.created_at,
            estimated_s=None if estimated_s is None else float(estimated_s),
        )
        pipe.multi()
        self._put_in_place(audit.id, again, pipe)
        accepted.keep(again)
        try:
            pipe.execute()
        except WatchError:
            return None
        return audit.model_copy(update={"request": again.request})

    def status_of_existing(self, identifier: str, load_report: Callable[[str], Report | None]) -> Status | None:
        """Return the status of the audit with which :meth:`submit` would answer; None if it would enqueue one."""
        audit = self.get(identifier)
        if audit is not None and not audit.status.final:
            return None if self._cancel_requested(identifier) else audit.status
        is_measured = audit is None or audit.status is Status.SUCCEEDED
        return Status.SUCCEEDED if is_measured and load_report(identifier) is not None else None

    def waiting(self, accepted: AcceptedAudit) -> Audit:
        """Return the audit as it is while it waits, whether or not Redis knows it."""
        return read_audit(self._waiting_job(accepted), _priority(accepted.request))

    def take_up(self, accepted: AcceptedAudit) -> bool:
        """Enqueue an audit that Redis has lost. Returns False when Redis knows it after all."""
        job = self._waiting_job(accepted)
        with self._redis.pipeline() as pipe:
            pipe.watch(job.key)
            if self.get(job.id) is not None:
                return False
            if pipe.exists(job.key):
                self._forget(job.id, pipe)  # it cannot be read
            else:
                # Nothing is written of an attempt, so a worker that still measures the audit can take it back.
                pipe.multi()
            self._enqueue(job, accepted, pipe)
            try:
                pipe.execute()
            except WatchError:
                return False
        return True

    def get(self, identifier: str) -> Audit | None:
        """Return the audit, or None when the queue does not know it."""
        return next(iter(self.read([identifier]).values()), None)

    def cancel(self, identifier: str) -> tuple[Audit, bool] | None:
        """Cancel an audit. Return it, and whether it is canceled or will be within STOP_LIMIT_S.

        Returns None when the queue does not know the audit.
        """
        audit = self.get(identifier)
        if audit is None:
            return None
        if audit.status.final:
            return audit, audit.status is Status.CANCELED
        first = self._redis.hsetnx(state_key(identifier), "outcome", f"canceled {time.time()}")
        if not first and not self._cancel_requested(identifier):
            return self.get(identifier) or audit, False  # too late: the worker is storing the report
        if first:
            self._redis.hincrby(ENDS_KEY, Status.CANCELED, 1)
        self._withdraw(identifier)
        self._redis.zrem(OPEN_KEY, identifier)  # or idle workers would still help with one that waits
        return self.get(identifier) or audit, True

    def remove(self, identifier: str, newest: datetime) -> bool:
        """Remove an audit that has ended from Redis. Returns False if it has not, or was accepted after ``newest``."""
        while True:
            with self._redis.pipeline() as pipe:
                pipe.watch(Job.key_for(identifier), state_key(identifier))
                audit = self.get(identifier)
                if audit and not (audit.status.final and audit.created_at <= newest):
                    return False
                self._forget(identifier, pipe)
                pipe.zrem(INDEX_KEY, identifier)
                pipe.delete(kept_report_key(identifier))
                pipe.expire(state_key(identifier), DAY_S)  # it tells a worker that was frozen to write nothing
                try:
                    pipe.execute()
                except WatchError:
                    continue  # it was submitted again, or put back from its report
                return True

    def index(self) -> tuple[dict[str, float], set[str]]:
        """Return when each audit was accepted, in seconds, oldest first, and the ids that wait in the queue."""
        with self._redis.pipeline() as pipe:
            pipe.zrange(INDEX_KEY, 0, -1, withscores=True)
            pipe.lrange(self._queue.key, 0, -1)
            scores, waiting = pipe.execute()
        return {member.decode(): score for member, score in scores}, {member.decode() for member in waiting}

    def rows(self, created_s: Mapping[str, float]) -> Iterator[AuditRow]:
        """Read the rows of audits, given the time at which each was accepted; an unreadable job has no row."""
        identifiers = list(created_s)
        for start in range(0, len(identifiers), JOBS_PER_PIPELINE):
            batch = identifiers[start : start + JOBS_PER_PIPELINE]
            with self._redis.pipeline(transaction=False) as pipe:
                for identifier in batch:
                    pipe.hmget(Job.key_for(identifier), ROW_FIELDS)
                    pipe.hmget(state_key(identifier), "outcome", "imported")
                answers = pipe.execute()
            for identifier, fields, (outcome, imported) in zip(batch, answers[::2], answers[1::2], strict=True):
                with skip_unreadable(identifier):
                    yield read_row(identifier, created_s[identifier], fields, outcome, imported, self._redis)

    def read(self, identifiers: Sequence[str]) -> dict[str, Audit]:
        """Return the audits with these ids, by id; a missing or unreadable job has none."""
        with self._redis.pipeline(transaction=False) as pipe:
            for identifier in identifiers:
                pipe.hgetall(Job.key_for(identifier))
                pipe.hgetall(state_key(identifier))
                pipe.hgetall(board_key(identifier))
                pipe.hgetall(members_key(identifier))
            answers = pipe.execute()
        audits = {}
        of_audits = zip(identifiers, *(answers[index::4] for index in range(4)), strict=True)
        for identifier, fields, state, board, members in of_audits:
            if fields:
                with skip_unreadable(identifier):
                    job = Job(identifier, connection=self._redis, serializer="json")
                    job.restore(fields)
                    audits[identifier] = read_audit(job, state, readable(board, members))
        return audits

    def restore(self, report: Report, imported: Import | None = None) -> Audit:
        """Put a finished audit that Redis has lost back into Redis, as its report describes it."""
        job, state = self._finished_job(report, imported)
        with self._redis.pipeline() as pipe:
            pipe.watch(job.key)
            if pipe.exists(job.key):
                pipe.unwatch()
            else:
                pipe.multi()
                self._save_finished(job, state, pipe)
                # If another process restores the same audit or submits it anew, its job is as good as this one.
                with suppress(WatchError):
                    pipe.execute()
        return self.get(report.id) or read_audit(job, {key.encode(): value.encode() for key, value in state.items()})

    def finish(self, report: Report, imported: Import | None) -> Audit:
        """Let an audit have succeeded that Redis does not know, or knows as failed or canceled: its report is in the
        store. An audit in any other state stays as it is; a worker that takes it finds the report."""
        job, state = self._finished_job(report, imported)
        while True:
            with self._redis.pipeline() as pipe:
                pipe.watch(job.key, state_key(report.id))
                audit = self.get(report.id)
                if audit is not None and audit.status not in (Status.FAILED, Status.CANCELED):
                    return audit
                self._forget(report.id, pipe)
                self._save_finished(job, state, pipe)
                try:
                    pipe.execute()
                except WatchError:
                    continue
            return self.get(report.id) or audit or self.restore(report, imported)

    def _finished_job(self, report: Report, imported: Import | None) -> tuple[Job, dict[str, str]]:
        """Make the job of an audit that its report says has succeeded, and what stands in the hash beside it."""
        job = self._new_job(report.id, request_of(report), JobStatus.FINISHED)
        job.created_at = job.started_at = report.timing.started_at.astimezone(UTC)
        job.ended_at = report.timing.finished_at.astimezone(UTC)
        images = report.timing.forward_images
        state = {"progress": Progress(phase="done", done=images, total=images).model_dump_json()}
        return job, state | ({"imported": imported.model_dump_json()} if imported else {})

    def _save_finished(self, job: Job, state: dict[str, str], pipe: Any) -> None:
        """Add to a transaction that the audit of ``job`` has succeeded."""
        job.save(pipeline=pipe)
        pipe.hset(state_key(job.id), mapping=state)
        pipe.zadd(INDEX_KEY, {job.id: job.created_at.timestamp()})

    def missing(self, identifiers: list[str]) -> list[str]:
        """Return those of the ``identifiers`` that have no job in Redis."""
        with self._redis.pipeline(transaction=False) as pipe:
            for identifier in identifiers:
                pipe.exists(Job.key_for(identifier))
            return [identifier for identifier, known in zip(identifiers, pipe.execute(), strict=True) if not known]

    def is_restored(self) -> bool:
        """Tell whether :meth:`mark_restored` was called since Redis was last empty."""
        return bool(self._redis.exists(RESTORED_KEY))

    def mark_restored(self) -> None:
        """Note in Redis that it holds all finished audits of the report store."""
        self._redis.set(RESTORED_KEY, "1")

    def _cancel_requested(self, identifier: str) -> bool:
        return (self._redis.hget(state_key(identifier), "outcome") or b"").startswith(b"canceled")

    def _withdraw(self, identifier: str) -> None:
        """Take a queued job out of the queue, or tell the worker of a running job to stop it."""
        with self._redis.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(Job.key_for(identifier))
                    job = Job.fetch(identifier, connection=self._redis, serializer="json")
                    if job.get_status(refresh=False) is JobStatus.STARTED:
                        send_stop_job_command(self._redis, identifier, serializer="json")
                    elif STATUS_OF_JOB[job.get_status(refresh=False)] is Status.QUEUED:
                        pipe.multi()
                        job.cancel(pipeline=pipe)
                        pipe.execute()
                    return
                except WatchError:
                    continue  # a worker has just taken the job
                except (NoSuchJobError, InvalidJobOperation):
                    return  # the job has ended meanwhile

    def _forget(self, identifier: str, pipe: Any) -> None:
        """Begin a MULTI that removes all that Redis keeps of an earlier run, and what a dead worker left behind."""
        started = self._queue.started_job_registry
        prefix = f"{identifier}:".encode()
        entries = [entry for entry in self._redis.zrange(started.key, 0, -1) if entry.startswith(prefix)]
        pipe.multi()
        pipe.delete(Job.key_for(identifier), state_key(identifier), f"rq:executions:{identifier}")
        pipe.delete(board_key(identifier), members_key(identifier), unfit_key(identifier))
        pipe.zrem(OPEN_KEY, identifier)
        pipe.delete(f"rq:results:{identifier}")
        pipe.hset(state_key(identifier), "attempt", "")  # no earlier attempt counts any more
        pipe.lrem(self._queue.key, 0, identifier)
        pipe.lrem(self._queue.intermediate_queue_key, 0, identifier)
        for registry in (self._queue.failed_job_registry, self._queue.canceled_job_registry):
            pipe.zrem(registry.key, identifier)
        pipe.zrem(self._queue.finished_job_registry.key, identifier)
        if entries:
            pipe.zrem(started.key, *entries)

    def _enqueue(self, job: Job, accepted: AcceptedAudit, pipe: Any) -> None:
        """Add to a transaction that the ``job`` of an audit waits at its place in the queue."""
        pipe.zadd(INDEX_KEY, {job.id: job.created_at.timestamp()})
        self._queue.enqueue_job(job, pipeline=pipe)
        self._put_in_place(job.id, accepted, pipe)

    def _put_in_place(self, identifier: str, accepted: AcceptedAudit, pipe: Any) -> None:
        """Add to a transaction that an audit, if it is in the queue, is at its place there."""
        request, estimated_s = accepted.request, accepted.estimated_s
        place = place_of(request, accepted.accepted_at.timestamp(), estimated_s)
        known = {} if estimated_s is None else {"estimated_s": repr(estimated_s)}
        pipe.hset(state_key(identifier), mapping={"place": repr(place), "priority": request.priority, **known})
        pipe.eval(MOVE_TO_PLACE, 1, self._queue.key, identifier, state_key(""))

    def _waiting_job(self, accepted: AcceptedAudit) -> Job:
        job = self._new_job(audit_id(accepted.request), accepted.request, JobStatus.QUEUED)
        job.created_at = accepted.accepted_at.astimezone(UTC)
        return job

    def _new_job(self, identifier: str, request: AuditRequest, status: JobStatus) -> Job:
        return self._queue.create_job(
            JOB,
            # Without the priority, which may change while the audit waits and is no business of the worker.
            args=[request.model_dump(mode="json", exclude={"priority"})],
            job_id=identifier,
            timeout=DAY_S,  # the worker replaces it with ZOOAUDIT_JOB_TIMEOUT_S
            result_ttl=-1,
            failure_ttl=-1,
            description=f"audit of {request.model}",
            status=status,
            retry=Retry(max=ATTEMPTS - 1),
        )


def _priority(request: AuditRequest) -> dict[bytes, bytes]:
    return {b"priority": request.priority.encode()}
