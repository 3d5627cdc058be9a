"""One attempt of a worker at an audit, and the fence that keeps all earlier attempts from writing about it.

A worker that was frozen, or cut off from Redis, for longer than its time to live does not know that another one has
taken its audit over. So every attempt has a token, the audit's state in Redis names the token of the one attempt that
counts (see ``contract.state_key``), and every change is a transaction that happens only while it names this attempt's.
"""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError
from rq import Queue
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from zooaudit.contract import HELP_PREFIX, INDEX_KEY, state_key

State = dict[bytes, bytes]
Write = Callable[[Pipeline, State], object]
"""Adds its commands to a transaction. It is given the audit's state as it is before, and may be called repeatedly."""


class Superseded(Exception):
    """Ends what an attempt does about its audit: another attempt has taken the audit over, or the audit has ended."""


class Attempt:
    """An attempt at ``job`` by the worker of that name, which counts as dead after ``ttl_s`` seconds of silence.

    The job is an audit's own or, if the attempt ``helps``, one that measures some shards of an audit. ``handed_back``
    means that it ends so that its audit goes on later. RQ's own record of an attempt, its Execution, has the token as
    its id.
    """

    def __init__(self, job: Job, queue: Queue, worker_name: str, ttl_s: int, token: str | None = None) -> None:
        self.job = job
        self.token = token or uuid4().hex
        self.execution = Execution(self.token, job.id, job.connection, worker_name)
        self.queue = queue
        self.helps = job.id.startswith(HELP_PREFIX)
        self.handed_back = False
        self._redis: Redis = job.connection
        self._state_key = state_key(job.id)
        self._ttl_s = ttl_s

    def claim(self) -> bool:
        """Take the job that this worker has got from the queue.

        Returns False when it is no longer this worker's: it was frozen meanwhile and another worker put the job back,
        or somebody has canceled the audit.
        """
        taken_key = self.queue.intermediate_queue_key
        while True:
            with self._redis.pipeline() as pipe:
                try:
                    pipe.watch(self._state_key, self.job.key, taken_key)  # type: ignore[no-untyped-call]
                    if pipe.hget(self._state_key, "attempt") == self.token.encode():
                        return True  # the connection broke before Redis could say so
                    queued = pipe.hget(self.job.key, "status") == JobStatus.QUEUED.encode()
                    taken = pipe.lpos(taken_key, self.job.id) is not None
                    pipe.multi()
                    pipe.lrem(taken_key, 0, self.job.id)
                    if queued and taken:
                        self._register(pipe)
                    pipe.execute()
                    return queued and taken
                except WatchError:
                    continue

    def change(self, write: Write, *, only_if_lapsed: bool = False) -> State:
        """Make the changes of ``write`` if this attempt is the one that counts, and return the state before them.

        With ``only_if_lapsed`` its signs of life must have ended, too. Otherwise raises Superseded and changes nothing.
        """
        registry = self.queue.started_job_registry
        while True:
            with self._redis.pipeline() as pipe:
                try:
                    pipe.watch(self._state_key, *([registry.key] if only_if_lapsed else []))  # type: ignore[no-untyped-call]
                    state: State = pipe.hgetall(self._state_key)  # type: ignore[assignment]
                    holder = state.get(b"attempt")
                    if holder != self.token.encode() and (holder is not None or self.helps):
                        raise Superseded(self.job.id)
                    if only_if_lapsed and self._lapses_at(pipe) > time.time():
                        raise Superseded(self.job.id)
                    pipe.multi()
                    if holder is None:
                        self._take_back(pipe)
                    write(pipe, state)
                    pipe.execute()
                    return state
                except WatchError:
                    continue

    def insist(self, *, only_if_lapsed: bool = False) -> None:
        """Raise Superseded where :meth:`change` would; write this attempt down again if Redis has lost it."""
        self.change(lambda _pipe, _state: None, only_if_lapsed=only_if_lapsed)

    def heartbeat(self, pipe: Pipeline) -> None:
        """Add a sign of life to a transaction."""
        self.execution.heartbeat(self.queue.started_job_registry, self._ttl_s, pipe)

    def close(self, pipe: Pipeline) -> None:
        """Add the end of this attempt to a transaction: from then on it may write nothing."""
        if self.helps:
            pipe.delete(self._state_key, self.job.key)
        else:
            pipe.hset(self._state_key, "attempt", "")
        self.execution.delete(self.job, pipe)

    def _register(self, pipe: Pipeline) -> None:
        pipe.hset(self._state_key, "attempt", self.token)
        self.job.prepare_for_execution(self.execution.worker_name, pipe)
        self.execution.save(self._ttl_s, pipe)
        ExecutionRegistry(self.job.id, self._redis).add(self.execution, self._ttl_s, pipe)
        self.queue.started_job_registry.add_execution(self.execution, pipe, self._ttl_s)

    def _take_back(self, pipe: Pipeline) -> None:
        """Add to a transaction all that is written about this attempt: Redis has been emptied since it began."""
        pipe.lrem(self.queue.key, 0, self.job.id)
        pipe.lrem(self.queue.intermediate_queue_key, 0, self.job.id)
        started_at = self.job.started_at
        self._register(pipe)
        self.job.started_at = started_at
        self.job.save(pipe)
        pipe.zadd(INDEX_KEY, {self.job.id: self.job.created_at.timestamp()}, nx=True)

    def _lapses_at(self, pipe: Any) -> float:
        score: float | None = pipe.zscore(self.queue.started_job_registry.key, self.execution.composite_key)
        return float("inf") if score is None else score
