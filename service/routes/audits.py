"""Audits: ask for, list, follow and cancel them."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from zooaudit.contract import Archived, Audit, AuditList, Cost, Sort, Status, else_said

from service import cursors
from service.errors import refused
from service.queue import AuditQueue
from service.recovery import Recovery
from service.routes.dependencies import (
    NEEDS_KEY,
    AnnotationsDep,
    AuditRequestDep,
    DeletionsDep,
    LineDep,
    ListQueueDep,
    LogDep,
    QueueDep,
    RecoveryDep,
    RowsDep,
    SubmitterDep,
)
from service.routes.responses import NOT_MODIFIED, documented, etag_response, json_response, placed, retry_after
from service.routes.submission import Submission

router = APIRouter()

RECOVERY_WAIT_S = 10.0
STATUSES_PATTERN = "^({0})(,({0}))*$".format("|".join(Status))
AUDIT_REQUEST_BODY = {
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AuditRequest"}}},
    "required": True,
}


def _shown_audit(
    identifier: str, queue: QueueDep, line: LineDep, recovery: RecoveryDep, annotations: AnnotationsDep
) -> Audit:
    return annotations.show(line.show(find_audit(identifier, queue, recovery)))


ShownAudit = Annotated[Audit, Depends(_shown_audit)]
"""The audit of the path with its place in the queue and what is written on it; without one, 404."""


@router.post(
    "/audit",
    status_code=202,
    summary="Ask for an audit",
    dependencies=[NEEDS_KEY],
    responses=documented(400, 413, 415, 422, 429, s200=Audit | Cost, s202=Audit),
    openapi_extra={"requestBody": AUDIT_REQUEST_BODY},
)
def submit(
    request: AuditRequestDep,
    submission: Annotated[Submission, Depends()],
    dry_run: Annotated[
        bool, Query(description="Only tell what the audit would cost, or why it would be refused; accept nothing.")
    ] = False,
) -> Response:
    """202 for a new audit, 200 for one that exists. An audit that failed or was canceled runs again.
    One that waits gets the priority of the request if that is higher. A `callback_url` is told of the end beside those
    of earlier requests, and at once if the audit has ended.
    With `dry_run`, 200 and the audit's cost: a request that would be refused is refused in the same way."""
    if dry_run:
        return json_response(submission.cost_of(request))
    audit, enqueued = submission.submit(request)
    return json_response(audit, 202 if enqueued else 200, {"Location": audit.links.self, **retry_after(audit)})


@router.get(
    "/audit",
    summary="List audits, by default newest first",
    responses={**documented(422, s200=AuditList), 304: NOT_MODIFIED},
)
def listing(
    request: Request,
    queue: ListQueueDep,
    rows: RowsDep,
    line: LineDep,
    recovery: RecoveryDep,
    annotations: AnnotationsDep,
    status: Annotated[
        str | None,
        Query(pattern=STATUSES_PATTERN, max_length=64, description="One status, or several separated by commas."),
        else_said(f"a status or several, separated by commas, of {', '.join(Status)}"),
    ] = None,
    model: Annotated[
        str | None, Query(max_length=128, description="A part of the model's full name; case is ignored.")
    ] = None,
    id: Annotated[
        str,
        Query(pattern="^[0-9a-f]{0,32}$", description="How the audit's id starts."),
        else_said("the start of an id, up to 32 hexadecimal digits in lower case"),
    ] = "",
    label: Annotated[
        str | None, Query(max_length=40, description="Only audits with this label; upper and lower case differ.")
    ] = None,
    archived: Annotated[
        Archived | None,
        Query(description="Whether to list archived audits. By default only an `id` finds them."),
    ] = None,
    sort: Annotated[Sort, Query(description="What to sort by; with a minus, in descending order.")] = "-created",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[
        str | None, Query(max_length=512, description="The next_cursor of the page before, with the same sort.")
    ] = None,
    offset: Annotated[
        int, Query(ge=0, le=1_000_000, description="How many audits to leave out, counted from the cursor.")
    ] = 0,
) -> Response:
    """A cursor stays valid while audits are added and removed; an offset leads to any page at once."""
    after = cursors.decode(cursor, sort) if cursor is not None else None
    if recovery.ensure_all_restored(RECOVERY_WAIT_S):
        rows.expire()
    statuses = {Status(word) for word in status.split(",")} if status else set(Status)
    wanted = annotations.filter(label or None, archived or ("any" if id else "false"))
    page = rows.page(sort, statuses, model or "", limit, offset, after, id, wanted)
    audits_by_id = queue.read([row.id for row in page.rows])
    audits = annotations.show_all([audits_by_id[row.id] for row in page.rows if row.id in audits_by_id])
    body = AuditList(
        # Rows may be half a second old: leave out an audit that no longer has one of the statuses.
        audits=tuple(line.show(placed(audit, request)) for audit in audits if audit.status in statuses),
        total=page.total,
        next_cursor=cursors.encode(page.last) if page.last else None,
    )
    return etag_response(request, body.model_dump_json().encode())


@router.get(
    "/audit/{identifier}",
    summary="One audit's status and progress",
    responses={**documented(404, s200=Audit), 304: NOT_MODIFIED},
)
def status(request: Request, audit: ShownAudit) -> Response:
    body = placed(audit, request).model_dump_json()
    return etag_response(request, body.encode(), retry_after(audit))


@router.delete(
    "/audit/{identifier}",
    summary="Cancel an audit, or delete it",
    dependencies=[NEEDS_KEY],
    responses=documented(404, 409, 422, s200=Audit, s202=Audit),
)
def cancel(
    identifier: str,
    request: Request,
    caller: SubmitterDep,
    queue: QueueDep,
    rows: RowsDep,
    line: LineDep,
    recovery: RecoveryDep,
    annotations: AnnotationsDep,
    deletions: DeletionsDep,
    log: LogDep,
    purge: Annotated[
        bool, Query(description="Delete the audit with its report and all that is written on it; needs the role admin.")
    ] = False,
) -> Response:
    """200 when the audit is canceled, 202 when its worker was told to stop, which takes a few seconds.

    With `purge`, 200 and the audit as it was when it is deleted; one that has not ended is canceled first, and 409 says
    that it has not ended yet."""
    if purge:
        caller.ensure("admin")
    known = None
    if is_audit_id(identifier):
        recovery.ensure_known(identifier)
        known = queue.cancel(identifier)
    rows.expire()
    line.expire()
    audit, canceled = known or (find_audit(identifier, queue, recovery), False)
    who = (caller.name, caller.address)
    subject = (audit.id, audit.request.model)
    if canceled:
        recovery.forget(identifier)
    if purge:
        if not audit.status.final:
            if canceled:
                log.note(*who, "cancel", *subject, "stopping")
            state = "is being stopped" if canceled else "is storing its report"
            raise refused("not-deletable", f"The audit {state}; delete it again in some seconds.")
        audit = annotations.show(audit)
        log.write(*who, "delete", *subject, "deleted")  # before it is gone
        deletions.delete(identifier)
        rows.expire()
        return json_response(placed(audit, request))
    if not canceled:
        state = f"has {audit.status}" if audit.status.final else "is storing its report"
        raise refused("not-cancelable", f"The audit {state}.")
    is_stopping = audit.status is Status.RUNNING
    log.note(*who, "cancel", *subject, "stopping" if is_stopping else "canceled")
    return json_response(placed(annotations.show(audit), request), 202 if is_stopping else 200, retry_after(audit))


def find_audit(identifier: str, queue: AuditQueue, recovery: Recovery) -> Audit:
    """Find the audit in the queue, or else in the report store. Refuses with 404 when there is none."""
    audit = None
    if is_audit_id(identifier):
        audit = queue.get(identifier) or recovery.restore(identifier)
    if audit is None:
        raise refused("unknown-audit", "There is no audit with this id.")
    return audit


def is_audit_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None
