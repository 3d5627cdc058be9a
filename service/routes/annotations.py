"""What people write on audits: labels, a note, and whether an audit is archived."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from zooaudit.contract import AnnotationsChange, Audit, Result

from service.routes.audits import find_audit
from service.routes.dependencies import (
    NEEDS_KEY,
    AnnotationsDep,
    LineDep,
    LogDep,
    QueueDep,
    RecoveryDep,
    SubmitterDep,
    checked_body,
)
from service.routes.responses import documented, json_response, placed

router = APIRouter()

ChangeDep = Annotated[AnnotationsChange, Depends(checked_body(AnnotationsChange))]


@router.patch(
    "/audit/{identifier}",
    summary="Label an audit, write a note on it, or archive it",
    dependencies=[NEEDS_KEY],
    responses=documented(400, 404, 413, 415, 422, s200=Audit),
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"schema": AnnotationsChange.model_json_schema()}},
            "required": True,
        }
    },
)
def annotate(
    identifier: str,
    request: Request,
    caller: SubmitterDep,
    change: ChangeDep,
    queue: QueueDep,
    line: LineDep,
    recovery: RecoveryDep,
    annotations: AnnotationsDep,
    log: LogDep,
) -> Response:
    """Labels and notes need the role `submit`, archiving the role `admin`. What is absent stays as it is."""
    if change.archived is not None:
        caller.ensure("admin")
    audit = find_audit(identifier, queue, recovery)
    before = annotations.load(audit.id)
    after = annotations.change(audit.id, change)
    if after.archived != before.archived:
        result: Result = "archived" if after.archived else "unarchived"
        log.note(caller.name, caller.address, "archive", audit.id, audit.request.model, result)
    written = change.model_copy(update={"archived": None})
    if written.applied_to(before) != before:
        log.note(caller.name, caller.address, "label", audit.id, audit.request.model, "changed", written)
    return json_response(annotations.show(line.show(placed(audit, request))))
