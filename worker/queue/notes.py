"""What a running audit leaves behind: notes in Redis, the report in the report store."""

import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from zooaudit.contract import INDEX_KEY, Problem, Progress, state_key

PROGRESS_EVERY_S = 0.3


class Canceled(Exception):
    """Ends a job whose audit nobody wants any more."""


class Notes:
    """What a job writes down about its audit, beside the job itself (see ``contract.state_key``).

    Progress goes over a connection of its own that never waits: an audit does not stop because Redis has.
    """

    def __init__(self, identifier: str, accepted_at: datetime, connection: Redis, redis_url: str) -> None:
        self._id = identifier
        self._key = state_key(identifier)
        self._accepted_at = accepted_at.timestamp()
        self._patient: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._hasty: Any = Redis.from_url(
            redis_url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(ExponentialBackoff(), 0)
        )
        self._phase = ""
        self._next = 0.0

    def begin(self) -> bool:
        """Ends a canceled audit before it starts. True when a worker before this one may have stored the report."""
        outcome, deaths = self._patient.hmget(self._key, "outcome", "deaths")
        self._stop_if(outcome)
        if outcome == b"storing":
            self._patient.hdel(self._key, "outcome")
        # Also puts the audit back where lists find it, in case Redis was emptied while it waited.
        self._patient.zadd(INDEX_KEY, {self._id: self._accepted_at}, nx=True)
        return outcome is not None or deaths is not None

    def progress(self, progress: Progress, force: bool = False) -> None:
        """Writes down how far the audit is, unless it did so just now. Raises Canceled when it is not wanted."""
        moment = time.monotonic()
        if not force and progress.phase == self._phase and moment < self._next:
            return
        self._phase, self._next = progress.phase, moment + PROGRESS_EVERY_S
        with suppress(RedisError):
            pipe = self._hasty.pipeline(transaction=False)
            pipe.hset(self._key, "progress", progress.model_dump_json())
            pipe.hget(self._key, "outcome")
            self._stop_if(pipe.execute()[1])

    def claim(self) -> None:
        """From here on the audit can no longer be canceled. Raises Canceled when that came first."""
        if not self._patient.hsetnx(self._key, "outcome", "storing"):
            self._stop_if(self._patient.hget(self._key, "outcome"))
        self._patient.zadd(INDEX_KEY, {self._id: self._accepted_at}, nx=True)

    def fail(self, error: Problem) -> None:
        self._patient.hset(self._key, "error", error.model_dump_json())

    def _stop_if(self, outcome: bytes | None) -> None:
        if (outcome or b"").startswith(b"canceled"):
            raise Canceled
