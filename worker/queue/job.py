"""The jobs: measure an audit and store its report, or help with one, in the process that the worker forks for it."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from rq.timeouts import JobTimeoutException
from zooaudit.contract import JOB, AuditRequest, Problem, Progress, Report, audit_id, problem

from worker.errors import AuditError, ProcessDied
from worker.queue.attempt import Attempt, Superseded
from worker.queue.audit_state import KEEP_REPORT, AuditState, Canceled
from worker.queue.member import Left
from worker.queue.report_store import ReportStore, StoreUnavailable
from worker.queue.sharing import AuditShards, HandedBack, Unfit
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from worker.measure.shards import Shards

log = logging.getLogger("zooaudit.worker")

RunAudit = Callable[[AuditRequest, Callable[[Progress], None], "Shards"], Report]
"""Measures one audit, calls its second argument with the progress, and shares its shards by the third."""
HelpWith = Callable[[AuditRequest, Callable[[Progress], None], "Shards"], None]
"""Measures shards of an audit that another worker runs, by the same arguments."""

DECODING_DIED = 86
"""The exit status of a job's process whose own process, one that decodes images, died: it counts as dead, too."""
INSIST_FOR_S = 10.0
"""How long a job waits for the report store before it measures anything."""
RETRY_STORE_EVERY_S = 30.0
"""The longest pause between two tries to store a finished report."""

T = TypeVar("T")


@dataclass(frozen=True)
class JobContext:
    """What a job needs beside its request. RQ calls :func:`audit` with the request alone."""

    settings: WorkerSettings
    run_audit: RunAudit
    help_with: HelpWith | None
    attempt: Attempt


_context: JobContext | None = None


def set_context(context: JobContext) -> None:
    """Set the context of the next job. Call it before the worker forks: each job runs in a fork of this process."""
    global _context
    _context = context


def audit(request_json: Mapping[str, Any]) -> None:
    """Measure one audit and store its report. Any exception ends the audit: only a death of the process is retried."""
    assert _context is not None
    job, settings = _context.attempt.job, _context.settings
    state = AuditState(_context.attempt, settings.redis_url.get_secret_value(), job.id)
    started_s = time.monotonic()
    try:
        request = AuditRequest.model_validate(request_json)
        log.info("%s: %s, begun", job.id, request.model)
        _measure_and_store(request, _context, state)
        log.info("%s: %s, succeeded after %.1f s", job.id, request.model, time.monotonic() - started_s)
    except Superseded:
        log.warning("%s: another worker has taken this audit over; nothing of this attempt is kept", job.id)
        raise
    except Canceled:
        log.info("%s: canceled", job.id)
        job.retries_left = 0
        raise
    except HandedBack:
        log.info("%s: goes on later, after a more urgent audit", job.id)
        _context.attempt.handed_back = True
        raise
    except ProcessDied as error:
        log.warning("%s: %s", job.id, error)
        os._exit(DECODING_DIED)
    except (Exception, SystemExit) as error:
        failure = _problem_of(error, settings)
        log.warning("%s: failed: %s", job.id, failure.detail)
        state.write_error(failure)
        job.retries_left = 0
        raise


def _measure_and_store(request: AuditRequest, context: JobContext, state: AuditState) -> None:
    identifier = context.attempt.job.id
    if audit_id(request) != identifier:
        raise RuntimeError("the service and this worker are of different versions: they measure by another protocol")
    store = ReportStore(context.settings.store)
    may_be_stored = state.begin()
    shards = AuditShards(identifier, context.attempt, state, store, context.settings.device or "cpu")
    report = _earlier_report(identifier, store, state, may_be_stored)
    if report is None:
        _insist(store.probe)
        report = context.run_audit(request, shards.write_progress, shards)
        if report.id != identifier:
            raise RuntimeError(f"the report of {identifier} calls itself {report.id}")
    _store(report, store, state)
    shards.end()
    images = report.timing.forward_images
    state.write_progress(Progress(phase="done", done=images, total=images), force=True)


def help_audit(identifier: str, request_json: Mapping[str, Any]) -> None:
    """Measure shards of an audit that another worker runs, until it needs no more help.

    What goes wrong with a shard ends the audit. What goes wrong before is a matter of this worker, which then does not
    help with this audit again.
    """
    assert _context is not None
    attempt, settings = _context.attempt, _context.settings
    state = AuditState(attempt, settings.redis_url.get_secret_value(), identifier)
    shards = AuditShards(identifier, attempt, state, ReportStore(settings.store), settings.device or "cpu")
    try:
        request = AuditRequest.model_validate(request_json)
        assert _context.help_with is not None
        log.info("%s: %s, helps", identifier, request.model)
        _context.help_with(request, shards.write_progress, shards)
        log.info("%s: %s, has helped", identifier, request.model)
        if not shards.has_taken:
            shards.refuse(for_good=False)
    except Unfit as error:
        log.warning("%s: cannot help: %s", identifier, error)
        shards.refuse(for_good=True)
    except (Canceled, Superseded, Left) as error:
        log.info("%s: helps no more: %s", identifier, error or "canceled")
    except ProcessDied as error:
        log.warning("%s: %s", identifier, error)
        os._exit(DECODING_DIED)
    except (Exception, SystemExit) as error:
        failure = _problem_of(error, settings)
        log.warning("%s: cannot help: %s", identifier, failure.detail)
        if shards.measuring and not _is_of_this_worker(error):
            shards.fail(failure)
        else:
            shards.refuse(for_good=True)


def _is_of_this_worker(error: BaseException) -> bool:
    """Tell whether another worker may well measure the shard on which this one has failed."""
    memory = isinstance(error, AuditError) and error.problem.type.endswith("out-of-memory")
    return memory or isinstance(error, JobTimeoutException | StoreUnavailable)


def _earlier_report(identifier: str, store: ReportStore, state: AuditState, may_be_stored: bool) -> Report | None:
    """Find the report that an earlier attempt has measured: kept while it could not be stored, or stored in time."""
    if kept := state.kept_report():
        return Report.model_validate_json(kept)
    return _insist(lambda: store.read(identifier)) if may_be_stored else None


def _insist(access: Callable[[], T]) -> T:
    """Access the report store, repeatedly for some seconds if it is unavailable, before any work depends on it."""
    deadline_s = time.monotonic() + INSIST_FOR_S
    while True:
        try:
            return access()
        except StoreUnavailable:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(1)


def _store(report: Report, store: ReportStore, state: AuditState) -> None:
    """Store the report. While the store is unavailable, keep it and try again for as long as the job may take."""
    content = report.model_dump_json().encode()
    images = report.timing.forward_images
    pause_s = 1.0
    trouble = "it does not answer"
    try:
        while True:
            state.begin_storing()
            try:
                store.create(report.id, content)
                break
            except StoreUnavailable as error:
                trouble = str(error)
            log.warning("%s: its report cannot be stored (%s); it is kept, and tried again", report.id, trouble)
            state.keep_report(content, f"A worker cannot write the report store: {trouble}.", for_s=2 * pause_s + 5)
            state.write_progress(Progress(phase="storing", done=images, total=images), force=True)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_STORE_EVERY_S)
    except JobTimeoutException:
        detail = (
            f"The report is measured but cannot be stored: {trouble}. It is kept for {KEEP_REPORT.days} days: "
            "ask for the audit again, and it is stored without being measured again."
        )
        raise AuditError("store-unavailable", detail) from None
    state.drop_kept_report()


def _problem_of(error: BaseException, settings: WorkerSettings) -> Problem:
    """Describe the ``error`` that ended an audit as a problem."""
    if isinstance(error, AuditError):
        return error.problem
    if isinstance(error, JobTimeoutException):
        detail = f"The audit took longer than ZOOAUDIT_JOB_TIMEOUT_S, {settings.job_timeout_s} s."
        return problem("timed-out", detail)
    if isinstance(error, StoreUnavailable):
        detail = f"The report store cannot be used: {error}. Nothing was measured; ask for the audit again later."
        return problem("store-unavailable", detail)
    return problem("internal-error", f"{type(error).__name__}: {error}"[:2000])


REFUSING_JOB = f"{__name__}.refuse"


def refuse() -> NoReturn:
    """Fail. This runs instead of a job that names another function than JOB."""
    raise RuntimeError(f"a job of this queue may name {JOB} only")
