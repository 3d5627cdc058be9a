"""The worker that takes audits from the queue: an RQ Worker under which every accepted audit ends.

An accepted audit must succeed, fail or be canceled, whatever dies on the way:

    What happens                                     Why the audit ends all the same
    -----------------------------------------------  ---------------------------------------------------------------
    The worker dies after it took the job from the   Another worker's LostJobs.put_back() puts the job back into
    queue and before it claimed it.                  the queue.
    The process that runs the job dies.              RQ puts the job back into the queue. After DEATHS deaths on one
                                                     shard, or ATTEMPTS without any, the audit fails.
    The whole worker dies, or its machine.           Its heartbeats end, and LostJobs.put_back() of another worker
                                                     puts the job back, or fails it after as many deaths.
    A worker that helps dies, or stops.              What it was measuring is free again: AuditShards.take() of another
                                                     worker finds that its attempt has lapsed.
    The worker is frozen or cut off from Redis, and  Its attempt no longer counts (see Attempt), so whatever it
    goes on after another has taken its audit over.  writes about the audit is dropped.
    Redis dies, or answers but refuses commands.     The worker waits for Redis without limit (see Patience).
                                                     Measuring goes on, and nobody counts as dead because of it.
    Redis is emptied.                                The running attempt writes itself down again; the service adds
                                                     the audits that wait (see service/recovery.py).
    The report store cannot be written.              The job keeps the report and tries again (see job.py).
    The audit is canceled, but the message to stop   The job looks for a cancel at each AuditState.write_progress(),
    it is lost.                                      and the worker at each maintain_heartbeats().
    The audit is canceled, and then put back into    AuditState.begin() ends the job as soon as it starts.
    the queue for one of the reasons above.
    The audit is canceled while its report is        Whoever writes ``outcome`` first wins: AuditQueue.cancel() or
    being stored.                                    AuditState.begin_storing().
    The worker is told to stop.                      handle_job_failure() puts the job back, at its place in the queue.
                                                     That is not counted as an attempt.
    A more urgent audit comes.                       The job ends between two shards, by HandedBack, and goes back to
                                                     its place in the queue.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any

from redis.exceptions import RedisError
from rq import Queue, Worker, worker_registration
from rq.job import Job
from rq.utils import get_version, now
from rq.worker import WorkerStatus
from zooaudit.contract import (
    CATALOGUE_KEY,
    DEPTHS_KEY,
    DEVICE_FIELD,
    FORMER_JOBS,
    HELP_JOB,
    HELP_PREFIX,
    JOB,
    QUEUE,
    Catalogue,
    refusal,
)

from worker.errors import AuditError
from worker.processes import die_with_parent
from worker.queue.attempt import Attempt, State, Superseded
from worker.queue.audit_state import Canceled
from worker.queue.ending import end_early, how_it_died, succeed
from worker.queue.helping import HELP_EVERY_S, Helping
from worker.queue.job import REFUSING_JOB, HelpWith, JobContext, RunAudit, set_context
from worker.queue.lost_jobs import LostJobs
from worker.queue.patience import Patience, connect
from worker.queue.report_store import StoreUnavailable
from worker.queue.sharing import HandedBack
from worker.settings import WorkerSettings

log = logging.getLogger("zooaudit.worker")

LookAfter = Callable[[Any], None]
OLDEST_REDIS = (6, 2)
"""From this version on, RQ moves a job that a worker takes to a list, where it can be found if the worker dies."""


def work(
    settings: WorkerSettings,
    catalogue: Catalogue,
    run_audit: RunAudit,
    help_with: HelpWith | None = None,
    look_after: LookAfter | None = None,
) -> bool:
    """Publish the catalogue and run audits. Returns True when a signal stopped the worker, False otherwise.

    While no audit waits, the worker helps with running ones, if it has ``help_with``. ``look_after`` is called with a
    connection to Redis every few seconds, in the thread that forks.
    """
    worker = AuditWorker(settings, catalogue, run_audit, help_with, look_after)
    if get_version(worker.connection) < OLDEST_REDIS:
        log.error("ZOOAUDIT_REDIS_URL: this Redis is older than %s", ".".join(map(str, OLDEST_REDIS)))
        return False
    worker.publish_catalogue()
    try:
        worker.work(logging_level="ERROR")
    except RedisError as error:
        # Stopped while Redis was away: the worker cannot sign off, and need not.
        if not worker.told_to_stop:
            raise
        log.warning("stopped without Redis: %s", refusal(error) or error)
    return worker.told_to_stop


def publish(catalogue: Catalogue, redis: Any) -> None:
    """Publish ``catalogue``: the service checks requests against the one published last."""
    content = catalogue.model_dump_json()
    redis.hset(CATALOGUE_KEY, mapping={"version": sha256(content.encode()).hexdigest(), "json": content})


class AuditWorker(Worker):
    """An RQ worker that leaves no accepted audit unfinished. RQ calls the process of a job its "horse".

    What each override of RQ's Worker is for:

    dequeue_timeout, heartbeat,       Give signs of life often enough that a dead worker is noticed within
    get_heartbeat_ttl                 ZOOAUDIT_WORKER_TTL_S. With RQ's own intervals that takes minutes. They also tell
                                      the service on which device the worker is.
    maintain_heartbeats               While a job runs, also stop it if it was canceled or taken over, and do the
                                      maintenance.
    run_maintenance_tasks             Put lost jobs back. RQ's own would fail a job that a dead worker took and did not
                                      start, and is not atomic.
    execute_job                       Claim the job, set the time limit from the settings, and note which audit runs.
    main_work_horse                   Make the job's process die with its worker.
    prepare_job_execution,            Write nothing: the claim has written it, or the end of the job will.
    handle_execution_ended
    dequeue_job_and_maintain_ttl      Where no audit waits, take a job that helps with a running one.
    perform_job                       Run no other function than JOB and HELP_JOB.
    monitor_work_horse                When the job's process has ended, kill the processes that it has left behind.
    kill_horse                        Kill only the job's process and its children. Where there is no such process, or
                                      it has no group of its own yet, RQ's own kills the worker and its whole group.
    handle_work_horse_killed          Note how the job's process died, for the audit's error.
    handle_job_success,               End the audit only if this attempt at it still counts. A job whose process was
    handle_job_failure                killed because the worker stops goes back into the queue at no cost.
    handle_exception                  Log only errors that nobody foresaw; the job has recorded the others.
    handle_warm_shutdown_request      On SIGTERM and SIGINT, give the audit ZOOAUDIT_STOP_GRACE_S to end, then kill it.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        catalogue: Catalogue,
        run_audit: RunAudit,
        help_with: HelpWith | None = None,
        look_after: LookAfter | None = None,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._run_audit = run_audit
        self._help_with = help_with
        self._look_after = look_after
        self._patience = Patience()
        connection = connect(settings.redis_url.get_secret_value(), self._patience)
        connection.ping()
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._ttl_s = settings.worker_ttl_s
        self._heartbeat_every_s = max(1, self._ttl_s // 3)
        # One queue only: with two, RQ can lose a job between taking it and starting it.
        self._queue = Queue(QUEUE, connection=connection, serializer="json")
        super().__init__(
            [self._queue],
            connection=connection,
            serializer="json",
            default_result_ttl=-1,
            worker_ttl=self._ttl_s,
            job_monitoring_interval=self._heartbeat_every_s,
            maintenance_interval=self._heartbeat_every_s,
            log_job_description=False,
        )
        self._attempt: Attempt | None = None
        self._death: str | None = None
        self._handed_back_id: str | None = None
        self._lost_jobs = LostJobs(self._queue, self._ttl_s)
        self._helping = Helping(self._queue, self.name)

    @property
    def told_to_stop(self) -> bool:
        return self._shutdown_requested_date is not None

    @property
    def dequeue_timeout(self) -> int:
        return self._heartbeat_every_s

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:  # noqa: ARG002
        super().heartbeat(self._ttl_s, pipeline)
        if self._settings.device:
            (self._redis if pipeline is None else pipeline).hset(self.key, DEVICE_FIELD, self._settings.device)

    def get_heartbeat_ttl(self, job: Job) -> int:  # noqa: ARG002
        return self._ttl_s

    def publish_catalogue(self) -> None:
        """Publish it, and forget the depths of the operator's own architectures, whose code may be another now."""
        publish(self._catalogue, self._redis)
        if own := [entry.name for entry in self._catalogue.entries if entry.source == "own"]:
            self._redis.hdel(DEPTHS_KEY, *own)

    def maintain_heartbeats(self, job: Job) -> None:
        attempt = self._current_attempt()

        def write(pipe: Any, _state: State) -> None:
            self.heartbeat(pipeline=pipe)
            attempt.heartbeat(pipe)
            job.heartbeat(now(), self._ttl_s, pipeline=pipe)

        try:
            state = attempt.change(write)
        except Superseded:
            log.warning("%s: another worker has taken this audit over", job.id)
            self.heartbeat()
            self.kill_horse()
        else:
            if state.get(b"outcome", b"").startswith(b"canceled"):
                self._stopped_job_id = job.id
                self.kill_horse()
        self.run_maintenance_tasks()

    def run_maintenance_tasks(self) -> None:
        self.last_cleaned_at = now()  # type: ignore[assignment]
        if self._look_after is not None:
            self._look_after(self._redis)
        worker_registration.register(self)  # Redis may have been emptied
        if not self._redis.exists(CATALOGUE_KEY):
            self.publish_catalogue()
        # While Redis was away nobody could give a sign of life.
        if self._patience.quiet_for_s() > self._ttl_s:
            self._lost_jobs.put_back()

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        if self._help_with is None:
            return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
        while True:
            if found := super().dequeue_job_and_maintain_ttl(HELP_EVERY_S, HELP_EVERY_S):
                return found
            if job := self._helping.look():
                return job, self._queue

    def execute_job(self, job: Job, queue: Queue) -> None:
        job.timeout = self._settings.job_timeout_s
        token = job.id.removeprefix(HELP_PREFIX) if job.id.startswith(HELP_PREFIX) else None
        self._attempt = attempt = Attempt(job, queue, self.name, self._ttl_s, token)
        if not attempt.claim():
            log.warning("%s: not begun, because it has been canceled or put back", job.id)
            return
        self._death = self._stopped_job_id = None
        self.execution = attempt.execution
        self._helping.stop()
        self.set_state(WorkerStatus.BUSY)
        self.set_current_job_id(job.id)
        set_context(JobContext(self._settings, self._run_audit, self._help_with, attempt))
        self.fork_work_horse(job, queue)
        self.monitor_work_horse(job, queue)
        self.set_current_job_id(None)
        self.set_state(WorkerStatus.IDLE)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        die_with_parent(self.pid or 0)
        super().main_work_horse(job, queue)

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        pass

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:  # noqa: ARG002
        job.ended_at = now()

    def perform_job(self, job: Job, queue: Queue) -> bool:
        if job.func_name in FORMER_JOBS:
            job.data = self.serializer.dumps((JOB, None, job.args, job.kwargs))
        if job.func_name not in (JOB, HELP_JOB):  # whoever can write to Redis must not choose what runs here
            job.retries_left = 0
            job.data = self.serializer.dumps((REFUSING_JOB, None, [], {}))
        return super().perform_job(job, queue)

    def monitor_work_horse(self, job: Job, queue: Queue) -> None:
        group = self.horse_pid
        super().monitor_work_horse(job, queue)
        if group:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        pid = self.horse_pid
        if not pid:
            return
        with suppress(ProcessLookupError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, sig)
            else:
                os.kill(pid, sig)

    def handle_work_horse_killed(self, job: Job, retpid: int, ret_val: int, rusage: Any) -> None:  # noqa: ARG002
        self._death = how_it_died(ret_val)

    def handle_job_success(self, job: Job, queue: Queue, started_job_registry: Any) -> None:  # noqa: ARG002
        with suppress(Superseded):
            succeed(self._current_attempt())

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,  # noqa: ARG002
        started_job_registry: Any = None,  # noqa: ARG002
        exc_string: str = "",
    ) -> None:
        attempt = self._current_attempt()
        handed_back = attempt.handed_back or (job.id == self._handed_back_id and not self.is_horse)
        with suppress(Superseded):
            end_early(
                attempt,
                death=None if handed_back else self._death,
                stopped=self._stopped_job_id == job.id,
                handed_back=handed_back,
                exc_string=exc_string,
            )

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        if not isinstance(exc_info[1], Canceled | Superseded | HandedBack | AuditError | StoreUnavailable):
            log.error("%s: unexpected error", job.id, exc_info=exc_info)

    def handle_warm_shutdown_request(self) -> None:
        log.info("told to stop")
        # Redis may be stopping too, so do not wait for it without limit.
        self._patience.update_retries(5)
        threading.Thread(target=self._hand_back, daemon=True).start()

    def _hand_back(self) -> None:
        time.sleep(self._settings.stop_grace_s)
        while not self.horse_pid:
            time.sleep(0.05)
        self._handed_back_id = self._current_attempt().job.id
        self.kill_horse()

    def _current_attempt(self) -> Attempt:
        assert self._attempt is not None
        return self._attempt
