"""What each method of the clients does, written once for both, as flows (see :mod:`zooaudit.exchange`)."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote

import httpx

from zooaudit import contract
from zooaudit.contract import AuditRequest, Health, ModelDetail, ModelList, Sort, Status, audit_id, request_of
from zooaudit.errors import Conflict, ConnectionFailed, NotFound, Unavailable, WaitTimeout, raise_unless_succeeded
from zooaudit.exchange import Exchange, Flow, parse, retry_after_s
from zooaudit.options import Options, request_from
from zooaudit.results import Audit, AuditList, Comparison, Report

POLL_S = 1.0
"""Seconds between two polls unless the service asks for another pause."""
SOONEST_S = 0.05
"""The shortest pause between two polls, whatever the service asks for."""
OUTAGE_S = 60.0
"""Seconds for which a wait goes on while the service does not answer."""
LAST_LOOK_S = 1.0
"""Seconds that the last request of a wait may take when its time is up."""


class HasId(Protocol):
    """An Audit, a Report or a handle: anything with the id of an audit."""

    @property
    def id(self) -> str: ...


def submit(service: Exchange, model: str | AuditRequest, options: Options) -> Flow[Audit]:
    request = model if isinstance(model, AuditRequest) else request_from(model, options)
    return parse(Audit, (yield from service.send("POST", "/audit", content=request.model_dump_json())))


def repeat(service: Exchange, report: contract.Report) -> Flow[Audit]:
    for identifier, request in next_repetition(report):
        try:
            yield from status(service, identifier)
        except NotFound:
            return (yield from submit(service, request, {}))
    raise ValueError("this audit has been repeated as often as a request can say")


def next_repetition(report: contract.Report) -> Iterator[tuple[str, AuditRequest]]:
    """Yield the requests, with their ids, that would run the audit of ``report`` again, in the order to try them."""
    request = request_of(report)
    for number in range(report.repetition + 1, 10_000):
        again = request.model_copy(update={"repetition": number})
        yield audit_id(again), again


def status(service: Exchange, identifier: str) -> Flow[Audit]:
    return parse(Audit, (yield from service.send("GET", _path(identifier))))


def report(service: Exchange, identifier: str) -> Flow[Report]:
    try:
        return parse(Report, (yield from service.send("GET", _path(identifier) + "/report")))
    except Conflict:
        raise_unless_succeeded((yield from status(service, identifier)))
        raise


def cancel(service: Exchange, identifier: str) -> Flow[Audit]:
    return parse(Audit, (yield from service.send("DELETE", _path(identifier))))


class AuditPages:
    """The pages of a list of audits, fetched one by one. ``limit`` is the most audits on all pages together."""

    def __init__(
        self, service: Exchange, state: Status | str | None, model: str | None, sort: Sort | None, limit: int | None
    ) -> None:
        self._service, self._left = service, math.inf if limit is None else limit
        page_limit = None if limit is None else min(limit, 100)
        self._query = _query(status=None if state is None else str(state), model=model, sort=sort, limit=page_limit)
        self.done = self._left <= 0

    def next_page(self) -> Flow[list[Audit]]:
        page = parse(AuditList, (yield from self._service.send("GET", "/audit", params=self._query)))
        audits = [audit for place, audit in enumerate(page.audits) if place < self._left]
        self._left -= len(audits)
        self.done = page.next_cursor is None or self._left <= 0
        self._query = self._query | {"cursor": page.next_cursor or ""}
        return audits


def compare(service: Exchange, audits: Iterable[str | HasId], top1: Mapping[str, float] | None) -> Flow[Comparison]:
    if isinstance(audits, str):
        raise TypeError("compare takes several audits, such as a list of their ids")
    identifiers = [audit if isinstance(audit, str) else audit.id for audit in audits]
    query = {"audits": ",".join(identifiers)}
    if top1 is not None:
        accuracies = []
        for identifier in identifiers:
            accuracy = top1.get(identifier)
            if accuracy is None:
                accuracy = _accuracy_of_model((yield from status(service, identifier)).request, top1)
            accuracies.append("" if accuracy is None else f"{accuracy:.6f}")
        query["top1"] = ",".join(accuracies)
    return parse(Comparison, (yield from service.send("GET", "/comparison", params=query)))


def _accuracy_of_model(request: AuditRequest, top1: Mapping[str, float]) -> float | None:
    """Look up the request's model. timm's lists leave "timm/" out; a bare name is never torchvision's."""
    if request.weights != "pretrained":
        return None
    accuracy = top1.get(request.model)
    return top1.get(request.model.removeprefix("timm/")) if accuracy is None else accuracy


def models(
    service: Exchange, q: str | None, family: str | None, source: str | None, limit: int, offset: int
) -> Flow[ModelList]:
    query = _query(q=q, family=family, source=source, limit=limit, offset=offset)
    return parse(ModelList, (yield from service.send("GET", "/models", params=query)))


def model(service: Exchange, name: str, wait_s: float) -> Flow[ModelDetail]:
    deadline = time.monotonic() + wait_s
    while True:
        response = yield from service.send("GET", f"/models/{quote(name, safe='/')}")
        detail, retry_after = parse(ModelDetail, response), retry_after_s(response)
        left = deadline - time.monotonic()
        if detail.blocks is not None or retry_after is None or left <= 0:
            return detail
        yield min(left, max(retry_after, SOONEST_S))


def health(service: Exchange) -> Flow[Health]:
    return parse(Health, (yield from service.send("GET", "/health")))


def wait(
    service: Exchange,
    identifier: str,
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
                _path(identifier),
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
        yield min(left, _pause_s(response, poll_s))


def _pause_s(response: httpx.Response, poll_s: float | None) -> float:
    """Return the seconds until the next poll: the caller's ``poll_s``, else what the service asks for."""
    if poll_s is not None:
        return max(poll_s, 0.0)
    retry_after = retry_after_s(response)
    return POLL_S if retry_after is None else max(retry_after, SOONEST_S)


def _path(identifier: str) -> str:
    return f"/audit/{quote(identifier, safe='')}"


def _query(**values: str | int | None) -> dict[str, str | int]:
    return {key: value for key, value in values.items() if value is not None}
