"""Find the jobs that dead workers have left behind, and put them back into the queue."""

import logging
import time
from typing import Any

from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.utils import now
from zooaudit.contract import HELP_PREFIX, INSERT, state_key

from worker.queue.attempt import Attempt, Superseded
from worker.queue.ending import end_early

log = logging.getLogger("zooaudit.worker")

# Atomic, because a worker that starts the job at the same moment also moves it.
PUT_BACK = f"""{INSERT}
if redis.call('LREM', KEYS[1], 0, ARGV[1]) == 0 then return 0 end
if redis.call('HGET', KEYS[3], 'status') ~= 'queued' or redis.call('LPOS', KEYS[2], ARGV[1]) then return 0 end
insert(KEYS[2], ARGV[1], ARGV[2])
return 1
"""


class LostJobs:
    """The jobs of workers that have given no sign of life for ``ttl_s`` seconds. All workers may look for them at the
    same time: each job is put back once."""

    def __init__(self, queue: Queue, ttl_s: int) -> None:
        self._queue = queue
        self._redis: Any = queue.connection  # redis-py types each answer as a union of all it could ever be
        self._ttl_s = ttl_s
        self._taken_since_s: dict[str, float] = {}

    def put_back(self) -> None:
        """Put lost jobs back into the queue, or fail those whose processes have died too often."""
        self._put_back_begun()
        self._put_back_taken()

    def _put_back_begun(self) -> None:
        registry = self._queue.started_job_registry
        for entry in self._redis.zrangebyscore(registry.key, 0, time.time()):
            identifier, _, token = entry.decode().partition(":")
            try:
                job = Job.fetch(identifier, connection=self._redis, serializer="json")
                attempt = Attempt(job, self._queue, job.worker_name or "", self._ttl_s, token)
                job.ended_at = now()
                end_early(attempt, death="its machine or its worker stopped", only_if_lapsed=True)
            except NoSuchJobError:
                self._redis.zrem(registry.key, entry)  # its shards, if it helped, are free once it has lapsed
            except Superseded:
                # Not if it has just given a sign of life: it goes on then.
                if self._redis.hget(state_key(identifier), "attempt") != token.encode():
                    self._redis.zrem(registry.key, entry)

    def _put_back_taken(self) -> None:
        """Put back the jobs that a worker has taken from the queue and not claimed."""
        taken = self._queue.intermediate_queue.get_job_ids()
        now_s = time.monotonic()
        self._taken_since_s = {identifier: self._taken_since_s.get(identifier, now_s) for identifier in taken}
        for identifier, since_s in self._taken_since_s.items():
            if now_s - since_s >= self._ttl_s and identifier.startswith(HELP_PREFIX):
                self._redis.lrem(self._queue.intermediate_queue_key, 0, identifier)
                self._redis.delete(Job.key_for(identifier))
            elif now_s - since_s >= self._ttl_s:
                keys = [self._queue.intermediate_queue_key, self._queue.key, Job.key_for(identifier)]
                if self._redis.eval(PUT_BACK, len(keys), *keys, identifier, state_key("")):
                    log.warning("%s: was taken by a worker that died; back in the queue", identifier)
