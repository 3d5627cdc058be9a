"""The job: measure one audit and store its report, in the process that the worker forks for it."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import obstore
from rq import get_current_job
from rq.timeouts import JobTimeoutException
from zooaudit.contract import JOB, AuditRequest, Problem, Progress, Report, audit_id, problem, report_key

from worker.errors import AuditError
from worker.queue.audit_state import AuditState, Canceled
from worker.queue.report_store import open_store, stored_report
from worker.settings import WorkerSettings

log = logging.getLogger("zooaudit.worker")

RunAudit = Callable[[AuditRequest, Callable[[Progress], None]], Report]
"""Measures one audit, and calls its second argument with the progress."""


@dataclass(frozen=True)
class JobContext:
    """What a job needs beside its request. RQ calls :func:`audit` with the request alone."""

    settings: WorkerSettings
    run_audit: RunAudit


_context: JobContext | None = None


def set_context(settings: WorkerSettings, run_audit: RunAudit) -> None:
    """Set the context of all jobs. Call it before the worker forks: each job runs in a fork of this process."""
    global _context
    _context = JobContext(settings, run_audit)


def audit(request_json: Mapping[str, Any]) -> None:
    """Measure one audit and store its report. Any exception ends the audit: only a death of the process is retried."""
    job = get_current_job()
    assert job is not None
    assert _context is not None
    state = AuditState(job.id, job.created_at, job.connection, _context.settings.redis_url.get_secret_value())
    started_s = time.monotonic()
    try:
        request = AuditRequest.model_validate(request_json)
        log.info("%s: %s, begun", job.id, request.model)
        _measure_and_store(job.id, request, _context, state)
        log.info("%s: %s, succeeded after %.1f s", job.id, request.model, time.monotonic() - started_s)
    except Canceled:
        log.info("%s: canceled", job.id)
        job.retries_left = 0
        raise
    except (Exception, SystemExit) as error:
        failure = _problem_of(error, _context.settings)
        log.warning("%s: failed: %s", job.id, failure.detail)
        state.write_error(failure)
        job.retries_left = 0
        raise


def _measure_and_store(identifier: str, request: AuditRequest, context: JobContext, state: AuditState) -> None:
    if audit_id(request) != identifier:
        raise RuntimeError("the service and this worker are of different versions: they measure by another protocol")
    store = open_store(context.settings.store)
    # An earlier process may have died after it stored the report and before it could say so.
    report = stored_report(store, identifier) if state.begin() else None
    if report is None:
        report = context.run_audit(request, state.write_progress)
        if report.id != identifier:
            raise RuntimeError(f"the report of {identifier} calls itself {report.id}")
        state.begin_storing()
        obstore.put(store, report_key(identifier), report.model_dump_json().encode())
    images = report.timing.forward_images
    state.write_progress(Progress(phase="done", done=images, total=images), force=True)


def _problem_of(error: BaseException, settings: WorkerSettings) -> Problem:
    """Describe the ``error`` that ended an audit as a problem."""
    if isinstance(error, AuditError):
        return error.problem
    if isinstance(error, JobTimeoutException):
        detail = f"The audit took longer than ZOOAUDIT_JOB_TIMEOUT_S, {settings.job_timeout_s} s."
        return problem("timed-out", detail)
    return problem("internal-error", f"{type(error).__name__}: {error}"[:2000])


REFUSING_JOB = f"{__name__}.refuse"


def refuse() -> NoReturn:
    """Fail. This runs instead of a job that names another function than JOB."""
    raise RuntimeError(f"a job of this queue may name {JOB} only")
