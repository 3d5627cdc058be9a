"""Keeps clients from filling the disk with lines of the log."""

import logging
import time

LINES = 20
PERIOD_S = 60.0
MOST_KINDS = 1000


class LogLimit(logging.Filter):
    """Lets through at most ``lines`` of one kind in ``period_s``. The first line after it says how many were left out.

    Lines are of one kind when they come from the same logger and differ only in what is filled in.
    """

    def __init__(self, lines: int = LINES, period_s: float = PERIOD_S) -> None:
        super().__init__()
        self._lines = lines
        self._period_s = period_s
        self._periods: dict[tuple[str, str], tuple[float, int]] = {}
        """When the present period of each kind began, and how many lines it has had."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = (record.name, str(record.msg))
        now = time.monotonic()
        began, count = self._periods.get(kind, (now, 0))
        if now >= began + self._period_s:
            if count > self._lines:
                record.msg = f"{record.msg} (and {count - self._lines} more like this since the last one)"
            began, count = now, 0
        if len(self._periods) > MOST_KINDS:
            self._periods.clear()
        self._periods[kind] = (began, count + 1)
        return count < self._lines
