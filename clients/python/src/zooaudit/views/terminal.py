"""Prints tables and shows progress: drawn by rich on a terminal, as plain aligned lines in a pipe."""

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TextIO

from zooaudit.contract import Audit, Problem, Report, Status
from zooaudit.views.reading import reading_table
from zooaudit.views.report_tables import report_tables
from zooaudit.views.tables import GAP, Table, column_widths, fitted, plain
from zooaudit.views.text import cause, printable, state, state_with_workers, subject

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

ShowAudit = Callable[[Audit], None]
SweepState = Mapping[str, Audit | Problem]
"""What is known of each model of a sweep: its audit, or why the service refused to audit it."""
ShowSweep = Callable[[SweepState], None]

BAR_WIDTH = 18


def print_report(report: Report, out: TextIO) -> None:
    """Print the report in words, and below what was measured with the table of the five parts."""
    print_tables([reading_table(report), *report_tables(report)], out)


def print_tables(tables: Sequence[Table], out: TextIO) -> None:
    """Print tables one below the other, on a terminal as wide as that is."""
    if not tables:
        return
    if not out.isatty():
        print(plain(tables), file=out)
    elif has_rich(out):
        for place, table in enumerate(tables):
            _print_with_rich(table, out, is_last=place == len(tables) - 1)
    else:
        width = shutil.get_terminal_size().columns
        print(plain([_with_wrapped_text(fitted(table, width) or table, width) for table in tables]), file=out)


def _with_wrapped_text(table: Table, width: int) -> Table:
    """Wrap the title and the notes of a table."""
    title = table.title and textwrap.fill(table.title, width)
    return replace(table, title=title, notes=[textwrap.fill(note, width) for note in table.notes])


def _print_with_rich(table: Table, out: TextIO, is_last: bool) -> None:
    """Print a table; one whose cells are too wide for the terminal goes out in plain lines, which can be copied."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=out)
    if table.title:
        console.print(Text(table.title, style="bold"))
    shown = fitted(table, console.width, wraps_head=True)
    if shown is None:
        print(plain([replace(table, title=None, notes=())]), file=out)
    elif shown.columns:
        wraps_head = sum(column_widths(shown, False)) + GAP * (len(shown.columns) - 1) > console.width
        rich_table = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
        for index, (column, width) in enumerate(zip(shown.columns, column_widths(shown, wraps_head), strict=True)):
            side: Literal["right", "left"] = "right" if shown.is_number(index) else "left"
            rich_table.add_column(Text(column), justify=side, width=width)
        for row in shown.rows:
            rich_table.add_row(*map(Text, row))
        console.print(rich_table)
    for note in (shown or table).notes:
        console.print(Text(note))
    if not is_last:
        print(file=out)


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
            text = state_with_workers(audit)
            has_room = BAR_WIDTH + 1 + len(text) <= bars.console.width
            bars.update(bar, completed=done, total=total, state=text if has_room else state(audit))

        yield show


@contextmanager
def _bar(out: TextIO) -> Iterator[tuple["Progress", "TaskID"]]:
    """Give a bar with a ``state`` in words behind it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    text = TextColumn("{task.fields[state]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    columns = (BarColumn(bar_width=BAR_WIDTH, table_column=Column(min_width=BAR_WIDTH)), text)
    with Progress(*columns, console=Console(file=out)) as bars:
        yield bars, bars.add_task("", total=None, state="")


def _progress_lines(out: TextIO) -> ShowAudit:
    last_step: list[object] = []

    def show(audit: Audit) -> None:
        progress = audit.progress
        tenth = 10 * progress.done // progress.total if progress.total else 0
        # As long as the queue is, a line whenever half of those before the audit have gone.
        halvings = audit.queue.position.bit_length() if audit.queue else 0
        step = [audit.status, progress.phase, tenth, halvings]
        if step != last_step:
            last_step[:] = step
            print(f"{subject(audit.request)}: {state_with_workers(audit)}", file=out, flush=True)

    return show


@contextmanager
def sweep_progress(total: int, out: TextIO | None = None) -> Iterator[ShowSweep]:
    """Give a function that shows how many of the ``total`` audits of a sweep are in which state, as a bar or a line
    whenever that changes, and the first problem of each cause as soon as it is known."""
    out = out or sys.stderr
    if not has_rich(out):
        yield _sweep_lines(total, out)
        return
    told: set[str] = set()
    with _bar(out) as (bars, bar):

        def show(sweep: SweepState) -> None:
            for line in _news(sweep, told):
                bars.print(line, markup=False, highlight=False)
            audits = [audit for audit in sweep.values() if isinstance(audit, Audit)]
            running = [audit for audit in audits if audit.status is Status.RUNNING]
            first = f"; {subject(running[0].request)}: {state(running[0])}" if running else ""
            bars.update(bar, completed=_ended(sweep), total=total, state=f"{sweep_counts(sweep)}{first}")

        yield show


def _sweep_lines(total: int, out: TextIO) -> ShowSweep:
    told: set[str] = set()
    last_line = ""

    def show(sweep: SweepState) -> None:
        nonlocal last_line
        for line in _news(sweep, told):
            print(line, file=out, flush=True)
        line = f"{_ended(sweep)} of {total} have ended: {sweep_counts(sweep)}"
        if len(sweep) == total and line != last_line:  # not while the audits are asked for
            last_line = line
            print(line, file=out, flush=True)

    return show


def _news(sweep: SweepState, told: set[str]) -> Iterator[str]:
    """Write the problems whose cause is not in ``told``, and add it there."""
    for model, entry in sweep.items():
        problem = entry.error if isinstance(entry, Audit) else entry
        if problem and (why := cause(problem, model)) not in told:
            told.add(why)
            yield printable(f"{model} {entry.status if isinstance(entry, Audit) else 'refused'}: {problem.title}")


def _ended(sweep: SweepState) -> int:
    return sum(not isinstance(entry, Audit) or entry.status.final for entry in sweep.values())


def sweep_counts(sweep: SweepState) -> str:
    """Count the audits of a sweep in each state: "1 queued, 2 succeeded"."""
    states = Counter(str(entry.status) if isinstance(entry, Audit) else "refused" for entry in sweep.values())
    return ", ".join(f"{count} {name}" for name, count in sorted(states.items()))


def has_rich(out: TextIO) -> bool:
    """Say whether ``out`` is a terminal and rich is installed."""
    if not out.isatty():
        return False
    try:
        import rich  # noqa: F401
    except ImportError:
        return False
    return True
