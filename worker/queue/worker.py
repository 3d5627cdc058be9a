"""The audits that come through the queue: the one file of the worker that knows RQ.

An accepted audit must end: succeeded, failed or canceled, whatever dies on the way. What stands for that:

    worker dies before it starts the job        reap() puts the stranded job back
    the job's own process dies                  RQ puts the job back, ATTEMPTS times in all; then it has failed
    the whole worker dies, or its machine       its heartbeat runs out, reap() puts the job back
    Redis dies                                  the worker waits for it, for ever; the measuring goes on
    canceled, and the message is lost           the job asks at each progress, the worker at each heartbeat
    canceled, and put back by one of the above  it ends as soon as it starts
    canceled while the report is being stored   who writes ``outcome`` first has it
    the worker is told to stop                  the job goes back to the queue and costs no attempt
"""

import logging
import os
import signal
import threading
import time
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
from worker.queue.job import REFUSE, Run, prepare
from worker.queue.notes import Canceled
from worker.settings import WorkerSettings

log = logging.getLogger("zooaudit.worker")


def work(settings: WorkerSettings, catalogue: Catalogue, run: Run) -> bool:
    """Runs audits until told to stop; True when that is why it returned."""
    prepare(settings, run)
    connection = _connect(settings.redis_url.get_secret_value())
    worker = AuditWorker(connection, settings, catalogue)
    worker.publish()
    try:
        worker.work(logging_level="ERROR")
    except RedisError as error:
        # Told to stop while Redis was away: it cannot say good-bye, and need not.
        if not worker.told_to_stop:
            raise
        log.warning("stopped without Redis: %s", error)
    return worker.told_to_stop


class AuditWorker(Worker):
    """An RQ worker that leaves no audit behind."""

    def __init__(self, connection: Redis, settings: WorkerSettings, catalogue: Catalogue) -> None:
        self._ttl = settings.worker_ttl_s
        self._beat = max(1, self._ttl // 3)
        # One queue only: RQ can lose a job between taking it and starting it when it listens to two.
        queue = Queue(QUEUE, connection=connection, serializer="json")
        super().__init__(
            [queue],
            connection=connection,
            serializer="json",
            default_result_ttl=-1,
            worker_ttl=self._ttl,
            job_monitoring_interval=self._beat,
            maintenance_interval=self._beat,
            log_job_description=False,
        )
        self._settings = settings
        self._catalogue = catalogue
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._queue = queue
        self._job_id: str | None = None
        self._going_back: str | None = None
        self._stranded: dict[str, float] = {}

    @property
    def told_to_stop(self) -> bool:
        return self._shutdown_requested_date is not None

    def publish(self) -> None:
        """Says what can be audited."""
        publish(self._catalogue, self._redis)

    # How often a worker says that it is alive. RQ's own numbers let a dead one go unnoticed for minutes.

    @property
    def dequeue_timeout(self) -> int:
        return self._beat

    def get_heartbeat_ttl(self, job: Job) -> int:  # noqa: ARG002
        return self._ttl

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:  # noqa: ARG002
        super().heartbeat(self._ttl, pipeline)

    def maintain_heartbeats(self, job: Job) -> None:
        super().maintain_heartbeats(job)
        if (self._redis.hget(state_key(job.id), "outcome") or b"").startswith(b"canceled"):
            self._stopped_job_id = job.id
            self.kill_horse()
        self.run_maintenance_tasks()

    def run_maintenance_tasks(self) -> None:
        """In place of RQ's, which would fail jobs that a dead worker had not started."""
        self.last_cleaned_at = now()  # type: ignore[assignment]
        worker_registration.register(self)  # Redis may have been emptied
        if not self._redis.exists(CATALOGUE_KEY):
            self.publish()
        lock = self._redis.lock("zooaudit:reaper", timeout=60, blocking=False)
        # RQ's cleanup is not atomic: two at once put a job back twice.
        if lock.acquire():
            try:
                self._reap()
            finally:
                with suppress(LockError):
                    lock.release()

    def _reap(self) -> None:
        """Puts back the jobs of dead workers."""
        registry = self._queue.started_job_registry
        for identifier in registry.get_expired_job_ids():
            self._count_death(identifier, "its machine or its worker stopped")
        registry.cleanup()
        taken = self._queue.intermediate_queue.get_job_ids()
        started = set(registry.get_job_ids(cleanup=False))
        moment = time.monotonic()
        self._stranded = {key: self._stranded.get(key, moment) for key in taken if key not in started}
        for identifier, since in self._stranded.items():
            if moment - since >= self._ttl:
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

    # The process of one job, RQ's "horse".

    def execute_job(self, job: Job, queue: Queue) -> None:
        job.timeout = self._settings.job_timeout_s
        self._job_id = job.id
        super().execute_job(job, queue)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        die_with_parent(self.pid or 0)
        super().main_work_horse(job, queue)

    def perform_job(self, job: Job, queue: Queue) -> bool:
        if job.func_name in FORMER_JOBS:
            job.data = self.serializer.dumps((JOB, None, job.args, job.kwargs))
        if job.func_name != JOB:  # whoever can write to Redis must not choose what runs here
            job.retries_left = 0
            job.data = self.serializer.dumps((REFUSE, None, [], {}))
        return super().perform_job(job, queue)

    def monitor_work_horse(self, job: Job, queue: Queue) -> None:
        group = self.horse_pid
        super().monitor_work_horse(job, queue)
        if group:  # whatever the job has started and left behind
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        # RQ's own would kill this very process and all around it when there is no horse, or one that has not
        # moved into a process group of its own yet.
        pid = self.horse_pid
        if not pid:
            return
        with suppress(ProcessLookupError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, sig)
            else:
                os.kill(pid, sig)

    def handle_work_horse_killed(self, job: Job, retpid: int, ret_val: int, rusage: Any) -> None:  # noqa: ARG002
        if job.id != self._going_back:
            by = f"by signal {os.WTERMSIG(ret_val)}" if ret_val and os.WIFSIGNALED(ret_val) else "by itself"
            memory = ", which is what happens when memory runs out" if by.endswith(" 9") else ""
            self._count_death(job.id, by + memory)

    def handle_job_failure(
        self, job: Job, queue: Queue, started_job_registry: Any = None, exc_string: str = ""
    ) -> None:
        if job.id != self._going_back or self.is_horse:
            super().handle_job_failure(job, queue, started_job_registry, exc_string)
            return
        with self._redis.pipeline() as pipe:
            self.cleanup_execution(job, pipeline=pipe)
            queue._enqueue_job(job, pipeline=pipe, at_front=True)
            pipe.execute()
        log.info("%s: back in the queue", job.id)

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        if not isinstance(exc_info[1], Canceled | AuditError):
            log.error("%s: this should not have happened", job.id, exc_info=exc_info)

    # Told to stop: the running audit gets a grace, then goes back to the queue.

    def handle_warm_shutdown_request(self) -> None:
        log.info("told to stop")
        # No waiting for ever for a Redis that may be stopping, too.
        self._redis.set_retry(Retry(ExponentialBackoff(cap=0.5, base=0.1), 5))
        threading.Thread(target=self._hand_back, daemon=True).start()

    def _hand_back(self) -> None:
        time.sleep(self._settings.stop_grace_s)
        while not self.horse_pid:
            time.sleep(0.05)
        self._going_back = self._job_id
        self.kill_horse()


def publish(catalogue: Catalogue, redis: Any) -> None:
    """Makes ``catalogue`` the one that the service goes by."""
    content = catalogue.model_dump_json()
    redis.hset(CATALOGUE_KEY, mapping={"version": sha256(content.encode()).hexdigest(), "json": content})


PUT_BACK = """
if redis.call('LREM', KEYS[1], 0, ARGV[1]) == 0 then return 0 end
if redis.call('HGET', KEYS[3], 'status') ~= 'queued' or redis.call('LPOS', KEYS[2], ARGV[1]) then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
"""


def _connect(url: str) -> Redis:
    """A connection that waits for Redis as long as it takes, once Redis has answered for the first time."""
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
