"""Tables of text, as aligned lines for a terminal and as HTML for a notebook."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeVar

from zooaudit.contract import PARTS, PartName

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """Rows of cells below ``columns``; those from ``numbers_from`` on are aligned right. ``notes`` are lines below the
    rows; a table without columns has nothing but its title and notes. Cells hold no control characters."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str | None = None
    numbers_from: int | None = None
    notes: Sequence[str] = ()

    def is_number(self, column: int) -> bool:
        return self.numbers_from is not None and column >= self.numbers_from


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
