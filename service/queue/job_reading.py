"""Read an RQ job, and the hash that stands beside it, as the Audit or the AuditRow that they record."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import Job, JobStatus
from zooaudit.contract import Audit, AuditRequest, Board, Import, Links, Problem, Progress, Status, problem

log = logging.getLogger("zooaudit.service")

STOP_LIMIT_S = 5.0
"""Seconds after which a running audit that was canceled counts as canceled, even if its worker has not confirmed it."""

STATUS_OF_JOB = {
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

ROW_FIELDS = ("data", "status", "created_at", "started_at", "ended_at", "last_heartbeat")
"""The fields of a job's Redis hash that :func:`read_row` needs."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What lists sort and filter audits by, and what tells which report has the speed of a model. ``created_s`` is the
    audit's score in the index: seconds since 1970."""

    id: str
    created_s: float
    model: str
    weights: str
    precision: str
    status: Status
    started_at: datetime | None
    finished_at: datetime | None
    imported_at: datetime | None = None


def read_audit(job: Job, state: dict[bytes, bytes], board: Board | None = None) -> Audit:
    """Build the audit as it is now; ``state`` is the content of its hash (see ``contract.state_key``), and ``board``
    says how far its workers are."""
    status, started_at, finished_at = _status_and_times(job, state)
    written = state.get(b"progress") if status is not Status.QUEUED else None
    progress = Progress.model_validate_json(written) if written else Progress()
    imported = state.get(b"imported") if status is Status.SUCCEEDED else None
    shared = board if status is Status.RUNNING and progress.phase in ("measuring", "storing") else None
    return Audit(
        id=job.id,
        status=status,
        request=_request(job, state.get(b"priority", b"normal").decode()),
        created_at=job.created_at,
        started_at=started_at,
        finished_at=finished_at,
        progress=shared.progress(progress) if shared else progress,
        error=_error(state) if status is Status.FAILED else None,
        links=Links(self=f"/audit/{job.id}", report=f"/audit/{job.id}/report"),
        sharing=shared.sharing(time.time()) if shared else None,
        imported=Import.model_validate_json(imported) if imported else None,
    )


def read_row(
    identifier: str,
    created_s: float,
    fields: Sequence[bytes | None],
    outcome: bytes | None,
    imported: bytes | None,
    connection: Any,
) -> AuditRow:
    """Build the row of an audit, from the ROW_FIELDS of its job, and from ``outcome`` and ``imported`` in its hash."""
    job = Job(identifier, connection=connection, serializer="json")
    job.restore({name: value for name, value in zip(ROW_FIELDS, fields, strict=True) if value is not None})
    status, started_at, finished_at = _status_and_times(job, {b"outcome": outcome or b""})
    request = _request(job)
    imported_at = Import.model_validate_json(imported).at if imported and status is Status.SUCCEEDED else None
    return AuditRow(
        identifier,
        created_s,
        request.model,
        request.weights,
        request.precision,
        status,
        started_at,
        finished_at,
        imported_at,
    )


@contextmanager
def skip_unreadable(identifier: str) -> Iterator[None]:
    """Skip the block, with a warning, when the job is missing or was not written by this service."""
    try:
        yield
    except (DeserializationError, NoSuchJobError, ValidationError, ValueError, LookupError) as error:
        _warn_once(identifier, repr(error))


@lru_cache(1000)
def _warn_once(identifier: str, error: str) -> None:
    log.warning("job %s cannot be read and counts as absent: %s", identifier, error)


def _status_and_times(job: Job, state: dict[bytes, bytes]) -> tuple[Status, datetime | None, datetime | None]:
    """Return the audit's status now, and the times at which it started and ended."""
    status = STATUS_OF_JOB[job.get_status(refresh=False)]
    canceled_at = _canceled_at(state)
    if canceled_at is not None and status is not Status.SUCCEEDED:
        stopping = (
            status is Status.RUNNING
            and job.started_at is not None
            and job.started_at <= canceled_at
            and time.time() < canceled_at.timestamp() + STOP_LIMIT_S
        )
        status = Status.RUNNING if stopping else Status.CANCELED
    started_at = None if status is Status.QUEUED else job.started_at
    ended_at = (canceled_at if status is Status.CANCELED else job.ended_at) or job.last_heartbeat or job.created_at
    return status, started_at, ended_at if status.final else None


def _request(job: Job, priority: str = "normal") -> AuditRequest:
    return AuditRequest.model_validate(job.args[0] | {"priority": priority})


def _canceled_at(state: dict[bytes, bytes]) -> datetime | None:
    word, _, seconds = state.get(b"outcome", b"").decode().partition(" ")
    return datetime.fromtimestamp(float(seconds), UTC) if word == "canceled" else None


def _error(state: dict[bytes, bytes]) -> Problem:
    if content := state.get(b"error"):
        return Problem.model_validate_json(content)
    return problem("internal-error", "The worker could not begin this audit; its log says why.")
