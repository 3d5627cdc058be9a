"""What this process has counted since it began: its answers, and the errors of the report store and of Redis."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from redis.exceptions import NoScriptError, RedisError, WatchError
from redis.retry import Retry

T = TypeVar("T")

STORE_ERRORS, REDIS_ERRORS = "store errors", "redis errors"
OTHER = "other"
"""The route of a request that no route takes."""

_lock = threading.Lock()
_counts: Counter[str] = Counter()
_answers: Counter[tuple[str, int]] = Counter()


def count(event: str) -> None:
    with _lock:
        _counts[event] += 1


def counted(event: str) -> int:
    return _counts[event]


def count_answer(route: Any, status: int) -> None:
    """Count an answer. ``route`` is the router's, None if there is none; its path is a template, so there are few."""
    with _lock:
        _answers[getattr(route, "path", OTHER), status] += 1


def answers() -> dict[tuple[str, int], int]:
    """Return how many answers there were, by the template of the route and by status."""
    with _lock:
        return dict(_answers)


class CountingRetry(Retry):
    """Retries as redis-py does, and counts what has failed for good."""

    _calls = threading.local()

    def call_with_retry(self, do: Callable[[], T], *args: Any, **options: Any) -> T:
        # A command that connects anew calls this within itself; its failure is one.
        if getattr(self._calls, "is_inner", False):
            return super().call_with_retry(do, *args, **options)
        self._calls.is_inner = True
        try:
            return super().call_with_retry(do, *args, **options)
        except (WatchError, NoScriptError):
            raise  # no errors: the caller goes on from there
        except RedisError:
            count(REDIS_ERRORS)
            raise
        finally:
            self._calls.is_inner = False
