"""Prints tables and shows progress: drawn by rich on a terminal, as plain aligned lines in a pipe."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from zooaudit.contract import Audit, Problem, Report, Status
from zooaudit.views.report_tables import report_tables
from zooaudit.views.tables import Table, plain
from zooaudit.views.text import state, subject

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

ShowAudit = Callable[[Audit], None]
SweepState = Mapping[str, Audit | Problem]
"""What is known of each model of a sweep: its audit, or why the service refused to audit it."""
ShowSweep = Callable[[SweepState], None]


def print_report(report: Report, out: TextIO) -> None:
    """Print what was measured, and the table of the five parts: channel and layer equivariance, 0 to 1."""
    print_tables(report_tables(report), out)


def print_tables(tables: Sequence[Table], out: TextIO) -> None:
    """Print tables one below the other."""
    if not tables:
        return
    if not has_rich(out):
        print(plain(tables), file=out)
        return
    for table in tables:
        if not (table.columns and _print_with_rich(table, out)):
            print(f"{plain([table])}\n", file=out)


def _print_with_rich(table: Table, out: TextIO) -> bool:
    """Print a table unless the terminal is too narrow for its cells: nobody can use an id or a name in pieces."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=out)
    head_widths = [max(map(len, column.split()), default=0) for column in table.columns]
    widths = [max([head, *(len(row[column]) for row in table.rows)]) for column, head in enumerate(head_widths)]
    if sum(widths) + 3 * len(widths) > console.width:
        return False
    title = Text(table.title) if table.title else None
    rich_table = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for index, (column, width) in enumerate(zip(table.columns, widths, strict=True)):
        rich_table.add_column(Text(column), justify="right" if table.is_number(index) else "left", min_width=width)
    for row in table.rows:
        rich_table.add_row(*map(Text, row))
    console.print(rich_table)
    for note in table.notes:
        print(note, file=out)
    return True


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show ``text`` and a spinner on a terminal until the block ends."""
    if not has_rich(sys.stderr):
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(file=sys.stderr).status(Text(text)):
        yield


@contextmanager
def following(audit: Audit) -> Iterator[ShowAudit]:
    """Show the progress of one audit; if the wait is interrupted, say that the audit goes on."""
    try:
        with progress() as show:
            show(audit)
            yield show
    except Exception:
        raise
    except BaseException:  # Ctrl-C, or a task that is canceled
        print(f"Stopped waiting; audit {audit.id} goes on.", file=sys.stderr)
        raise


@contextmanager
def progress(out: TextIO | None = None) -> Iterator[ShowAudit]:
    """Give a function that shows an audit's progress: a bar with the time left, or a line for every tenth."""
    out = out or sys.stderr
    if not has_rich(out):
        yield _progress_lines(out)
        return
    with _bar(out) as (bars, bar):
        shown_subject = ""

        def show(audit: Audit) -> None:
            nonlocal shown_subject
            if shown_subject != subject(audit.request):
                shown_subject = subject(audit.request)
                bars.print(shown_subject, markup=False, highlight=False)
            done, total = audit.progress.done, audit.progress.total or None
            if audit.status is Status.SUCCEEDED:
                done = total = max(done, 1)
            bars.update(bar, completed=done, total=total, state=state(audit))

        yield show


@contextmanager
def _bar(out: TextIO) -> Iterator[tuple["Progress", "TaskID"]]:
    """Give a bar with a ``state`` in words behind it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=18), TextColumn("{task.fields[state]}", markup=False))
    with Progress(*columns, console=Console(file=out)) as bars:
        yield bars, bars.add_task("", total=None, state="")


def _progress_lines(out: TextIO) -> ShowAudit:
    last_step: list[object] = []

    def show(audit: Audit) -> None:
        progress = audit.progress
        tenth = 10 * progress.done // progress.total if progress.total else 0
        step = [audit.status, progress.phase, tenth]
        if step != last_step:
            last_step[:] = step
            print(f"{subject(audit.request)}: {state(audit)}", file=out, flush=True)

    return show


@contextmanager
def sweep_progress(out: TextIO | None = None) -> Iterator[ShowSweep]:
    """Give a function that shows how many audits of a sweep are in which state: a bar, or a line whenever that
    changes."""
    out = out or sys.stderr
    if not has_rich(out):
        yield _sweep_lines(out)
        return
    with _bar(out) as (bars, bar):

        def show(sweep: SweepState) -> None:
            ended, counts = _counted(sweep)
            audits = [audit for audit in sweep.values() if isinstance(audit, Audit)]
            running = [audit for audit in audits if audit.status is Status.RUNNING]
            first = f"; {subject(running[0].request)}: {state(running[0])}" if running else ""
            bars.update(bar, completed=ended, total=len(sweep), state=f"{counts}{first}")

        yield show


def _sweep_lines(out: TextIO) -> ShowSweep:
    last_line = ""

    def show(sweep: SweepState) -> None:
        nonlocal last_line
        ended, counts = _counted(sweep)
        if (line := f"{ended} of {len(sweep)} have ended: {counts}") != last_line:
            last_line = line
            print(line, file=out, flush=True)

    return show


def _counted(sweep: SweepState) -> tuple[int, str]:
    """Count how many have ended, and how many are in each state: "1 queued, 2 succeeded"."""
    entries = sweep.values()
    states = Counter(str(entry.status) if isinstance(entry, Audit) else "refused" for entry in entries)
    ended = sum(not isinstance(entry, Audit) or entry.status.final for entry in entries)
    return ended, ", ".join(f"{count} {name}" for name, count in sorted(states.items()))


def has_rich(out: TextIO) -> bool:
    """Say whether ``out`` is a terminal and rich is installed."""
    if not out.isatty():
        return False
    try:
        import rich  # noqa: F401
    except ImportError:
        return False
    return True
