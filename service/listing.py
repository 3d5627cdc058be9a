"""All audits at a glance: what a list sorts, filters and counts by, held in memory and brought up to date when asked.

Redis keeps audits by the time they were accepted only. Ten thousand slim rows are a few megabytes here, and one look at
the index tells which of them have to be read again.
"""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from zooaudit.contract import Sort, Status

from service.queue import AuditQueue, Row

REFRESH_S = 0.5
"""The rows may be as old as this; what this process has changed itself is seen at once."""

Value = float | str | None
RANK = {status: rank for rank, status in enumerate(Status)}


def _duration(row: Row) -> float | None:
    return (row.finished - row.started).total_seconds() if row.started and row.finished else None


VALUES: dict[str, Callable[[Row], Value]] = {
    "created": lambda row: row.created,
    "model": lambda row: row.model.lower(),
    "status": lambda row: RANK[row.status],
    "duration": _duration,
}


@dataclass(frozen=True)
class Place:
    """A row's place in a sorted list, which holds even when the row itself is gone."""

    sort: Sort
    value: Value
    created: float
    id: str


@dataclass(frozen=True)
class Page:
    """Some rows in order, how many match in all, and the place of the last row where more follow."""

    rows: list[Row]
    total: int
    last: Place | None


class Listing:
    """The rows of all audits. Raises ``redis.RedisError`` when Redis does not answer."""

    def __init__(self, queue: AuditQueue) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._fresh_until = 0.0

    def expire(self) -> None:
        """Makes the next page see what has just been changed."""
        self._fresh_until = 0.0

    def page(
        self,
        sort: Sort = "-created",
        statuses: Collection[Status] = (),
        model: str = "",
        limit: int = 50,
        offset: int = 0,
        after: Place | None = None,
    ) -> Page:
        """Up to ``limit`` rows of these ``statuses`` (none: all) with ``model`` in the name, ``offset`` past ``after``.

        Rows of equal value are newest first; rows without a value come last, whichever way the list is sorted.
        """
        part = model.lower()
        found = [
            row
            for row in self._refreshed().values()
            if (not statuses or row.status in statuses) and part in row.model.lower()
        ]
        ordered = _ordered(found, sort)
        rest = ordered if after is None else [row for row in ordered if _follows(row, after)]
        rows = rest[offset : offset + limit]
        more = len(rest) > offset + limit
        return Page(rows, len(found), _place(rows[-1], sort) if more and rows else None)

    def _refreshed(self) -> dict[str, Row]:
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                # Before reading: what changes while it is read is read again.
                self._fresh_until = time.monotonic() + REFRESH_S
                try:
                    self._refresh()
                except BaseException:
                    self.expire()
                    raise
            return self._rows

    def _refresh(self) -> None:
        created, waiting = self._queue.index()
        known = self._rows

        def settled(identifier: str) -> bool:
            row = known.get(identifier)
            if row is None or row.created != created[identifier]:
                return False
            return row.status.final or (row.status is Status.QUEUED and identifier in waiting)

        kept = {identifier: known[identifier] for identifier in created if settled(identifier)}
        read = {row.id: row for row in self._queue.rows({i: at for i, at in created.items() if i not in kept})}
        merged = kept | read
        self._rows = {identifier: merged[identifier] for identifier in created if identifier in merged}


def _ordered(rows: list[Row], sort: Sort) -> list[Row]:
    value = VALUES[sort.removeprefix("-")]
    newest_first = sorted(rows, key=lambda row: (row.created, row.id), reverse=True)
    if sort == "-created":
        return newest_first
    valued = [row for row in newest_first if value(row) is not None]
    ordered = sorted(valued, key=value, reverse=sort.startswith("-"))  # type: ignore[arg-type]
    return ordered + [row for row in newest_first if value(row) is None]


def _place(row: Row, sort: Sort) -> Place:
    return Place(sort, VALUES[sort.removeprefix("-")](row), row.created, row.id)


def _follows(row: Row, place: Place) -> bool:
    """Whether ``row`` comes after ``place`` in the order of its list."""
    mine = VALUES[place.sort.removeprefix("-")](row)
    if mine == place.value:
        return (row.created, row.id) < (place.created, place.id)
    if mine is None or place.value is None:
        return mine is None
    return (mine < place.value) is place.sort.startswith("-")  # type: ignore[operator]
