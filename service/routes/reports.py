"""Reports of audits that succeeded, comparisons of several reports, and the figures of both."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from zooaudit.contract import Comparison, Figures, Report, ScoreName, Status
from zooaudit.views import figures

from service.comparison import MAX_AUDITS, MIN_AUDITS, compare, parse_query
from service.errors import Refused, refused
from service.queue import AuditQueue
from service.recovery import Recovery
from service.reports import ReportStore
from service.routes.audits import find_audit, is_audit_id
from service.routes.dependencies import QueueDep, RecoveryDep, StoreDep
from service.routes.responses import NOT_MODIFIED, documented, etag_response

router = APIRouter()


def _compared(
    queue: QueueDep,
    store: StoreDep,
    recovery: RecoveryDep,
    audits: Annotated[
        str,
        Query(
            description=f"{MIN_AUDITS} to {MAX_AUDITS} ids, separated by commas.",
            json_schema_extra={"pattern": "^[0-9a-f]{32}(,[0-9a-f]{32})+$"},
        ),
    ],
    top1: Annotated[
        str | None,
        Query(
            description="ImageNet top-1 accuracies in per cent, separated by commas, one for each audit; leave one "
            "empty for the zoo's own figure. timm publishes none.",
            json_schema_extra={"example": "79.3,,81"},
        ),
    ] = None,
    reference: Annotated[
        str | None,
        Query(
            description="The id, one of the audits, that the others are set against; by default the first.",
            json_schema_extra={"pattern": "^[0-9a-f]{32}$"},
        ),
    ] = None,
) -> tuple[list[Report], Comparison]:
    """Read the reports that the query names, and compare them."""
    identifiers, accuracies, chosen = parse_query(audits, top1, reference)
    reports = [brief_report(identifier, queue, store, recovery) for identifier in identifiers]
    return reports, compare(reports, accuracies, chosen)


ComparedDep = Annotated[tuple[list[Report], Comparison], Depends(_compared)]


@router.get(
    "/audit/{identifier}/report",
    summary="A finished audit's report",
    responses={**documented(404, 409, s200=Report), 304: NOT_MODIFIED},
)
def report(identifier: str, request: Request, queue: QueueDep, store: StoreDep, recovery: RecoveryDep) -> Response:
    """The report comes from the report store, so it is there even when Redis is not."""
    content = store.read(identifier) if is_audit_id(identifier) else None
    if content is None:
        raise _no_report(identifier, queue, recovery)
    return etag_response(request, content)


@router.get(
    "/audit/{identifier}/figures",
    summary="A finished audit's figures, for Plotly",
    responses={**documented(404, 409, 422, s200=Figures), 304: NOT_MODIFIED},
)
def audit_figures(
    identifier: str, request: Request, queue: QueueDep, store: StoreDep, recovery: RecoveryDep
) -> Response:
    """The audit's scores by part, by shift and over the depth, and its top-1 agreement, as figures for Plotly."""
    return etag_response(request, _figures([brief_report(identifier, queue, store, recovery)]))


@router.get(
    "/comparison",
    summary="Compare audits with one another, and their scores with accuracy",
    responses={**documented(404, 409, 422, s200=Comparison), 304: NOT_MODIFIED},
)
def comparison(request: Request, compared: ComparedDep) -> Response:
    """Only audits with the same method on the same images can be compared. A refusal says what differs."""
    _, comparison = compared
    return etag_response(request, comparison.model_dump_json().encode())


@router.get(
    "/comparison/figures",
    summary="The figures of a comparison, for Plotly",
    responses={**documented(404, 409, 422, s200=Figures), 304: NOT_MODIFIED},
)
def comparison_figures(
    request: Request,
    compared: ComparedDep,
    score: Annotated[ScoreName, Query(description="The score to draw by shift and over the depth.")] = "channel",
) -> Response:
    """The audits' scores by part, by shift, over the depth and against accuracy."""
    reports, comparison = compared
    accuracy: dict[str, Any] = figures.accuracy(comparison)
    return etag_response(request, _figures(reports, score, accuracy=accuracy))


def _no_report(identifier: str, queue: AuditQueue, recovery: Recovery) -> Refused:
    """Build the refusal that tells why an audit has no report."""
    audit = find_audit(identifier, queue, recovery)
    if audit.status is not Status.SUCCEEDED:
        return refused("not-ready", f"The audit is {audit.status}; only an audit that succeeded has a report.")
    return refused("report-lost", "The store has lost this report; ask for the audit again.")


def brief_report(identifier: str, queue: AuditQueue, store: ReportStore, recovery: Recovery) -> Report:
    """Read the report without its blocks' rows by transform. When there is none, the refusal names the audit."""
    try:
        if is_audit_id(identifier):
            return store.brief(identifier)
    except LookupError:
        pass
    try:
        raise _no_report(identifier, queue, recovery)
    except Refused as error:
        named = error.problem.model_copy(update={"detail": f"{identifier[:64]}: {error.problem.detail}"})
        raise Refused(named, error.headers) from None


def _figures(reports: Sequence[Report], score: ScoreName = "channel", **others: dict[str, Any]) -> bytes:
    """Draw the figures of the reports; return them, and ``others`` by name, as JSON."""
    names = figures.shown([report.method for report in reports])
    by_name = {name: figures.of(name, reports, score) for name in names} | others
    return json.dumps(by_name, allow_nan=False).encode()
