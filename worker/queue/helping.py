"""What a worker does while no audit waits: it looks for a running one that it can help with."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from redis.exceptions import WatchError
from rq import Queue
from rq.job import Job, JobStatus
from zooaudit.contract import (
    HELP_JOB,
    HELP_PREFIX,
    IDLE_KEY,
    OPEN_KEY,
    Board,
    MemberRecord,
    board_key,
    members_key,
    state_key,
    unfit_key,
)
from zooaudit.contract.board import readable

from worker.queue.sharing import UNFIT_FOR_S, software, worker_name
from worker.queue.taking import LOOKED_AT, Workforce, has_free_work, is_worth_dividing

HELP_EVERY_S = 1
"""How long a worker waits for an audit of its own before it looks again for one that it can help with."""
IDLE_FOR_S = 4.0
"""How long others count on a worker that has looked for work."""
TRIES = 5
"""How often it looks again at once where others have been faster."""
HELP_LIMIT_S = 86_400


class Helping:
    """Finds work for the worker ``name`` while its ``queue`` is empty."""

    def __init__(self, queue: Queue, name: str) -> None:
        self._queue = queue
        self._name = name
        self._redis: Any = queue.connection

    def look(self) -> Job | None:
        """Return a job that helps with the oldest running audit in which something is free for one more worker, or if
        there is none, with the oldest in which another worker's shard is worth dividing.

        Each shard costs one more reference view, so workers spread over the audits (:func:`has_free_work`), and what
        nobody measures comes first. The job is in the same state as one that the worker has taken from the queue.
        """
        for _ in range(TRIES):
            if (chosen := self._choose()) is None:
                return None
            if (job := self._join(*chosen)) is not None:
                return job
        return None

    def stop(self) -> None:
        """Let nobody count on this worker: it has found work."""
        self._redis.zrem(IDLE_KEY, self._name)

    def _choose(self) -> tuple[str, Job, Callable[[Board], bool]] | None:
        """Return the audit to help with, its job, and what makes it the one to help with."""
        found: list[tuple[Board, str, Job, bool]] = []
        for identifier in self._open():
            fields, members, job, outcome, unfit = self._read(identifier)
            board = readable(fields, members)
            if job is None or (outcome or b"").startswith(b"canceled"):
                self._redis.zrem(OPEN_KEY, identifier)
            elif board is not None and board.plan.software != software():
                self._redis.sadd(unfit_key(identifier), self._name)  # so that its workers do not count on this one
                self._redis.expire(unfit_key(identifier), UNFIT_FOR_S)
            elif board is not None:
                found.append((board, identifier, job, unfit))
        if not found:
            return None
        fair = Workforce.now(self._queue).for_each_audit([board for board, *_ in found])
        for needs_help in (partial(has_free_work, fair=fair), is_worth_dividing):
            for board, identifier, job, unfit in found:
                if not unfit and needs_help(board):
                    return identifier, job, needs_help
        return None

    def _open(self) -> list[str]:
        now_s = time.time()
        with self._redis.pipeline() as pipe:
            pipe.zadd(IDLE_KEY, {self._name: now_s + IDLE_FOR_S})
            pipe.zremrangebyscore(IDLE_KEY, "-inf", now_s)
            pipe.zrange(OPEN_KEY, 0, LOOKED_AT - 1)
            return [identifier.decode() for identifier in pipe.execute()[2]]

    def _read(self, identifier: str) -> tuple[dict[bytes, bytes], dict[bytes, bytes], Job | None, bytes | None, bool]:
        with self._redis.pipeline() as pipe:
            pipe.hgetall(board_key(identifier))
            pipe.hgetall(members_key(identifier))
            pipe.hgetall(Job.key_for(identifier))
            pipe.hget(state_key(identifier), "outcome")
            pipe.sismember(unfit_key(identifier), self._name)
            fields, members, of_job, outcome, unfit = pipe.execute()
        if not of_job:
            return fields, members, None, outcome, bool(unfit)
        job = Job(identifier, connection=self._redis, serializer="json")
        job.restore(of_job)
        running = job.get_status(refresh=False) in (JobStatus.STARTED, JobStatus.QUEUED)
        return fields, members, job if running else None, outcome, bool(unfit)

    def _join(self, identifier: str, audit: Job, needs_help: Callable[[Board], bool]) -> Job | None:
        """Join an audit, unless others that looked at the same time have joined it, and it needs no more help."""
        token = uuid4().hex
        job = Job.create(
            HELP_JOB,
            args=[identifier, audit.args[0]],
            id=f"{HELP_PREFIX}{token}",
            connection=self._redis,
            serializer="json",
            timeout=HELP_LIMIT_S,
            result_ttl=0,
            origin=self._queue.name,
            status=JobStatus.QUEUED,
            description=f"help with the {audit.description}",
        )
        with self._redis.pipeline() as pipe:
            keys = board_key(identifier), members_key(identifier)
            try:
                pipe.watch(*keys)
                board = readable(*map(pipe.hgetall, keys))
                if board is None or not needs_help(board):
                    return None
                pipe.multi()
                job.save(pipeline=pipe)
                pipe.rpush(self._queue.intermediate_queue_key, job.id)
                member = MemberRecord(worker=worker_name(os.getpid()), at_s=time.time())
                pipe.hset(members_key(identifier), token, member.model_dump_json())
                pipe.execute()
            except WatchError:  # somebody was faster, or the connection broke
                return None
        return job
