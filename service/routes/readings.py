"""What a report says in words, and what the words mean."""

from fastapi import APIRouter, Request, Response
from zooaudit.contract import TERMS, Reading, Terms
from zooaudit.views.reading import reading

from service.routes.dependencies import QueueDep, RecoveryDep, StoreDep
from service.routes.reports import brief_report
from service.routes.responses import NOT_MODIFIED, documented, etag_response

router = APIRouter()


@router.get(
    "/audit/{identifier}/reading",
    summary="A finished audit's report in words",
    responses={**documented(404, 409, s200=Reading), 304: NOT_MODIFIED},
)
def audit_reading(
    identifier: str, request: Request, queue: QueueDep, store: StoreDep, recovery: RecoveryDep
) -> Response:
    """Sentences made from the report's numbers, and warnings of what to know before they are quoted or compared."""
    return etag_response(request, reading(brief_report(identifier, queue, store, recovery)).model_dump_json().encode())


@router.get(
    "/terms", summary="What the words of a report mean", responses={**documented(s200=Terms), 304: NOT_MODIFIED}
)
def terms(request: Request) -> Response:
    """Each term in a sentence or two, with its anchor on the page `/method`."""
    return etag_response(request, Terms(terms=TERMS).model_dump_json().encode())
