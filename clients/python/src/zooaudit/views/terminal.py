"""Drawing for a person: tables and progress, with rich on a terminal, as plain aligned lines in a pipe."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from zooaudit.contract import Audit, Problem, Report, Status
from zooaudit.views.tables import Table, plain, report_tables
from zooaudit.views.text import state, subject

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Show = Callable[[Audit], None]


def report_text(report: Report, out: TextIO) -> None:
    """What was measured, and the table of the five parts: channel and layer equivariance, 0 to 1."""
    draw(report_tables(report), out)


def draw(tables: Sequence[Table], out: TextIO) -> None:
    """Tables, one below the other."""
    if not tables:
        return
    if not has_rich(out):
        print(plain(tables), file=out)
        return
    for table in tables:
        if not (table.columns and _drawn(table, out)):
            print(f"{plain([table])}\n", file=out)


def _drawn(table: Table, out: TextIO) -> bool:
    """Draws a table unless the terminal is too narrow for its cells: broken, an id or a name is no use to anybody."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    console = Console(file=out)
    heads = [max(map(len, column.split()), default=0) for column in table.columns]
    widths = [max([head, *(len(row[place]) for row in table.rows)]) for place, head in enumerate(heads)]
    if sum(widths) + 3 * len(widths) > console.width:
        return False
    title = Text(table.title) if table.title else None
    drawn = Drawn(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for place, (column, width) in enumerate(zip(table.columns, widths, strict=True)):
        drawn.add_column(Text(column), justify="right" if table.is_number(place) else "left", min_width=width)
    for row in table.rows:
        drawn.add_row(*map(Text, row))
    console.print(drawn)
    for note in table.notes:
        print(note, file=out)
    return True


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Says on a terminal what takes its time, for as long as it does."""
    if not has_rich(sys.stderr):
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(file=sys.stderr).status(Text(text)):
        yield


@contextmanager
def following(audit: Audit) -> Iterator[Show]:
    """As :func:`progress`, for one audit; who stops waiting is told that it goes on."""
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
def _bar(out: TextIO) -> Iterator[tuple["Progress", "TaskID"]]:
    """A bar with a ``state`` in words behind it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=18), TextColumn("{task.fields[state]}", markup=False))
    with Progress(*columns, console=Console(file=out)) as bars:
        yield bars, bars.add_task("", total=None, state="")


@contextmanager
def progress(out: TextIO | None = None) -> Iterator[Show]:
    """Gives a function that shows an audit's progress: a bar with the time left, or a line now and then."""
    out = out or sys.stderr
    if not has_rich(out):
        yield _progress_lines(out)
        return
    with _bar(out) as (bars, bar):
        named = ""

        def show(audit: Audit) -> None:
            nonlocal named
            if named != subject(audit.request):
                named = subject(audit.request)
                bars.print(named, markup=False, highlight=False)
            now = audit.progress
            done, total = now.done, now.total or None
            if audit.status is Status.SUCCEEDED:
                done = total = max(done, 1)
            bars.update(bar, completed=done, total=total, state=state(audit))

        yield show


def _progress_lines(out: TextIO) -> Show:
    last: list[object] = []

    def show(audit: Audit) -> None:
        now = audit.progress
        tenth = 10 * now.done // now.total if now.total else 0
        step = [audit.status, now.phase, tenth]
        if step != last:
            last[:] = step
            print(f"{subject(audit.request)}: {state(audit)}", file=out, flush=True)

    return show


@contextmanager
def sweeping(out: TextIO | None = None) -> Iterator[Callable[[Mapping[str, Audit | Problem]], None]]:
    """Gives a function that shows how many audits of a sweep are in which state: a bar, or a line whenever another one
    has ended."""
    out = out or sys.stderr
    if not has_rich(out):
        yield _sweep_lines(out)
        return
    with _bar(out) as (bars, bar):

        def show(outcomes: Mapping[str, Audit | Problem]) -> None:
            done, counts = _counted(outcomes)
            audits = [found for found in outcomes.values() if isinstance(found, Audit)]
            running = [audit for audit in audits if audit.status is Status.RUNNING]
            now = f"; {subject(running[0].request)}: {state(running[0])}" if running else ""
            bars.update(bar, completed=done, total=len(outcomes), state=f"{counts}{now}")

        yield show


def _sweep_lines(out: TextIO) -> Callable[[Mapping[str, Audit | Problem]], None]:
    last = ""

    def show(outcomes: Mapping[str, Audit | Problem]) -> None:
        nonlocal last
        done, counts = _counted(outcomes)
        if (line := f"{done} of {len(outcomes)} have ended: {counts}") != last:
            last = line
            print(line, file=out, flush=True)

    return show


def _counted(outcomes: Mapping[str, Audit | Problem]) -> tuple[int, str]:
    """How many have ended, and how many there are in each state: "1 queued, 2 succeeded"."""
    states = Counter(str(found.status) if isinstance(found, Audit) else "refused" for found in outcomes.values())
    done = sum(not isinstance(found, Audit) or found.status.final for found in outcomes.values())
    return done, ", ".join(f"{count} {name}" for name, count in sorted(states.items()))


def has_rich(out: TextIO) -> bool:
    """Whether ``out`` is a terminal and rich is installed."""
    if not out.isatty():
        return False
    try:
        import rich  # noqa: F401
    except ImportError:
        return False
    return True
