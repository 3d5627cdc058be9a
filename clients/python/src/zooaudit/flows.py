"""What each method of the clients does, written once for both, as flows (see :mod:`zooaudit.exchange`)."""

import json
import math
import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from zooaudit import contract
from zooaudit.contract import (
    Access,
    Action,
    AnnotationsChange,
    Archived,
    AuditRequest,
    Health,
    LogEntry,
    LogPage,
    ModelDetail,
    ModelList,
    Sort,
    Status,
    audit_id,
    problem,
    request_of,
)
from zooaudit.errors import (
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    Unavailable,
    UnexpectedAnswer,
    WaitTimeout,
    raise_unless_succeeded,
)
from zooaudit.exchange import Exchange, Flow, parse, retry_after_s
from zooaudit.options import Options, request_from
from zooaudit.results import Audit, AuditList, Comparison, Cost, Explanation, LeastEquivariant, Report
from zooaudit.views.text import short_state, subject

POLL_S = 1.0
"""Seconds between two polls unless the service asks for another pause."""
SOONEST_S = 0.05
"""The shortest pause between two polls, whatever the service asks for."""
ASKED_AT_MOST = 3
"""How often an explanation is asked for whose workers die."""
OUTAGE_S = 60.0
"""Seconds for which a wait goes on while the service does not answer."""
LAST_LOOK_S = 1.0
"""Seconds that the last request of a wait may take when its time is up."""

STOPPED_WITHIN_S = 30.0
"""Seconds in which the worker of an audit that is to be deleted has to stop."""
MAX_NAMED = 5
"""How many audits an error names whose ids start alike."""


class HasId(Protocol):
    """An Audit, a Report or a handle: anything with the id of an audit."""

    @property
    def id(self) -> str: ...


def submit(service: Exchange, model: str | AuditRequest, options: Options) -> Flow[Audit]:
    request = model if isinstance(model, AuditRequest) else request_from(model, options)
    return parse(Audit, (yield from service.send("POST", "/audit", content=request.model_dump_json())))


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


def status(service: Exchange, identifier: str) -> Flow[Audit]:
    path = _path((yield from full_id(service, identifier)))
    return parse(Audit, (yield from service.send("GET", path)))


def report(service: Exchange, identifier: str) -> Flow[Report]:
    identifier = yield from full_id(service, identifier)
    try:
        return parse(Report, (yield from service.send("GET", _path(identifier) + "/report")))
    except Conflict:
        raise_unless_succeeded((yield from status(service, identifier)))
        raise


def report_json(service: Exchange, identifier: str, unless_sha256: str | None) -> Flow[bytes | None]:
    path = _path((yield from full_id(service, identifier))) + "/report"
    # The service's tag of a report is the start of its hash.
    headers = {"If-None-Match": f'"{unless_sha256[:32]}"'} if unless_sha256 else {}
    response = yield from service.send("GET", path, headers=headers)
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        return None
    parse(Report, response)
    return response.content


def import_report(service: Exchange, content: str) -> Flow[Audit]:
    return parse(Audit, (yield from service.send("POST", "/reports", content=content)))


def cancel(service: Exchange, identifier: str) -> Flow[Audit]:
    path = _path((yield from full_id(service, identifier)))
    return parse(Audit, (yield from service.send("DELETE", path)))


def explain(
    service: Exchange,
    identifier: str,
    block: str,
    image: int | str,
    shift_px: int | None,
    angle_deg: int | None,
    timeout: float | None,
) -> Flow[Explanation]:
    asked = {"block": block, "image": image} | _query(shift_px=shift_px, angle_deg=angle_deg)
    return parse(Explanation, (yield from _made(service, identifier, "explanation", asked, timeout)))


def least_equivariant(
    service: Exchange, identifier: str, shift_px: int | None, angle_deg: int | None, timeout: float | None
) -> Flow[LeastEquivariant]:
    asked = _query(shift_px=shift_px, angle_deg=angle_deg)
    return parse(LeastEquivariant, (yield from _made(service, identifier, "least-equivariant", asked, timeout)))


def _made(
    service: Exchange, identifier: str, what: str, asked: dict[str, str | int], timeout: float | None
) -> Flow[httpx.Response]:
    """Ask for an explanation and wait for it. One whose worker has died is asked for again, a few times."""
    path = f"{_path((yield from full_id(service, identifier)))}/{what}"
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    for _ in range(ASKED_AT_MOST):
        response = yield from service.send("POST", path, content=json.dumps(asked))
        try:
            while response.status_code == HTTPStatus.ACCEPTED:
                left = deadline - time.monotonic()
                if left <= 0:
                    detail = f"It is not there after {timeout:g} s; a worker goes on with it. Ask again"
                    raise Unavailable(problem("unavailable", detail))
                yield min(left, _pause_s(response, None))
                response = yield from service.send("GET", path, params=asked, retry_s=min(OUTAGE_S, max(0.0, left)))
            return response
        except NotFound as error:
            if error.problem.type != problem("unknown-explanation", "").type:
                raise
            lost = error
    raise lost


def annotate(service: Exchange, identifier: str, change: Mapping[str, object]) -> Flow[Audit]:
    try:
        checked = AnnotationsChange.model_validate(change)
    except ValidationError as invalid:
        raise InvalidRequest(problem("invalid-request", _first_mistake(invalid))) from None
    path = _path((yield from full_id(service, identifier)))
    return parse(Audit, (yield from service.send("PATCH", path, content=checked.model_dump_json())))


def _first_mistake(invalid: ValidationError) -> str:
    error = invalid.errors(include_url=False)[0]
    given = f" ({error['input']})" if isinstance(error["input"], str) and len(error["input"]) <= 80 else ""
    return f"{error['loc'][0]}{given}: {error['msg'].removeprefix('Value error, ')}"


def delete(service: Exchange, identifier: str) -> Flow[Audit]:
    path = _path((yield from full_id(service, identifier)))
    deadline = time.monotonic() + STOPPED_WITHIN_S
    while True:
        try:
            return parse(Audit, (yield from service.send("DELETE", path, params={"purge": "true"})))
        except Conflict:  # it is being stopped
            if time.monotonic() > deadline:
                raise
        yield POLL_S


def access(service: Exchange) -> Flow[Access]:
    return parse(Access, (yield from service.send("GET", "/key")))


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
        self._query = _query(since=since.isoformat() if since else None, action=action, limit=100)
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
        filters = _query(status=None if state is None else str(state), model=model, label=label, archived=archived)
        self._query = filters | _query(sort=sort, limit=page_limit)
        self.done = self._left <= 0

    def next_page(self) -> Flow[list[Audit]]:
        page = parse(AuditList, (yield from self._service.send("GET", "/audit", params=self._query)))
        audits = [audit for place, audit in enumerate(page.audits) if place < self._left]
        self._left -= len(audits)
        self.done = page.next_cursor is None or self._left <= 0
        self._query = self._query | {"cursor": page.next_cursor or ""}
        return audits


def compare(
    service: Exchange,
    audits: Iterable[str | HasId],
    top1: Mapping[str, float] | None,
    reference: str | HasId | None,
) -> Flow[Comparison]:
    if isinstance(audits, str):
        raise TypeError("compare takes several audits, such as a list of their ids")
    identifiers = []
    for audit in audits:
        identifiers.append((yield from full_id(service, audit if isinstance(audit, str) else audit.id)))
    query = {"audits": ",".join(identifiers)}
    if top1 is not None:
        accuracies = yield from _accuracies(service, identifiers, top1)
        query["top1"] = ",".join("" if accuracy is None else f"{accuracy:.6f}" for accuracy in accuracies)
    if reference is not None:
        named = reference if isinstance(reference, str) else reference.id
        query["reference"] = yield from full_id(service, named)
    return parse(Comparison, (yield from service.send("GET", "/comparison", params=query)))


def _accuracies(service: Exchange, identifiers: Sequence[str], top1: Mapping[str, float]) -> Flow[list[float | None]]:
    """Look up the accuracy of each audit: by its id, else by the name of its model if its weights are the pretrained
    ones, whose accuracy a name stands for. Warns of accuracies that are meant for an audit but not taken."""
    accuracies: list[float | None] = []
    request: AuditRequest | None = None
    others: list[str] = []
    by_start = {key.lower(): key for key in top1 if re.fullmatch("[0-9a-fA-F]{4,32}", key)}
    for identifier in identifiers:
        key = next((key for start, key in by_start.items() if identifier.startswith(start)), None)
        if key is None:
            request = (yield from status(service, identifier)).request
            key = next((name for name in (request.model, request.model.removeprefix("timm/")) if name in top1), None)
            if key is not None and request.weights != "pretrained":
                others.append(f"{identifier} ({subject(request)})")
                key = None
        accuracies.append(None if key is None else top1[key])
    unknown = [key for start, key in by_start.items() if not any(one.startswith(start) for one in identifiers)]
    if others:
        _warn(
            "An accuracy by a model's name is that of its pretrained weights and is not taken for "
            f"{', '.join(others)}. Give it under the audit's id instead of the name."
        )
    if unknown:
        _warn(f"No compared audit has the id {' or '.join(unknown)}, for which there is an accuracy.")
    if request and not others and not unknown and all(accuracy is None for accuracy in accuracies):
        _warn(f"None of the accuracies is of a compared audit, such as that of {subject(request)}.")
    return accuracies


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=6)  # the caller of a client's compare


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
    path = _path((yield from full_id(service, identifier)))
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
