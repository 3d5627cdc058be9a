"""What each method of the clients does, written once, as flows (see :mod:`zooaudit.exchange`)."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote

from zooaudit.contract import (
    Audit,
    AuditList,
    AuditRequest,
    Comparison,
    Health,
    ModelDetail,
    ModelList,
    Report,
    Sort,
    Status,
)
from zooaudit.errors import Conflict, ConnectionFailed, NotFound, Unavailable, WaitTimeout, raise_unless_succeeded
from zooaudit.exchange import Exchange, Flow, parse, retry_after_s
from zooaudit.options import Options, request_from
from zooaudit.replay import next_repetition

POLL_S = 1.0
"""Seconds between two polls where the service does not say."""
SOONEST_S = 0.05
"""No poll comes sooner after the last, whatever the service says."""
OUTAGE_S = 60.0
"""How long a wait bears a service that does not answer, in seconds."""
LAST_LOOK_S = 1.0
"""A request made when the time of a wait is up may still take this long."""


class HasId(Protocol):
    """An Audit, a Report or a handle: anything that says which audit it is."""

    @property
    def id(self) -> str: ...


def submit(service: Exchange, model: str | AuditRequest, options: Options) -> Flow[Audit]:
    request = model if isinstance(model, AuditRequest) else request_from(model, options)
    return parse(Audit, (yield from service.send("POST", "/audit", content=request.model_dump_json())))


def repeat(service: Exchange, before: Report) -> Flow[Audit]:
    for identifier, request in next_repetition(before):
        try:
            yield from status(service, identifier)
        except NotFound:
            return (yield from submit(service, request, {}))
    raise ValueError("this audit has been repeated as often as a request can say")


def status(service: Exchange, audit_id: str) -> Flow[Audit]:
    return parse(Audit, (yield from service.send("GET", _path(audit_id))))


def report(service: Exchange, audit_id: str) -> Flow[Report]:
    try:
        return parse(Report, (yield from service.send("GET", _path(audit_id) + "/report")))
    except Conflict:
        raise_unless_succeeded((yield from status(service, audit_id)))
        raise


def cancel(service: Exchange, audit_id: str) -> Flow[Audit]:
    return parse(Audit, (yield from service.send("DELETE", _path(audit_id))))


class Listing:
    """The pages of a list of audits, as far as they have been fetched."""

    def __init__(
        self, service: Exchange, state: Status | str | None, model: str | None, sort: Sort | None, limit: int | None
    ) -> None:
        self._service, self._left = service, math.inf if limit is None else limit
        page = None if limit is None else min(limit, 100)
        self._query = _query(status=None if state is None else str(state), model=model, sort=sort, limit=page)
        self.done = self._left <= 0

    def page(self) -> Flow[list[Audit]]:
        """The audits of the next page, no more than are wanted."""
        page = parse(AuditList, (yield from self._service.send("GET", "/audit", params=self._query)))
        wanted = [audit for place, audit in enumerate(page.audits) if place < self._left]
        self._left -= len(wanted)
        self.done = page.next_cursor is None or self._left <= 0
        self._query = self._query | {"cursor": page.next_cursor or ""}
        return wanted


def compare(service: Exchange, audits: Iterable[str | HasId], top1: Mapping[str, float] | None) -> Flow[Comparison]:
    if isinstance(audits, str):
        raise TypeError("compare takes several audits, such as a list of their ids")
    ids = [audit if isinstance(audit, str) else audit.id for audit in audits]
    query = {"audits": ",".join(ids)}
    if top1 is not None:
        values = []
        for identifier in ids:
            value = top1.get(identifier)
            if value is None:
                value = _accuracy((yield from status(service, identifier)).request, top1)
            values.append("" if value is None else f"{value:.6f}")
        query["top1"] = ",".join(values)
    return parse(Comparison, (yield from service.send("GET", "/comparison", params=query)))


def _accuracy(request: AuditRequest, top1: Mapping[str, float]) -> float | None:
    """What ``top1`` says of the audit's model. timm's lists leave "timm/" away; a bare name is never torchvision's."""
    if request.weights != "pretrained":
        return None
    found = top1.get(request.model)
    return top1.get(request.model.removeprefix("timm/")) if found is None else found


def models(
    service: Exchange, q: str | None, family: str | None, source: str | None, limit: int, offset: int
) -> Flow[ModelList]:
    query = _query(q=q, family=family, source=source, limit=limit, offset=offset)
    return parse(ModelList, (yield from service.send("GET", "/models", params=query)))


def model(service: Exchange, name: str, wait_s: float) -> Flow[ModelDetail]:
    deadline = time.monotonic() + wait_s
    while True:
        response = yield from service.send("GET", f"/models/{quote(name, safe='/')}")
        found, again = parse(ModelDetail, response), retry_after_s(response)
        left = deadline - time.monotonic()
        if found.blocks is not None or again is None or left <= 0:
            return found
        yield min(left, max(again, SOONEST_S))


def health(service: Exchange) -> Flow[Health]:
    return parse(Health, (yield from service.send("GET", "/health")))


def wait(
    service: Exchange,
    audit_id: str,
    timeout: float | None,
    poll_s: float | None,
    on_progress: Callable[[Audit], object] | None,
) -> Flow[Audit]:
    limit = math.inf if timeout is None else timeout
    deadline = time.monotonic() + limit
    audit: Audit | None = None
    etag: str | None = None
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            response = yield from service.send(
                "GET",
                _path(audit_id),
                headers={"If-None-Match": etag} if etag else {},
                retry_s=min(OUTAGE_S, left),
                timeout=max(left, LAST_LOOK_S),
            )
        except (ConnectionFailed, Unavailable) as error:
            if audit is None or left > OUTAGE_S:
                raise
            raise WaitTimeout(audit, limit, str(error)) from error
        if response.status_code != HTTPStatus.NOT_MODIFIED or audit is None:
            audit, etag = parse(Audit, response), response.headers.get("ETag")
            if on_progress:
                on_progress(audit)
        if audit.status.final:
            return audit
        left = deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeout(audit, limit)
        asked = retry_after_s(response) if poll_s is None else poll_s
        yield min(left, POLL_S if asked is None else max(asked, SOONEST_S if poll_s is None else 0.0))


def _path(audit_id: str) -> str:
    return f"/audit/{quote(audit_id, safe='')}"


def _query(**values: str | int | None) -> dict[str, str | int]:
    return {key: value for key, value in values.items() if value is not None}
