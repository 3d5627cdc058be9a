"""Which audit is meant: by its id, by the start of it, or by what has one."""

import re
from typing import Protocol, runtime_checkable
from urllib.parse import quote

from zooaudit.contract import problem
from zooaudit.errors import InvalidRequest, NotFound, UnexpectedAnswer
from zooaudit.exchange import Exchange, Flow, parse
from zooaudit.results import AuditList
from zooaudit.views.text import short_state, subject

MAX_NAMED = 5
"""How many audits an error names whose ids start alike."""


@runtime_checkable
class HasId(Protocol):
    """An Audit, a Report or a handle: anything with the id of an audit."""

    @property
    def id(self) -> str: ...


def full_id(service: Exchange, identifier: str) -> Flow[str]:
    """Find the one audit whose id starts with ``identifier``, which has at least four digits.

    What is no start of an audit's id is returned as it is: the service refuses it.
    """
    if not identifier:
        raise InvalidRequest(problem("invalid-request", "The id of an audit is missing."))
    if not re.fullmatch("[0-9a-fA-F]{1,32}", identifier):
        return identifier
    start = identifier.lower()
    if len(start) == 32:
        return start
    if len(start) < 4:
        raise InvalidRequest(problem("invalid-request", f"{start} is too short for the start of an id: give 4 digits."))
    page = parse(AuditList, (yield from service.send("GET", "/audit", params={"id": start})))
    if not all(audit.id.startswith(start) for audit in page.audits):
        raise UnexpectedAnswer(f"The service at {service.base_url} is older and needs the whole id of an audit.")
    if len(page.audits) > 1:
        raise InvalidRequest(problem("invalid-request", _ambiguous(start, page)))
    if not page.audits:
        raise NotFound(problem("unknown-audit", f"There is no audit whose id starts with {start}."))
    return page.audits[0].id


def _ambiguous(start: str, page: AuditList) -> str:
    named = [f"{audit.id} ({subject(audit.request)}, {short_state(audit)})" for audit in page.audits[:MAX_NAMED]]
    total = page.total or len(page.audits)
    others = [f"{total - len(named)} more"] if total > len(named) else []
    return f"{total} audits have ids that start with {start}: {', '.join(named + others)}. Give more digits."


def audit_path(identifier: str) -> str:
    return f"/audit/{quote(identifier, safe='')}"


def query_of(**values: str | float | None) -> dict[str, str | float]:
    return {key: value for key, value in values.items() if value is not None}
