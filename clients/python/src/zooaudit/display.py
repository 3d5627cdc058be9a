"""What a person sees: tables and progress, drawn with rich on a terminal, as plain aligned lines in a pipe."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

from zooaudit.contract import PARTS, Audit, AuditRequest, Problem, Report, Score, Status

Show = Callable[[Audit], None]


def report_text(report: Report, out: TextIO) -> None:
    """What was measured, and the table of the five parts: channel and layer equivariance, 0 to 1."""
    model, images, method = report.model, report.images, report.method
    untrained = model.weights.kind == "untrained"
    weights = "UNTRAINED weights: the architecture's own equivariance" if untrained else f"{model.weights.kind} weights"
    title = f"{printable(model.name)} ({weights})"
    transforms = f"shifts {ranges(method.translations_px)} px, rotations {ranges(method.rotations_deg)} deg"
    notes = [
        f"{_images(report)}, seed {images.seed}; {transforms}; "
        f"{method.similarity}, border {method.border}, {method.precision}"
    ]
    if any(part.translation.channel_interval or part.rotation.channel_interval for part in report.parts.values()):
        notes.append("± is half of a 95 % confidence interval over images")
    rows = []
    for name in PARTS:
        if (part := report.parts.get(name)) is None:
            continue
        kinds = (part.translation, part.rotation)
        scores = [
            sure(value, interval)
            for kind in kinds
            for value, interval in ((kind.channel, kind.channel_interval), (kind.layer, kind.layer_interval))
        ]
        rows.append([name, str(part.blocks), *scores])
        reasons = {printable(kind.reason) for kind in kinds if kind.reason}
        notes += [f"{name}: {reason}" for reason in sorted(reasons)]
    columns = ("Part", "Blocks", "Translation channel", "Translation layer", "Rotation channel", "Rotation layer")
    table(columns, rows, out, title=title, numbers_from=1)
    print(*notes, sep="\n", file=out)
    _borders(report, out)
    _baseline(report, out)


def _images(report: Report) -> str:
    images = report.images
    used = f"{images.count} images of {printable(images.dataset)}"
    return used if images.stopped == "num_images" else f"{used}, enough for the tolerance,"


def _borders(report: Report, out: TextIO) -> None:
    """Translation under each border, side by side: what differs is the border's."""
    if report.borders is None:
        return
    columns = ["Part", *(f"{border} {kind}" for border in report.borders for kind in ("channel", "layer"))]
    rows = [
        [name, *(score(value) for parts in report.borders.values() for value in _pair(parts[name].translation))]
        for name in PARTS
    ]
    table(columns, rows, out, title="Translation by border", numbers_from=1)


def _pair(found: Score) -> tuple[float | None, float | None]:
    return found.channel, found.layer


def _baseline(report: Report, out: TextIO) -> None:
    """What the weights have beyond the untrained architecture, channel equivariance."""
    if report.baseline is None:
        return
    rows = []
    for name in PARTS:
        part = report.baseline.parts[name]
        learned = (part.translation.channel, part.rotation.channel)
        rows.append([name, *(sure(e.value, e.interval) for kind in learned for e in (kind.untrained, kind.difference))])
    columns = ("Part", "Translation untrained", "Translation learned", "Rotation untrained", "Rotation learned")
    seeds = f"{len(report.baseline.seeds)} untrained"
    table(columns, rows, out, title=f"Channel equivariance beyond {seeds}", numbers_from=1)


def audits_table(audits: Sequence[Audit], out: TextIO) -> None:
    rows = []
    for audit in audits:
        request = audit.request
        created = audit.created_at.strftime("%Y-%m-%d %H:%M")
        measured = (printable(request.model), request.weights, printable(request.dataset), str(request.num_images))
        rows.append([audit.id, _short_state(audit), *measured, created])
    table(("Id", "Status", "Model", "Weights", "Data set", "Images", "Created (UTC)"), rows, out)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    out: TextIO,
    title: str | None = None,
    numbers_from: int | None = None,
) -> None:
    """A table; the columns from ``numbers_from`` on are set flush right."""
    right = [numbers_from is not None and index >= numbers_from for index in range(len(columns))]
    if has_rich(out) and _drawn_table(columns, rows, out, title, right):
        return
    if title:
        print(title, file=out)
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    for row in (columns, *rows):
        cells = [
            cell.rjust(width) if flush_right else cell.ljust(width)
            for cell, width, flush_right in zip(row, widths, right, strict=True)
        ]
        print("  ".join(cells).rstrip(), file=out)


def _drawn_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO, title: str | None, right: Sequence[bool]
) -> bool:
    """Draws a table unless the terminal is too narrow for its cells: broken, an id or a name is no use to anybody."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=out)
    heads = [max(map(len, column.split())) for column in columns]
    widths = [max([head, *(len(row[index]) for row in rows)]) for index, head in enumerate(heads)]
    if sum(widths) + 3 * len(widths) > console.width:
        return False
    drawn = Table(title=Text(title) if title else None, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for column, width, flush_right in zip(columns, widths, right, strict=True):
        drawn.add_column(column, justify="right" if flush_right else "left", min_width=width)
    for row in rows:
        drawn.add_row(*map(Text, row))
    console.print(drawn)
    return True


@contextmanager
def progress(out: TextIO | None = None) -> Iterator[Show]:
    """Gives a function that shows an audit's progress: a bar with the time left, or a line now and then."""
    out = out or sys.stderr
    if not has_rich(out):
        yield _progress_lines(out)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=18), TextColumn("{task.fields[state]}", markup=False))
    with Progress(*columns, console=Console(file=out)) as bars:
        bar = bars.add_task("", total=None, state="")
        subject = ""

        def show(audit: Audit) -> None:
            nonlocal subject
            if subject != _subject(audit.request):
                subject = _subject(audit.request)
                bars.print(subject, markup=False, highlight=False)
            now = audit.progress
            done, total = now.done, now.total or None
            if audit.status is Status.SUCCEEDED:
                done = total = max(done, 1)
            bars.update(bar, completed=done, total=total, state=state(audit))

        yield show


@contextmanager
def sweeping(out: TextIO | None = None) -> Iterator[Callable[[Mapping[str, Audit | Problem]], None]]:
    """Gives a function that shows how many audits of a sweep are in which state: on a terminal one line that is drawn
    over, else a line whenever another one has ended."""
    out = out or sys.stderr
    last = ""

    def show(outcomes: Mapping[str, Audit | Problem]) -> None:
        nonlocal last
        states = Counter(str(found.status) if isinstance(found, Audit) else "refused" for found in outcomes.values())
        counts = ", ".join(f"{count} {name}" for name, count in sorted(states.items()))
        done = sum(not isinstance(found, Audit) or found.status.final for found in outcomes.values())
        running = [found for found in outcomes.values() if isinstance(found, Audit) and found.status is Status.RUNNING]
        now = f"; {printable(running[0].request.model)}: {state(running[0])}" if running else ""
        if out.isatty():
            print(f"\r{f'{counts}{now}'[:100]}\033[K", end="", file=out, flush=True)
        elif (line := f"{done} of {len(outcomes)} have ended: {counts}") != last:
            last = line
            print(line, file=out, flush=True)

    yield show
    if out.isatty():
        print(file=out)


def sweep_table(reports: Mapping[str, Report], out: TextIO) -> None:
    """Channel equivariance of each model by part, translation and rotation."""
    columns = ("Model", *(f"{kind} {name}" for kind in ("Translation", "Rotation") for name in PARTS))
    rows = [
        [
            printable(model),
            *(score(report.parts[name].translation.channel) for name in PARTS),
            *(score(report.parts[name].rotation.channel) for name in PARTS),
        ]
        for model, report in reports.items()
    ]
    if rows:
        table(columns, rows, out, title="Channel equivariance", numbers_from=1)


def _progress_lines(out: TextIO) -> Show:
    last: list[object] = []

    def show(audit: Audit) -> None:
        now = audit.progress
        tenth = 10 * now.done // now.total if now.total else 0
        step = [audit.status, now.phase, tenth]
        if step != last:
            last[:] = step
            print(f"{_subject(audit.request)}: {state(audit)}", file=out, flush=True)

    return show


def state(audit: Audit) -> str:
    """An audit's state in a few words, such as "measuring 640/2560 forward images (25 %), 40 s left"."""
    now = audit.progress
    if audit.status is not Status.RUNNING:
        return "waiting for a worker" if audit.status is Status.QUEUED else str(audit.status)
    text: str = now.phase
    if now.total:
        done, total = now.done, now.total
        if now.unit == "bytes":
            text += f" {done / 1e6:.0f}/{total / 1e6:.0f} MB"
        else:
            text += f" {done}/{total} {now.unit}"
        text += f" ({100 * done // total} %)"
    if now.eta_s is not None:
        text += f", {duration(now.eta_s)} left"
    return text


def _short_state(audit: Audit) -> str:
    now = audit.progress
    known = audit.status is Status.RUNNING and now.total
    return f"{audit.status} {100 * now.done // now.total} %" if known else str(audit.status)


def duration(seconds: float) -> str:
    """Seconds, for a person: "42 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def sure(value: float | None, interval: tuple[float, float] | None) -> str:
    """A score and half of its interval.

    >>> sure(0.8112, (0.80, 0.82))
    '0.811 ±0.010'
    """
    return score(value) if interval is None else f"{score(value)} ±{(interval[1] - interval[0]) / 2:.3f}"


def score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def ranges(values: Sequence[int]) -> str:
    """Ascending numbers, runs of three and more joined: "1-8,16".

    >>> ranges([1, 2, 3, 8, 16, 17])
    '1-3,8,16,17'
    """
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs]
    return ",".join(parts) or "none"


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def _subject(request: AuditRequest) -> str:
    weights = "" if request.weights == "pretrained" else f" ({request.weights})"
    return printable(request.model + weights)


def has_rich(out: TextIO) -> bool:
    """Whether ``out`` is a terminal and rich is installed."""
    if not out.isatty():
        return False
    try:
        import rich  # noqa: F401
    except ImportError:
        return False
    return True
