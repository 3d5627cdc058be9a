"""The worker that takes audits from the queue: an RQ Worker under which every accepted audit ends.

An accepted audit must succeed, fail or be canceled, whatever dies on the way:

    What happens                                     Why the audit ends all the same
    -----------------------------------------------  ---------------------------------------------------------------
    The worker dies after it took the job from the   Another worker's _put_back_lost_jobs() puts the job back into
    queue and before it started it.                  the queue.
    The process that runs the job dies.              RQ puts the job back into the queue. After ATTEMPTS deaths (see
                                                     service/queue/audit_queue.py) the audit fails.
    The whole worker dies, or its machine.           Its heartbeats end, and _put_back_lost_jobs() of another worker
                                                     puts the job back, or fails it after ATTEMPTS deaths.
    Redis dies.                                      The worker waits for Redis without limit. Measuring goes on.
    The audit is canceled, but the message to stop   The job looks for a cancel at each AuditState.write_progress(),
    it is lost.                                      and the worker at each maintain_heartbeats().
    The audit is canceled, and then put back into    AuditState.begin() ends the job as soon as it starts.
    the queue for one of the reasons above.
    The audit is canceled while its report is        Whoever writes ``outcome`` first wins: AuditQueue.cancel() or
    being stored.                                    AuditState.begin_storing().
    The worker is told to stop.                      handle_job_failure() puts the job back, first in the queue. That
                                                     is not counted as an attempt.
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

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import LockError, RedisError
from redis.retry import Retry
from rq import Queue, Worker, worker_registration
from rq.job import Job
from rq.utils import now
from zooaudit.contract import (
    CATALOGUE_KEY,
    FORMER_JOBS,
    JOB,
    QUEUE,
    Catalogue,
    problem,
    state_key,
)

from worker.errors import AuditError
from worker.processes import die_with_parent
from worker.queue.audit_state import Canceled
from worker.queue.job import REFUSING_JOB, RunAudit, set_context
from worker.settings import WorkerSettings

log = logging.getLogger("zooaudit.worker")

# Atomic, because a worker that starts the job at the same moment also moves it.
PUT_BACK = """
if redis.call('LREM', KEYS[1], 0, ARGV[1]) == 0 then return 0 end
if redis.call('HGET', KEYS[3], 'status') ~= 'queued' or redis.call('LPOS', KEYS[2], ARGV[1]) then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
"""


def work(
    settings: WorkerSettings, catalogue: Catalogue, run_audit: RunAudit, look_after: Callable[[Any], None] | None = None
) -> bool:
    """Publish the catalogue and run audits. Returns True when a signal stopped the worker, False otherwise.

    ``look_after`` is called with a connection to Redis every few seconds, in the thread that forks.
    """
    set_context(settings, run_audit)
    connection = _connect(settings.redis_url.get_secret_value())
    worker = AuditWorker(connection, settings, catalogue, look_after)
    publish(catalogue, connection)
    try:
        worker.work(logging_level="ERROR")
    except RedisError as error:
        # Stopped while Redis was away: the worker cannot sign off, and need not.
        if not worker.told_to_stop:
            raise
        log.warning("stopped without Redis: %s", error)
    return worker.told_to_stop


def _connect(url: str) -> Redis:
    """Wait until Redis answers. Later calls on the connection also wait for Redis, without limit."""
    hasty = Redis.from_url(url, socket_timeout=3, retry=Retry(ExponentialBackoff(), 0))
    while True:
        try:
            hasty.ping()
            break
        except RedisError as error:
            log.warning("waiting for Redis: %s", error)
            time.sleep(2)
    hasty.close()
    return Redis.from_url(url, retry=Retry(ExponentialBackoff(cap=2, base=0.2), -1))


def publish(catalogue: Catalogue, redis: Any) -> None:
    """Publish ``catalogue``: the service checks requests against the one published last."""
    content = catalogue.model_dump_json()
    redis.hset(CATALOGUE_KEY, mapping={"version": sha256(content.encode()).hexdigest(), "json": content})


class AuditWorker(Worker):
    """An RQ worker that leaves no accepted audit unfinished. RQ calls the process of a job its "horse".

    What each override of RQ's Worker is for:

    dequeue_timeout, heartbeat,       Give signs of life often enough that a dead worker is noticed within
    get_heartbeat_ttl                 ZOOAUDIT_WORKER_TTL_S. With RQ's own intervals that takes minutes.
    maintain_heartbeats               While a job runs, also stop it if it was canceled, and do the maintenance.
    run_maintenance_tasks             Put lost jobs back. RQ's own would fail a job that a dead worker took and did not
                                      start, and is not atomic.
    execute_job                       Set the time limit from the settings, and note which audit runs.
    main_work_horse                   Make the job's process die with its worker.
    perform_job                       Run no other function than JOB.
    monitor_work_horse                When the job's process has ended, kill the processes that it has left behind.
    kill_horse                        Kill only the job's process and its children. Where there is no such process, or
                                      it has no group of its own yet, RQ's own kills the worker and its whole group.
    handle_work_horse_killed          Count the death, and note how the process died for the audit's error.
    handle_job_failure                Put the job back at no cost when its process was killed because the worker stops.
    handle_exception                  Log only errors that nobody foresaw; the job has recorded the others.
    handle_warm_shutdown_request      On SIGTERM and SIGINT, give the audit ZOOAUDIT_STOP_GRACE_S to end, then kill it.
    """

    def __init__(
        self,
        connection: Redis,
        settings: WorkerSettings,
        catalogue: Catalogue,
        look_after: Callable[[Any], None] | None = None,
    ) -> None:
        self._look_after = look_after
        self._ttl_s = settings.worker_ttl_s
        self._heartbeat_every_s = max(1, self._ttl_s // 3)
        # One queue only: with two, RQ can lose a job between taking it and starting it.
        queue = Queue(QUEUE, connection=connection, serializer="json")
        super().__init__(
            [queue],
            connection=connection,
            serializer="json",
            default_result_ttl=-1,
            worker_ttl=self._ttl_s,
            job_monitoring_interval=self._heartbeat_every_s,
            maintenance_interval=self._heartbeat_every_s,
            log_job_description=False,
        )
        self._settings = settings
        self._catalogue = catalogue
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._queue = queue
        self._running_id: str | None = None
        self._handed_back_id: str | None = None
        self._unstarted_since_s: dict[str, float] = {}

    @property
    def told_to_stop(self) -> bool:
        return self._shutdown_requested_date is not None

    @property
    def dequeue_timeout(self) -> int:
        return self._heartbeat_every_s

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:  # noqa: ARG002
        super().heartbeat(self._ttl_s, pipeline)

    def get_heartbeat_ttl(self, job: Job) -> int:  # noqa: ARG002
        return self._ttl_s

    def maintain_heartbeats(self, job: Job) -> None:
        super().maintain_heartbeats(job)
        if (self._redis.hget(state_key(job.id), "outcome") or b"").startswith(b"canceled"):
            self._stopped_job_id = job.id
            self.kill_horse()
        self.run_maintenance_tasks()

    def run_maintenance_tasks(self) -> None:
        self.last_cleaned_at = now()  # type: ignore[assignment]
        if self._look_after is not None:
            self._look_after(self._redis)
        worker_registration.register(self)  # Redis may have been emptied
        if not self._redis.exists(CATALOGUE_KEY):
            publish(self._catalogue, self._redis)
        lock = self._redis.lock("zooaudit:reaper", timeout=60, blocking=False)
        # RQ's cleanup is not atomic: two at the same time put a job back twice.
        if lock.acquire():
            try:
                self._put_back_lost_jobs()
            finally:
                with suppress(LockError):
                    lock.release()

    def _put_back_lost_jobs(self) -> None:
        """Put the jobs of dead workers back into the queue."""
        registry = self._queue.started_job_registry
        for identifier in registry.get_expired_job_ids():
            self._count_death(identifier, "its machine or its worker stopped")
        registry.cleanup()
        taken = self._queue.intermediate_queue.get_job_ids()
        started = set(registry.get_job_ids(cleanup=False))
        now_s = time.monotonic()
        self._unstarted_since_s = {key: self._unstarted_since_s.get(key, now_s) for key in taken if key not in started}
        for identifier, since_s in self._unstarted_since_s.items():
            if now_s - since_s >= self._ttl_s:
                keys = [self._queue.intermediate_queue_key, self._queue.key, Job.key_for(identifier)]
                if self._redis.eval(PUT_BACK, len(keys), *keys, identifier):
                    log.warning("%s: was taken by a worker that died; back in the queue", identifier)

    def _count_death(self, identifier: str, how: str) -> None:
        deaths = self._redis.hincrby(state_key(identifier), "deaths", 1)
        log.warning("%s: the process that measured it died (%s), %d so far", identifier, how, deaths)
        times = "once" if deaths == 1 else f"{deaths} times"
        detail = f"The process that measured it died {times}; the last time {how}."
        error = problem("worker-died", detail)
        self._redis.hset(state_key(identifier), "error", error.model_dump_json())

    def execute_job(self, job: Job, queue: Queue) -> None:
        job.timeout = self._settings.job_timeout_s
        self._running_id = job.id
        super().execute_job(job, queue)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        die_with_parent(self.pid or 0)
        super().main_work_horse(job, queue)

    def perform_job(self, job: Job, queue: Queue) -> bool:
        if job.func_name in FORMER_JOBS:
            job.data = self.serializer.dumps((JOB, None, job.args, job.kwargs))
        if job.func_name != JOB:  # whoever can write to Redis must not choose what runs here
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
        if job.id != self._handed_back_id:
            by = f"by signal {os.WTERMSIG(ret_val)}" if ret_val and os.WIFSIGNALED(ret_val) else "by itself"
            memory = ", which is what happens when memory runs out" if by.endswith(" 9") else ""
            self._count_death(job.id, by + memory)

    def handle_job_failure(
        self, job: Job, queue: Queue, started_job_registry: Any = None, exc_string: str = ""
    ) -> None:
        if job.id != self._handed_back_id or self.is_horse:
            super().handle_job_failure(job, queue, started_job_registry, exc_string)
            return
        with self._redis.pipeline() as pipe:
            self.cleanup_execution(job, pipeline=pipe)
            queue._enqueue_job(job, pipeline=pipe, at_front=True)
            pipe.execute()
        log.info("%s: back in the queue", job.id)

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        if not isinstance(exc_info[1], Canceled | AuditError):
            log.error("%s: unexpected error", job.id, exc_info=exc_info)

    def handle_warm_shutdown_request(self) -> None:
        log.info("told to stop")
        # Redis may be stopping too, so do not wait for it without limit.
        self._redis.set_retry(Retry(ExponentialBackoff(cap=0.5, base=0.1), 5))
        threading.Thread(target=self._hand_back, daemon=True).start()

    def _hand_back(self) -> None:
        time.sleep(self._settings.stop_grace_s)
        while not self.horse_pid:
            time.sleep(0.05)
        self._handed_back_id = self._running_id
        self.kill_horse()
