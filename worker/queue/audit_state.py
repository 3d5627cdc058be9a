"""The state of a running audit in Redis: its progress, its error, and whether it was canceled."""

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
    """Ends a job whose audit was canceled."""


class AuditState:
    """The hash that stands in Redis beside an audit's job (see ``contract.state_key``), as the job reads and writes it.

    Progress has a connection of its own, which does not wait: measuring goes on while Redis is away.
    """

    def __init__(self, identifier: str, accepted_at: datetime, connection: Redis, redis_url: str) -> None:
        self._id = identifier
        self._key = state_key(identifier)
        self._accepted_at_s = accepted_at.timestamp()
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._hasty_redis: Any = Redis.from_url(
            redis_url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(ExponentialBackoff(), 0)
        )
        self._phase = ""
        self._next_write_s = 0.0

    def begin(self) -> bool:
        """Begin the audit. Raises Canceled when it was canceled before it started.

        Returns True when an earlier process may have stored the report already.
        """
        outcome, deaths = self._redis.hmget(self._key, "outcome", "deaths")
        self._raise_if_canceled(outcome)
        if outcome == b"storing":
            self._redis.hdel(self._key, "outcome")
        self._put_into_index()
        return outcome is not None or deaths is not None

    def write_progress(self, progress: Progress, force: bool = False) -> None:
        """Write how far the audit is, at most every PROGRESS_EVERY_S within a phase unless ``force`` is set.

        Raises Canceled when the audit was canceled meanwhile.
        """
        now_s = time.monotonic()
        if not force and progress.phase == self._phase and now_s < self._next_write_s:
            return
        self._phase, self._next_write_s = progress.phase, now_s + PROGRESS_EVERY_S
        with suppress(RedisError):
            pipe = self._hasty_redis.pipeline(transaction=False)
            pipe.hset(self._key, "progress", progress.model_dump_json())
            pipe.hget(self._key, "outcome")
            self._raise_if_canceled(pipe.execute()[1])

    def begin_storing(self) -> None:
        """Make it too late to cancel the audit. Raises Canceled when the cancel came first."""
        if not self._redis.hsetnx(self._key, "outcome", "storing"):
            self._raise_if_canceled(self._redis.hget(self._key, "outcome"))
        self._put_into_index()

    def write_error(self, error: Problem) -> None:
        self._redis.hset(self._key, "error", error.model_dump_json())

    def _put_into_index(self) -> None:
        """List the audit again in case Redis has been emptied since it was accepted."""
        self._redis.zadd(INDEX_KEY, {self._id: self._accepted_at_s}, nx=True)

    def _raise_if_canceled(self, outcome: bytes | None) -> None:
        if (outcome or b"").startswith(b"canceled"):
            raise Canceled
