"""How far an experiment is, and how long it still takes: a bar on a terminal, else a line whenever a step ends."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol, TextIO

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from zooaudit.contract import Progress
from zooaudit.views.terminal import has_rich

LEAST_SHARE = 0.02
"""Until so much is done, the time that is left is not told: the first steps wait for what is loaded only once."""


class Steps(Protocol):
    """Shows what is being done, and counts what has been done."""

    def begin(self, text: str) -> None:
        """Show that a step has begun."""

    def add(self, work: float) -> None:
        """Count work that has been done, in the unit of the whole."""


@contextmanager
def steps(title: str, work: float, out: TextIO | None = None) -> Iterator[Steps]:
    """Show the steps of ``work`` in all, in any unit in which the work of equal time is equal."""
    out = out or sys.stderr
    if not has_rich(out):
        yield _Lines(title, work, out)
        return
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with rich.progress.Progress(*columns, console=Console(file=out)) as bars:
        yield _Bar(bars, title, work)


def audit_progress(shown: Steps, work: float) -> Callable[[Progress], None]:
    """Return a function that counts the progress of an audit, which is ``work`` in all."""
    done = 0.0

    def on_progress(progress: Progress) -> None:
        nonlocal done
        now = work * progress.done / (progress.total or 1)
        shown.add(max(0.0, now - done))
        done = max(done, now)

    return on_progress


class _Bar:
    def __init__(self, bars: rich.progress.Progress, title: str, work: float) -> None:
        self.bars, self.title = bars, title
        self.task = bars.add_task(title, total=work or 1)

    def begin(self, text: str) -> None:
        self.bars.update(self.task, description=f"{self.title}: {text}")

    def add(self, work: float) -> None:
        self.bars.advance(self.task, work)


class _Lines:
    def __init__(self, title: str, work: float, out: TextIO) -> None:
        self.title, self.work, self.out = title, work, out
        self.done, self.started = 0.0, time.monotonic()

    def begin(self, text: str) -> None:
        left = ""
        if self.done > LEAST_SHARE * self.work:
            seconds = (time.monotonic() - self.started) / self.done * (self.work - self.done)
            left = f", about {timedelta(seconds=round(seconds))} left"
        print(f"{self.title} {self.done / self.work:4.0%}{left}: {text}", file=self.out, flush=True)

    def add(self, work: float) -> None:
        self.done += work
