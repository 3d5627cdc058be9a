"""The audit log: who did what."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from zooaudit.contract import Action, LogPage, else_said

from service.audit_log import ENTRY_ID
from service.routes.dependencies import NEEDS_ADMIN, LogDep, TurnDep
from service.routes.responses import documented, json_response

router = APIRouter()


@router.get(
    "/log",
    summary="The audit log, newest first",
    dependencies=[NEEDS_ADMIN],
    responses=documented(422, s200=LogPage),
)
def entries(
    log: LogDep,
    _: TurnDep,
    since: Annotated[
        datetime | None, Query(description="Only entries of this time or later; UTC unless it says otherwise.")
    ] = None,
    action: Action | None = None,
    audit: Annotated[
        str | None,
        Query(pattern="^[0-9a-f]{32}$", description="Only entries about this audit."),
        else_said("the id of an audit, 32 hexadecimal digits in lower case"),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[
        str | None,
        Query(pattern=f"^{ENTRY_ID}$", max_length=128, description="The next_cursor of the page before."),
        else_said("a next_cursor of this list"),
    ] = None,
) -> Response:
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    page = log.page(since, action, audit, limit, cursor)
    return json_response(page, headers={"Cache-Control": "no-store"})
