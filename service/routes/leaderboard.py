"""The leaderboard: all models that were measured by one method, the newest audit of each."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from zooaudit.contract import Leaderboard, LeaderboardQuery, Status

from service.leaderboard import answer
from service.routes.audits import RECOVERY_WAIT_S
from service.routes.dependencies import AnnotationsDep, ListRowsDep, RecoveryDep, SummariesDep
from service.routes.responses import NOT_MODIFIED, documented, etag_response

router = APIRouter()

PENDING_AFTER_S = 2


@router.get(
    "/leaderboard",
    summary="The newest audit of each model, by one method",
    responses={**documented(422, s200=Leaderboard), 304: NOT_MODIFIED},
)
def leaderboard(
    request: Request,
    rows: ListRowsDep,
    summaries: SummariesDep,
    recovery: RecoveryDep,
    annotations: AnnotationsDep,
    query: Annotated[LeaderboardQuery, Query()],
) -> Response:
    """One row for each model and weights; a checkpoint has the row of its newest version. Only audits of one method on
    the same images are in it: without settings, those of the method with the most models. None is archived. While
    `pending` is above 0, Retry-After says when to ask again."""
    if recovery.ensure_all_restored(RECOVERY_WAIT_S):
        rows.expire()
    shown = annotations.filter(None, "false")
    succeeded = [row.id for row in rows.by_id().values() if row.status is Status.SUCCEEDED and shown(row)]
    known = summaries.of(succeeded)
    known = replace(known, pending=known.pending + recovery.unrestored())
    made = answer(query, known)
    headers = {"Vary": "Accept-Encoding"} | ({"Retry-After": str(PENDING_AFTER_S)} if known.pending else {})
    if "gzip" in request.headers.get("accept-encoding", ""):
        return etag_response(request, made.gzipped, headers, encoding="gzip")
    return etag_response(request, made.body, headers)
