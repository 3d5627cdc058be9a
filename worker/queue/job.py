"""The job: one audit, measured and stored, in the process that a worker forks for it."""

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
from worker.queue.notes import Canceled, Notes
from worker.queue.report_store import open_store, stored_report
from worker.settings import WorkerSettings

log = logging.getLogger("zooaudit.worker")

Run = Callable[[AuditRequest, Callable[[Progress], None]], Report]


@dataclass(frozen=True)
class Context:
    """What a job needs beyond its request. Set before the worker forks, so that every job finds it."""

    settings: WorkerSettings
    run: Run


_context: Context | None = None


def prepare(settings: WorkerSettings, run: Run) -> None:
    """Set what all jobs of this process and of its forks need: the settings, and the function that measures."""
    global _context
    _context = Context(settings, run)


def audit(request_json: Mapping[str, Any]) -> None:
    """The job: measures, and stores the report. Whatever it raises is the end of the audit; only death is retried."""
    job = get_current_job()
    assert job is not None
    assert _context is not None
    notes = Notes(job.id, job.created_at, job.connection, _context.settings.redis_url.get_secret_value())
    started = time.monotonic()
    try:
        request = AuditRequest.model_validate(request_json)
        log.info("%s: %s, begun", job.id, request.model)
        _perform(job.id, request, _context, notes)
        log.info("%s: %s, succeeded after %.1f s", job.id, request.model, time.monotonic() - started)
    except Canceled:
        log.info("%s: canceled", job.id)
        job.retries_left = 0
        raise
    except (Exception, SystemExit) as error:
        end = _problem_of(error, _context.settings)
        log.warning("%s: failed: %s", job.id, end.detail)
        notes.fail(end)
        job.retries_left = 0
        raise


def _perform(identifier: str, request: AuditRequest, context: Context, notes: Notes) -> None:
    if audit_id(request) != identifier:
        raise RuntimeError("the service and this worker are of different versions: they measure by another protocol")
    store = open_store(context.settings.store)
    # A worker before this one may have died between storing the report and saying so.
    report = stored_report(store, identifier) if notes.begin() else None
    if report is None:
        report = context.run(request, notes.progress)
        if report.id != identifier:
            raise RuntimeError(f"the report of {identifier} calls itself {report.id}")
        notes.claim()
        obstore.put(store, report_key(identifier), report.model_dump_json().encode())
    done = report.timing.forward_images
    notes.progress(Progress(phase="done", done=done, total=done), force=True)


REFUSE = f"{__name__}.refuse"


def refuse() -> NoReturn:
    """What runs in place of a job that names another function."""
    raise RuntimeError(f"a job of this queue may name {JOB} only")


def _problem_of(error: BaseException, settings: WorkerSettings) -> Problem:
    if isinstance(error, AuditError):
        return error.problem
    if isinstance(error, JobTimeoutException):
        detail = f"The audit took longer than ZOOAUDIT_JOB_TIMEOUT_S, {settings.job_timeout_s} s."
        return problem("timed-out", detail)
    return problem("internal-error", f"{type(error).__name__}: {error}"[:2000])
