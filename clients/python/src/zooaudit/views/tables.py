"""Reports, audits and models as tables of text: what the command line, ``repr`` and notebooks show."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, TypeVar

from zooaudit.contract import (
    PARTS,
    Audit,
    ComparedPart,
    Method,
    ModelDetail,
    ModelList,
    Part,
    PartName,
    Report,
    Score,
    SharedMethod,
)
from zooaudit.errors import sentence
from zooaudit.views.text import printable, ranges, score, short_state, state, subject, sure

Kind = Literal["translation", "rotation"]
T = TypeVar("T")
KINDS: tuple[Kind, ...] = ("translation", "rotation")
ScoreName = Literal["channel", "layer"]
HALF_WIDTH = "± is half of a 95 % confidence interval over images"


@dataclass(frozen=True)
class Table:
    """Rows of cells under ``columns``, of which those from ``numbers_from`` on are set flush right. ``notes`` are lines
    below; without columns they are all there is. Cells hold no control characters."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str | None = None
    numbers_from: int | None = None
    notes: Sequence[str] = ()

    def is_number(self, column: int) -> bool:
        return self.numbers_from is not None and column >= self.numbers_from


def plain(tables: Sequence[Table]) -> str:
    """Tables as aligned lines, with an empty line between two."""
    return "\n\n".join("\n".join(_lines(table)) for table in tables)


def _lines(table: Table) -> Iterator[str]:
    if table.title:
        yield table.title
    if table.columns:
        widths = [max(len(row[place]) for row in (table.columns, *table.rows)) for place in range(len(table.columns))]
        for row in (table.columns, *table.rows):
            cells = [
                cell.rjust(width) if table.is_number(place) else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            yield "  ".join(cells).rstrip()
    yield from table.notes


def html(tables: Sequence[Table]) -> str:
    """Tables for a notebook; whatever is in them is shown as text."""
    return "".join(map(_html, tables))


def _html(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        sides = ["right" if table.is_number(place) else "left" for place in range(len(cells))]
        return "".join(
            f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for side, cell in zip(sides, cells, strict=True)
        )

    caption = f'<caption style="text-align: left">{escape(table.title)}</caption>' if table.title else ""
    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in table.rows)
    notes = "<br>".join(map(escape, table.notes))
    return f"<table>{caption}<thead><tr>{row(table.columns, 'th')}</tr></thead><tbody>{body}</tbody></table>" + (
        f"<small>{notes}</small>" if notes else ""
    )


def report_tables(report: Report) -> list[Table]:
    """What was measured and the scores of the five parts; then by border, and beyond untrained, where asked for."""
    model, images = report.model, report.images
    weights = f"{printable(model.weights.label)} weights"
    if model.weights.kind == "untrained":
        weights = "UNTRAINED weights: the architecture's own equivariance"
    used = f"{images.count} images of {printable(images.dataset)}"
    used += "" if images.stopped == "num_images" else ", enough for the tolerance,"
    notes = [f"{used}, seed {images.seed}; {how(report.method)}"]
    if any(part.translation.channel_interval or part.rotation.channel_interval for part in report.parts.values()):
        notes.append(HALF_WIDTH)
    rows = []
    for name, part in in_order(report.parts):
        rows.append([name, str(part.blocks), *_sure(part.translation), *_sure(part.rotation)])
        reasons = {printable(kind.reason) for kind in (part.translation, part.rotation) if kind.reason}
        notes += [f"{name}: {reason}" for reason in sorted(reasons)]
    columns = ("Part", "Blocks", "Translation channel", "Translation layer", "Rotation channel", "Rotation layer")
    parts = Table(columns, rows, f"{printable(model.name)} ({weights})", numbers_from=1, notes=notes)
    return [parts, *_borders(report), *_baseline(report)]


def in_order(parts: Mapping[PartName, T]) -> list[tuple[PartName, T]]:
    """What there is of each part, in the order of the depth."""
    return [(name, parts[name]) for name in PARTS if name in parts]


def _sure(found: Score) -> tuple[str, str]:
    return sure(found.channel, found.channel_interval), sure(found.layer, found.layer_interval)


def cell(
    parts: Mapping[PartName, Part] | Mapping[PartName, ComparedPart], part: PartName, kind: Kind, name: ScoreName
) -> str:
    """A part's score with half of its interval."""
    return _sure(getattr(parts[part], kind))[("channel", "layer").index(name)] if part in parts else "–"


def how(method: Method | SharedMethod) -> str:
    """The transforms and settings of a measurement, in a line."""
    transforms = f"shifts {ranges(method.translations_px)} px, rotations {ranges(method.rotations_deg)} deg"
    return f"{transforms}; {method.similarity}, border {method.border}, {method.precision}"


def _borders(report: Report) -> list[Table]:
    """Translation under each border, side by side: what differs is the border's."""
    if report.borders is None:
        return []
    columns = ["Part", *(f"{border} {kind}" for border in report.borders for kind in ("channel", "layer"))]
    rows = [
        [name, *(score(value) for kind in kinds for value in (kind.channel, kind.layer))]
        for name, _ in in_order(report.parts)
        if (kinds := [parts[name].translation for parts in report.borders.values() if name in parts])
    ]
    return [Table(columns, rows, "Translation by border", numbers_from=1)]


def _baseline(report: Report) -> list[Table]:
    """What the weights have beyond the untrained architecture, channel equivariance."""
    if report.baseline is None:
        return []
    rows = []
    for name, part in in_order(report.baseline.parts):
        learned = (part.translation.channel, part.rotation.channel)
        rows.append([name, *(sure(e.value, e.interval) for kind in learned for e in (kind.untrained, kind.difference))])
    columns = ("Part", "Translation untrained", "Translation learned", "Rotation untrained", "Rotation learned")
    title = f"Channel equivariance beyond {len(report.baseline.seeds)} untrained"
    return [Table(columns, rows, title, numbers_from=1)]


def sweep_tables(reports: Mapping[str, Report]) -> list[Table]:
    """Channel equivariance of each model by part, for translation and for rotation."""
    notes = [HALF_WIDTH] if any("±" in cell for report in reports.values() for cell in _row(report, "rotation")) else []
    return [
        Table(
            ("Model", *PARTS),
            [[printable(model), *_row(report, kind)] for model, report in reports.items()],
            f"{kind.capitalize()}: channel equivariance",
            numbers_from=1,
            notes=notes if kind == KINDS[-1] else (),
        )
        for kind in KINDS
    ]


def _row(report: Report, kind: Kind) -> list[str]:
    return [cell(report.parts, part, kind, "channel") for part in PARTS]


def audit_table(audit: Audit) -> Table:
    """One audit, a fact a row."""
    request = audit.request
    facts = {
        "Audit": audit.id,
        "Model": subject(request),
        "Status": state(audit),
        "Images": f"{request.num_images} of {printable(request.dataset)}",
        "Created (UTC)": f"{audit.created_at:%Y-%m-%d %H:%M}",
    }
    if audit.error:
        facts["Error"] = printable(sentence(audit.error))
    head, *rows = facts.items()
    return Table(head, rows)


def audits_table(audits: Sequence[Audit]) -> Table:
    """Audits, one a row."""
    rows = []
    for audit in audits:
        request = audit.request
        measured = (printable(request.model), request.weights, printable(request.dataset), str(request.num_images))
        rows.append([audit.id, short_state(audit), *measured, f"{audit.created_at:%Y-%m-%d %H:%M}"])
    return Table(("Id", "Status", "Model", "Weights", "Data set", "Images", "Created (UTC)"), rows)


def models_table(found: ModelList) -> Table:
    """Architectures, one a row."""
    rows = [
        [
            printable(entry.name),
            printable(entry.family),
            _number(entry.input_size),
            _number(entry.parameters),
            "yes" if entry.pretrained else "no",
            "yes" if entry.supported else "no",
        ]
        for entry in found.models
    ]
    return Table(("Model", "Family", "Input side", "Parameters", "Pretrained", "Supported"), rows)


def model_tables(found: ModelDetail) -> list[Table]:
    """One model, and its depth as an audit measures it."""
    top1 = "–" if found.imagenet_top1 is None else f"{found.imagenet_top1:g} %"
    facts = [
        ("Family", printable(found.family)),
        ("Input side", _number(found.input_size)),
        ("Parameters", _number(found.parameters)),
        ("ImageNet top-1", top1),
        (
            "Pretrained",
            printable(", ".join(found.tags) or found.default_weights or ("yes" if found.pretrained else "no")),
        ),
    ]
    if not found.supported:
        facts.append(("Not supported", printable(found.reason or "the service gives no reason")))
    tables = [Table(("Model", printable(found.full_name)), facts)]
    if found.blocks is not None:
        rows = [
            [
                printable(block.name),
                block.part,
                block.layout,
                *map(str, (block.channels, block.height, block.width)),
            ]
            for block in found.blocks
        ]
        tables.append(Table(("Block", "Part", "Layout", "Channels", "Height", "Width"), rows, numbers_from=3))
    elif found.blocks_reason and found.blocks_reason != found.reason:
        tables[0] = Table(tables[0].columns, facts, notes=(f"No blocks: {printable(found.blocks_reason)}",))
    return tables


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
