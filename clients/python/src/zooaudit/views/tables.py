"""Tables of text, as aligned lines for a terminal and as HTML for a notebook."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TypeVar

from zooaudit.contract import PARTS, PartName
from zooaudit.views.text import ENDS, HALF_WIDTH

T = TypeVar("T")
GAP = 2
"""Spaces between two columns."""
MIN_FLEXIBLE = 12
"""A column of text is not made narrower than this: nobody could tell its cells apart."""


@dataclass(frozen=True)
class Table:
    """Rows of cells below ``columns``; those from ``numbers_from`` on are aligned right. ``notes`` are lines below the
    rows; a table without columns has nothing but its title and notes. Cells hold no control characters.

    ``narrower`` are tables that say the same in less width, for a terminal. ``flexible`` is the column of text whose
    cells may be wrapped at spaces or shortened there.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str | None = None
    numbers_from: int | None = None
    notes: Sequence[str] = ()
    narrower: Sequence["Table"] = ()
    flexible: int | None = None

    def is_number(self, column: int) -> bool:
        return self.numbers_from is not None and column >= self.numbers_from


def interval_notes(cells: Iterable[str]) -> list[str]:
    """Say what stands behind the scores of cells that :func:`~zooaudit.views.text.with_half_width` has written.

    >>> interval_notes(["0.811 ±0.010", "0.7"])
    ['± is half of a 95 % confidence interval over images']
    """
    cells = list(cells)
    notes = [HALF_WIDTH] if any(" ±" in cell for cell in cells) else []
    return [*notes, *([ENDS] if any(" [" in cell for cell in cells) else [])]


def with_narrower(table: Table) -> Table:
    """Add a rendition without intervals, for a narrow terminal."""
    first = table.numbers_from or 0
    rows = [[*row[:first], *(re.split(r" [±\[]", cell)[0] for cell in row[first:])] for row in table.rows]
    notes = [note for note in table.notes if note not in (HALF_WIDTH, ENDS)]
    return replace(table, narrower=[replace(table, rows=rows, notes=notes)])


def column_widths(table: Table, wraps_head: bool) -> list[int]:
    """Return the width of each column; the words of its head stand below each other if ``wraps_head``."""
    heads = [max(map(len, head.split()), default=0) if wraps_head else len(head) for head in table.columns]
    return [max([head, *(len(row[column]) for row in table.rows)]) for column, head in enumerate(heads)]


def fitted(table: Table, width: int, wraps_head: bool = False) -> Table | None:
    """Choose the widest rendition of a table that fits into ``width``. If none does, make the flexible column of the
    narrowest narrower, or return None if that does not help."""
    renditions = (table, *table.narrower)
    for rendition in renditions:
        widths = column_widths(rendition, wraps_head)
        excess = sum(widths) + GAP * (len(widths) - 1) - width
        if excess <= 0:
            return rendition
    column = rendition.flexible
    if column is None or widths[column] - excess < MIN_FLEXIBLE:
        return None
    rows = [line for row in rendition.rows for line in _wrapped(row, column, widths[column] - excess)]
    return replace(rendition, rows=rows)


def _wrapped(row: Sequence[str], column: int, width: int) -> Iterator[Sequence[str]]:
    """Yield a row, and below it further rows with what does not fit into one of its columns."""
    lines = textwrap.wrap(row[column], width, break_long_words=False, break_on_hyphens=False) or [""]
    for place, line in enumerate(lines):
        others = row if place == 0 else [""] * len(row)
        yield [*others[:column], shortened(line, width), *others[column + 1 :]]


def shortened(text: str, width: int) -> str:
    """Leave out the middle of a text, since the ends of names tell more.

    >>> shortened("timm/resnet18.a1_in1k", 12)
    'timm/r…_in1k'
    """
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[-end:]}"


def plain(tables: Sequence[Table]) -> str:
    """Write tables as aligned lines, with an empty line between two tables."""
    return "\n\n".join("\n".join(_lines(table)) for table in tables)


def _lines(table: Table) -> Iterator[str]:
    if table.title:
        yield table.title
    if table.columns:
        lines = (table.columns, *table.rows)
        widths = [max(len(line[column]) for line in lines) for column in range(len(table.columns))]
        for line in lines:
            cells = [
                cell.rjust(width) if table.is_number(column) else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            yield "  ".join(cells).rstrip()
    yield from table.notes


def html(tables: Sequence[Table]) -> str:
    """Write tables as HTML that shows every cell as text, markup included."""
    return "".join(map(_html, tables))


def _html(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        sides = ["right" if table.is_number(column) else "left" for column in range(len(cells))]
        return "".join(
            f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for side, cell in zip(sides, cells, strict=True)
        )

    caption = f'<caption style="text-align: left">{escape(table.title)}</caption>' if table.title else ""
    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in table.rows)
    notes = "<br>".join(map(escape, table.notes))
    return f"<table>{caption}<thead><tr>{row(table.columns, 'th')}</tr></thead><tbody>{body}</tbody></table>" + (
        f"<small>{notes}</small>" if notes else ""
    )


def in_depth_order(parts: Mapping[PartName, T]) -> list[tuple[PartName, T]]:
    """List the parts that ``parts`` has, from Early to Final."""
    return [(part_name, parts[part_name]) for part_name in PARTS if part_name in parts]
