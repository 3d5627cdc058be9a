"""Audits: ask for them, list, follow and cancel them."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from zooaudit.contract import Audit, AuditList, AuditRequest, Sort, Status

from service import cursors
from service.catalogue import complete
from service.errors import StoreUnavailable, refused, unavailable
from service.queue import AuditQueue
from service.recovery import Recovery
from service.routes.dependencies import (
    CatalogueDep,
    Key,
    ListingDep,
    QueueDep,
    RecoveryDep,
    StoreDep,
    VersionsDep,
    audit_request,
)
from service.routes.responses import UNCHANGED, answers, cached, json_answer, poll

router = APIRouter()

RECOVERY_WAIT_S = 10.0
STATUSES = "^({0})(,({0}))*$".format("|".join(Status))
BODY = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/AuditRequest"}}}, "required": True}
BEARER: list[dict[str, list[str]]] = [{"bearer": []}]


@router.post(
    "/audit",
    status_code=202,
    summary="Ask for an audit",
    dependencies=[Key],
    responses=answers(400, 401, 413, 415, 422, s200=Audit, s202=Audit),
    openapi_extra={"requestBody": BODY, "security": BEARER},
)
def submit(
    asked: Annotated[AuditRequest, Depends(audit_request)],
    catalogue: CatalogueDep,
    queue: QueueDep,
    store: StoreDep,
    listing: ListingDep,
    versions: VersionsDep,
) -> Response:
    """202 for a new audit, 200 for one that exists. One that failed or was canceled runs again."""
    request = versions.pinned(complete(asked, catalogue), queue)
    audit, created = queue.submit(request, store.load)
    listing.expire()
    return json_answer(audit, 202 if created else 200, {"Location": audit.links.self, **poll(audit)})


@router.get(
    "/audit",
    summary="List audits, by default newest first",
    responses={**answers(422, s200=AuditList), 304: UNCHANGED},
)
def listing(
    request: Request,
    queue: QueueDep,
    listing: ListingDep,
    recovery: RecoveryDep,
    status: Annotated[
        str | None, Query(pattern=STATUSES, max_length=64, description="One status, or several with commas.")
    ] = None,
    model: Annotated[str | None, Query(max_length=128, description="Part of the full name, any case.")] = None,
    sort: Annotated[Sort, Query(description="By what; with a minus, descending.")] = "-created",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[
        str | None, Query(max_length=512, description="next_cursor of the page before, of the same sort.")
    ] = None,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="Leave out so many, after the cursor.")] = 0,
) -> Response:
    """A cursor stays true while audits come and go; an offset goes to any page at once."""
    after = cursors.read(cursor, sort) if cursor is not None else None
    recovery.ensure(RECOVERY_WAIT_S)
    wanted = {Status(word) for word in status.split(",")} if status else set(Status)
    page = listing.page(sort, wanted, model or "", limit, offset, after)
    found = queue.read([row.id for row in page.rows])
    # Rows may be half a second old: an audit that has moved on since is not shown under a status it no longer has.
    audits = tuple(found[row.id] for row in page.rows if row.id in found and found[row.id].status in wanted)
    answer = AuditList(audits=audits, total=page.total, next_cursor=cursors.write(page.last) if page.last else None)
    return cached(request, answer.model_dump_json().encode(), {})


@router.get(
    "/audit/{identifier}",
    summary="One audit's status and progress",
    responses={**answers(404, s200=Audit), 304: UNCHANGED},
)
def status(identifier: str, request: Request, queue: QueueDep, recovery: RecoveryDep) -> Response:
    audit = find(identifier, queue, recovery)
    return cached(request, audit.model_dump_json().encode(), poll(audit))


@router.delete(
    "/audit/{identifier}",
    summary="Cancel an audit",
    dependencies=[Key],
    responses=answers(401, 404, 409, s200=Audit, s202=Audit),
    openapi_extra={"security": BEARER},
)
def cancel(identifier: str, queue: QueueDep, listing: ListingDep, recovery: RecoveryDep) -> Response:
    """200 when it is canceled, 202 when its worker has been told to stop and will have done so within seconds."""
    found = queue.cancel(identifier) if is_id(identifier) else None
    listing.expire()
    audit, canceled = found or (find(identifier, queue, recovery), False)
    if not canceled:
        now = f"has {audit.status}" if audit.status.final else "is storing its report"
        raise refused("not-cancelable", f"The audit {now}.")
    return json_answer(audit, 202 if audit.status is Status.RUNNING else 200, poll(audit))


def find(identifier: str, queue: AuditQueue, recovery: Recovery) -> Audit:
    audit = None
    if is_id(identifier):
        audit = queue.get(identifier)
        try:
            audit = audit or recovery.one(identifier)
        except StoreUnavailable:
            raise unavailable("The report store does not answer; try again shortly.") from None
    if audit is None:
        raise refused("unknown-audit", "There is no audit with this id.")
    return audit


def is_id(identifier: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}", identifier) is not None
