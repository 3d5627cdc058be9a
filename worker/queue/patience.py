"""Connections to Redis that wait while Redis is away or refuses commands, and know when it last did."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from zooaudit.contract import refusal

log = logging.getLogger("zooaudit.worker")

T = TypeVar("T")
WITHOUT_LIMIT = -1
LOG_EVERY_S = 60.0


class Patience(Retry):
    """Repeats a command while Redis is away or refuses it (see ``contract.refusal``), as often as ``retries`` says.

    redis-py's own Retry repeats after errors of the connection only, and knows errors by their class, which some
    refusals do not have.
    """

    def __init__(self, retries: int = WITHOUT_LIMIT) -> None:
        super().__init__(ExponentialBackoff(cap=2, base=0.2), retries)
        self._last_trouble_s = float("-inf")
        self._next_log_s = float("-inf")

    def __deepcopy__(self, _memo: Any) -> "Patience":
        return self  # redis-py copies it for each connection; the memory of troubles is one

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        failures = 0
        while True:
            try:
                return do()
            except (RedisError, OSError) as error:
                if not isinstance(error, self._supported_errors) and refusal(error) is None:
                    raise
                if is_retryable and not is_retryable(error):
                    raise
                failures += 1
                self._note(error)
                if 0 <= self._retries < failures:
                    raise
                time.sleep(self._backoff.compute(failures))
                # This also forgets what a pipeline watches, and then raises WatchError.
                fail(error, failures) if with_failure_count else fail(error)

    def quiet_for_s(self) -> float:
        """Return for how many seconds no command has had to be repeated."""
        return time.monotonic() - self._last_trouble_s

    def _note(self, error: Exception) -> None:
        self._last_trouble_s = time.monotonic()
        if self._last_trouble_s >= self._next_log_s:
            self._next_log_s = self._last_trouble_s + LOG_EVERY_S
            reason = refusal(error)
            log.warning("waiting for Redis: %s", f"it refuses commands: {reason}" if reason else error)


def connect(url: str, patience: Patience) -> Redis:
    """Connect to Redis so that every call waits, without limit, until Redis has done it."""
    return Redis.from_url(url, retry=patience)
