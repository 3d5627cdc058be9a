"""The rows of all audits: sorted, filtered, counted and paged in memory, and brought up to date when a page is read.

Redis sorts audits only by the time at which they were accepted. Ten thousand slim rows take a few megabytes here, and
the index alone tells which of them must be read again.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from zooaudit.contract import Sort, Status

from service.fresh import Fresh
from service.queue import AuditQueue, AuditRow

REFRESH_S = 0.5
"""How old the rows may be, in seconds. Changes by this process itself show at once: see AuditRows.expire."""
RECENT_S = 5.0

SortValue = float | str | None
STATUS_RANK = {status: rank for rank, status in enumerate(Status)}


def _duration_s(row: AuditRow) -> float | None:
    return (row.finished_at - row.started_at).total_seconds() if row.started_at and row.finished_at else None


SORT_VALUES: dict[str, Callable[[AuditRow], SortValue]] = {
    "created": lambda row: row.created_s,
    "model": lambda row: row.model.lower(),
    "status": lambda row: STATUS_RANK[row.status],
    "duration": _duration_s,
}


@dataclass(frozen=True)
class Position:
    """Where a row stands in a sorted list. It holds even when the row itself is gone."""

    sort: Sort
    value: SortValue
    created_s: float
    id: str


@dataclass(frozen=True)
class RowPage:
    """One page of a sorted list. ``total`` counts all rows that match; ``last`` is the position of the page's last row,
    None when no row follows it."""

    rows: list[AuditRow]
    total: int
    last: Position | None


class AuditRows:
    """The rows of all audits. Raises ``redis.RedisError`` when Redis does not answer."""

    def __init__(self, queue: AuditQueue) -> None:
        self._queue = queue
        self._rows: dict[str, AuditRow] = {}
        self._fresh = Fresh(self._refresh, REFRESH_S)

    def expire(self) -> None:
        """Make the next page read the changes that were just made."""
        self._fresh.expire()

    def by_id(self) -> Mapping[str, AuditRow]:
        """Return all rows, by id."""
        return self._fresh.get()

    def recent(self) -> Mapping[str, AuditRow]:
        """Return all rows, by id, as they were some seconds ago: to read what each of many requests has changed would
        keep the next one waiting."""
        return self._fresh.recent(RECENT_S)

    def page(
        self,
        sort: Sort = "-created",
        statuses: Collection[Status] = (),
        model: str = "",
        limit: int = 50,
        offset: int = 0,
        after: Position | None = None,
        id_start: str = "",
        is_wanted: Callable[[AuditRow], bool] = lambda _: True,
    ) -> RowPage:
        """Return up to ``limit`` rows, leaving out the first ``offset`` after the position ``after``.

        A row matches when it has one of the ``statuses`` (none given: any), its model's name contains ``model``, its id
        starts with ``id_start``, and ``is_wanted`` returns True for it.
        Rows of equal value are sorted newest first; rows without a value come last in either direction.
        """
        name_part = model.lower()
        matching = [
            row
            for row in self._fresh.get().values()
            if (not statuses or row.status in statuses)
            and name_part in row.model.lower()
            and row.id.startswith(id_start)
            and is_wanted(row)
        ]
        ordered = _ordered(matching, sort)
        following = ordered if after is None else [row for row in ordered if _follows(row, after)]
        rows = following[offset : offset + limit]
        more = len(following) > offset + limit
        return RowPage(rows, len(matching), _position(rows[-1], sort) if more and rows else None)

    def _refresh(self) -> dict[str, AuditRow]:
        """Read the index, and the rows of all audits that may have changed since they were read."""
        created_s, waiting = self._queue.index()
        known = self._rows

        def is_unchanged(identifier: str) -> bool:
            row = known.get(identifier)
            if row is None or row.created_s != created_s[identifier]:
                return False
            return row.status.final or (row.status is Status.QUEUED and identifier in waiting)

        kept = {identifier: known[identifier] for identifier in created_s if is_unchanged(identifier)}
        changed = {identifier: at for identifier, at in created_s.items() if identifier not in kept}
        merged = kept | {row.id: row for row in self._queue.rows(changed)}
        self._rows = {identifier: merged[identifier] for identifier in created_s if identifier in merged}
        return self._rows


def _ordered(rows: list[AuditRow], sort: Sort) -> list[AuditRow]:
    value = SORT_VALUES[sort.removeprefix("-")]
    newest_first = sorted(rows, key=lambda row: (row.created_s, row.id), reverse=True)
    if sort == "-created":
        return newest_first
    valued = [row for row in newest_first if value(row) is not None]
    ordered = sorted(valued, key=value, reverse=sort.startswith("-"))  # type: ignore[arg-type]
    return ordered + [row for row in newest_first if value(row) is None]


def _follows(row: AuditRow, position: Position) -> bool:
    """Tell whether ``row`` comes after ``position`` in the list that the position belongs to."""
    value = SORT_VALUES[position.sort.removeprefix("-")](row)
    if value == position.value:
        return (row.created_s, row.id) < (position.created_s, position.id)
    if value is None or position.value is None:
        return value is None
    return (value < position.value) is position.sort.startswith("-")  # type: ignore[operator]


def _position(row: AuditRow, sort: Sort) -> Position:
    return Position(sort, SORT_VALUES[sort.removeprefix("-")](row), row.created_s, row.id)
