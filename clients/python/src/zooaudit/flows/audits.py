"""Audits: asked for, looked at, waited for, canceled, listed."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus

from zooaudit import contract
from zooaudit.contract import (
    MAX_BATCH,
    Archived,
    AuditRequest,
    Batch,
    BatchAnswers,
    Problem,
    Sort,
    Status,
    audit_id,
    request_of,
)
from zooaudit.errors import ConnectionFailed, NotFound, Unavailable, UnexpectedAnswer, WaitTimeout
from zooaudit.exchange import Exchange, Flow, parse
from zooaudit.flows.identifiers import audit_path, full_id, query_of
from zooaudit.flows.pauses import OUTAGE_S, pause_s
from zooaudit.options import Options, request_from, several
from zooaudit.results import Audit, AuditList, Cost

LAST_LOOK_S = 1.0
"""Seconds that the last request of a wait may take when its time is up."""


def submit(service: Exchange, model: str | AuditRequest, options: Options) -> Flow[Audit]:
    request = model if isinstance(model, AuditRequest) else request_from(model, options)
    return parse(Audit, (yield from service.send("POST", "/audit", content=request.model_dump_json())))


def submit_all(service: Exchange, requests: Iterable[AuditRequest]) -> Flow[list[Audit | Problem]]:
    asked, found = several(requests), list[Audit | Problem]()
    for first in range(0, len(asked), MAX_BATCH):
        batch = Batch(audits=asked[first : first + MAX_BATCH])
        response = yield from service.send("POST", "/audits", content=batch.model_dump_json())
        for answer in parse(BatchAnswers, response).answers:
            if answer.problem is not None:
                found.append(answer.problem)
            elif answer.audit is not None:
                found.append(Audit.model_validate(answer.audit.model_dump()))
    return found


def cost(service: Exchange, model: str | AuditRequest, options: Options) -> Flow[Cost]:
    request = model if isinstance(model, AuditRequest) else request_from(model, options)
    query = {"dry_run": "true"}
    response = yield from service.send("POST", "/audit", params=query, content=request.model_dump_json())
    if response.status_code == HTTPStatus.ACCEPTED:
        yield from cancel(service, parse(Audit, response).id)
        older = f"The service at {service.base_url} is older and tells no costs"
        raise UnexpectedAnswer(f"{older}: it has accepted the audit, which was canceled again.")
    return parse(Cost, response)


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
    path = audit_path((yield from full_id(service, identifier)))
    return parse(Audit, (yield from service.send("GET", path)))


def cancel(service: Exchange, identifier: str) -> Flow[Audit]:
    path = audit_path((yield from full_id(service, identifier)))
    return parse(Audit, (yield from service.send("DELETE", path)))


def wait(
    service: Exchange,
    identifier: str,
    timeout: float | None,
    poll_s: float | None,
    on_progress: Callable[[Audit], object] | None,
) -> Flow[Audit]:
    limit = math.inf if timeout is None else timeout
    deadline = time.monotonic() + limit
    path = audit_path((yield from full_id(service, identifier)))
    audit: Audit | None = None
    etag: str | None = None
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            response = yield from service.send(
                "GET",
                path,
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
        yield min(left, pause_s(response, poll_s))


class AuditPages:
    """The pages of a list of audits, fetched one by one. ``limit`` is the most audits on all pages together."""

    def __init__(
        self,
        service: Exchange,
        state: Status | str | None,
        model: str | None,
        sort: Sort | None,
        limit: int | None,
        label: str | None = None,
        archived: Archived | None = None,
    ) -> None:
        self._service, self._left = service, math.inf if limit is None else limit
        page_limit = None if limit is None else min(limit, 100)
        filters = query_of(status=None if state is None else str(state), model=model, label=label, archived=archived)
        self._query = filters | query_of(sort=sort, limit=page_limit)
        self.done = self._left <= 0

    def next_page(self) -> Flow[list[Audit]]:
        page = parse(AuditList, (yield from self._service.send("GET", "/audit", params=self._query)))
        audits = [audit for place, audit in enumerate(page.audits) if place < self._left]
        self._left -= len(audits)
        self.done = page.next_cursor is None or self._left <= 0
        self._query = self._query | {"cursor": page.next_cursor or ""}
        return audits
