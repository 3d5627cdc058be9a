"""The audit log in the report store: an object for each entry, in a folder for each day, and never changed.

The service never removes any. The name of an entry holds its time, its action and its audit, so that a search reads
only the entries that it finds.
"""

import logging
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime

from obstore.store import ObjectStore
from pydantic import ValidationError
from zooaudit.contract import Action, AnnotationsChange, LogEntry, LogPage, Result, said

from service import objects
from service.errors import StoreUnavailable

log = logging.getLogger("zooaudit.service")

ENTRY_ID = r"\d{4}-\d{2}-\d{2}/\d{12}-[a-z]+-[0-9a-f]{32}-[0-9a-f]{8}"


class AuditLog:
    """Who did what. Raises StoreUnavailable when the store does not answer."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def write(
        self,
        who: str,
        address: str | None,
        action: Action,
        audit: str,
        model: str,
        result: Result,
        change: AnnotationsChange | None = None,
    ) -> None:
        """Write down what is about to be done."""
        now = datetime.now(UTC)
        entry = LogEntry(
            id=f"{_start_of_id(now)}-{action}-{audit}-{uuid.uuid4().hex[:8]}",
            at=now,
            who=who,
            action=action,
            audit=audit,
            model=model,
            result=result,
            address=address,
            change=change,
        )
        try:
            objects.put(self._store, _key(entry.id), entry.model_dump_json().encode())
        except StoreUnavailable:
            log.warning("the audit log lacks this entry: %s", entry.model_dump_json())
            raise

    def note(
        self,
        who: str,
        address: str | None,
        action: Action,
        audit: str,
        model: str,
        result: Result,
        change: AnnotationsChange | None = None,
    ) -> None:
        """Write down what has been done. If that cannot be written, the service's own log has it; never raises."""
        try:
            self.write(who, address, action, audit, model, result, change)
        except StoreUnavailable as error:
            log.warning("the audit log cannot be written: %s", error)

    def page(
        self, since: datetime | None, action: Action | None, audit: str | None, limit: int, before: str | None
    ) -> LogPage:
        """Return the newest ``limit`` entries that match, of those older than the entry ``before``."""
        found: list[LogEntry] = []
        for identifier in self._identifiers(since, before):
            _, entry_action, entry_audit, _ = identifier.split("/")[1].split("-")
            if action not in (None, entry_action) or audit not in (None, entry_audit):
                continue
            if len(found) == limit:
                return LogPage(entries=tuple(found), next_cursor=found[-1].id)
            if entry := self._read(identifier):
                found.append(entry)
        return LogPage(entries=tuple(found), next_cursor=None)

    def _identifiers(self, since: datetime | None, before: str | None) -> Iterator[str]:
        """Yield the ids of entries, newest first."""
        first = _start_of_id(since) if since else ""
        for day in self._days():
            if day < first[:10] or (before and day > before[:10]):
                continue
            for identifier in sorted(self._of_day(day), reverse=True):
                if identifier >= first and (before is None or identifier < before):
                    yield identifier

    def _days(self) -> list[str]:
        return sorted(filter(_is_day, objects.folders(self._store, "log")), reverse=True)

    def _of_day(self, day: str) -> Iterator[str]:
        for path, _ in objects.below(self._store, f"log/{day}"):
            if match := re.fullmatch(rf"log/({ENTRY_ID})\.json", path):
                yield match[1]

    def _read(self, identifier: str) -> LogEntry | None:
        content = objects.get(self._store, _key(identifier))
        if content is None:
            return None  # the operator has just removed that day
        try:
            return LogEntry.model_validate_json(content)
        except ValidationError as error:
            log.warning("entry %s of the audit log cannot be read: %s", identifier, said(error.errors()[0]))
            return None


def _start_of_id(at: datetime) -> str:
    """Return how the ids of entries of that time start, such as "2026-11-27/002912123456"."""
    try:
        utc = at.astimezone(UTC)
    except OverflowError:  # it is the first or the last year of all, and only in its own zone
        utc = at.replace(tzinfo=UTC)
    text = utc.isoformat(timespec="microseconds")
    return f"{text[:10]}/{re.sub('[^0-9]', '', text[11:26])}"


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _key(identifier: str) -> str:
    return f"log/{identifier}.json"
