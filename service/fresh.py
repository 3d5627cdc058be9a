"""One reading of something that changes, for all requests that ask within a moment."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """What ``read`` returned last, read again once it is older than ``max_age_s``."""

    def __init__(self, read: Callable[[], T], max_age_s: float) -> None:
        self._read = read
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._fresh_until = 0.0
        self._reading: tuple[float, T] | None = None
        """When the last reading began, and what it returned."""
        self._failure: tuple[float, Exception] | None = None
        """When the last reading failed, and how."""

    def expire(self) -> None:
        """Make the next request read what has just changed."""
        self._fresh_until = 0.0

    def recent(self, age_s: float) -> T:
        """Return what was read last unless that is older than this, whether or not it has expired; else read again."""
        if self._reading is not None and self._reading[0] >= time.monotonic() - age_s:
            return self._reading[1]
        return self.get()

    def get(self, begun_after: float = 0.0) -> T:
        """Return what was read last; if that is old, or was begun before this monotonic time, read again."""
        asked_at = time.monotonic()
        with self._lock:
            if self._failure is not None and self._failure[0] >= asked_at:
                # Redis has failed while this request stood in line. If each in the line tried again, one after the
                # other, the last would wait for many timeouts.
                raise self._failure[1]
            begun_at = time.monotonic()
            if self._reading is None or begun_at >= self._fresh_until or self._reading[0] < begun_after:
                # Set before reading, so that a change during the read makes the next request read again.
                self._fresh_until = begun_at + self._max_age_s
                try:
                    self._reading = (begun_at, self._read())
                except Exception as error:
                    self.expire()
                    self._failure = (time.monotonic(), error)
                    raise
            return self._reading[1]
