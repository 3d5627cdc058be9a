"""What the keepers of a zoo do with its audits: note, delete, and see who did what."""

import math
import time
from collections.abc import Mapping
from datetime import datetime

from pydantic import ValidationError

from zooaudit.contract import Action, AnnotationsChange, LogEntry, LogPage, problem, said
from zooaudit.errors import Conflict, InvalidRequest
from zooaudit.exchange import Exchange, Flow, parse
from zooaudit.flows.identifiers import HasId, audit_path, full_id, query_of
from zooaudit.flows.pauses import POLL_S
from zooaudit.results import Audit

STOPPED_WITHIN_S = 30.0
"""Seconds in which the worker of an audit that is to be deleted has to stop."""


def annotate(service: Exchange, identifier: str, change: Mapping[str, object]) -> Flow[Audit]:
    try:
        checked = AnnotationsChange.model_validate(change)
    except ValidationError as invalid:
        raise InvalidRequest(problem("invalid-request", _first_mistake(invalid))) from None
    path = audit_path((yield from full_id(service, identifier)))
    return parse(Audit, (yield from service.send("PATCH", path, content=checked.model_dump_json())))


def _first_mistake(invalid: ValidationError) -> str:
    error = invalid.errors(include_url=False)[0]
    given = f" ({error['input']})" if isinstance(error["input"], str) and len(error["input"]) <= 80 else ""
    return f"{error['loc'][0]}{given}: {said(error)}"


def delete(service: Exchange, identifier: str) -> Flow[Audit]:
    path = audit_path((yield from full_id(service, identifier)))
    deadline = time.monotonic() + STOPPED_WITHIN_S
    while True:
        try:
            return parse(Audit, (yield from service.send("DELETE", path, params={"purge": "true"})))
        except Conflict:  # it is being stopped
            if time.monotonic() > deadline:
                raise
        yield POLL_S


class LogPages:
    """The pages of the audit log, fetched one by one. ``limit`` is the most entries on all pages together."""

    def __init__(
        self,
        service: Exchange,
        since: datetime | None,
        action: Action | None,
        audit: str | HasId | None,
        limit: int | None,
    ) -> None:
        self._service, self._left = service, math.inf if limit is None else limit
        self._audit = audit if isinstance(audit, str | None) else audit.id
        self._query = query_of(since=since.isoformat() if since else None, action=action, limit=100)
        self.done = self._left <= 0

    def next_page(self) -> Flow[list[LogEntry]]:
        if self._audit is not None:
            self._query = self._query | {"audit": (yield from full_id(self._service, self._audit))}
            self._audit = None
        page = parse(LogPage, (yield from self._service.send("GET", "/log", params=self._query)))
        entries = [entry for place, entry in enumerate(page.entries) if place < self._left]
        self._left -= len(entries)
        self.done = page.next_cursor is None or self._left <= 0
        self._query = self._query | {"cursor": page.next_cursor or ""}
        return entries
