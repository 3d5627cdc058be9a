"""Reports of audits that have succeeded: each by itself, several compared, and their figures."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from zooaudit.contract import Comparison, Figures, Report, ScoreName, Status
from zooaudit.views import figures

from service.comparison import MAX_AUDITS, MIN_AUDITS, asked, compare
from service.errors import Refused, refused
from service.queue import AuditQueue
from service.recovery import Recovery
from service.reports import ReportStore
from service.routes.audits import find, is_id
from service.routes.dependencies import QueueDep, RecoveryDep, StoreDep
from service.routes.responses import UNCHANGED, answers, cached

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
            description="ImageNet top-1 accuracies in per cent, separated by commas, one for each audit; an empty one "
            "means the zoo's own figure. timm states none.",
            json_schema_extra={"example": "79.3,,81"},
        ),
    ] = None,
) -> tuple[list[Report], list[float | None] | None]:
    """The reports that are to be compared, and the accuracies given with them."""
    identifiers, accuracies = asked(audits, top1)
    return [_brief(identifier, queue, store, recovery) for identifier in identifiers], accuracies


ComparedDep = Annotated[tuple[list[Report], list[float | None] | None], Depends(_compared)]


@router.get(
    "/audit/{identifier}/report",
    summary="A finished audit's report",
    responses={**answers(404, 409, s200=Report), 304: UNCHANGED},
)
def report(identifier: str, request: Request, queue: QueueDep, store: StoreDep, recovery: RecoveryDep) -> Response:
    """Comes from the report store alone, so it is there whatever has become of the queue."""
    content = store.read(identifier) if is_id(identifier) else None
    if content is None:
        raise _no_report(identifier, queue, recovery)
    return cached(request, content, {})


@router.get(
    "/audit/{identifier}/figures",
    summary="A finished audit's figures, for Plotly",
    responses={**answers(404, 409, 422, s200=Figures), 304: UNCHANGED},
)
def audit_figures(
    identifier: str, request: Request, queue: QueueDep, store: StoreDep, recovery: RecoveryDep
) -> Response:
    """Its scores by part, by shift and over the depth, each a figure as Plotly takes it."""
    return cached(request, _figures([_brief(identifier, queue, store, recovery)]), {})


@router.get(
    "/comparison",
    summary="Compare audits, and their scores with accuracy",
    responses={**answers(404, 409, 422, s200=Comparison), 304: UNCHANGED},
)
def comparison(request: Request, compared: ComparedDep) -> Response:
    """Only audits of one method on the same images compare; others are refused, saying what differs."""
    return cached(request, compare(*compared).model_dump_json().encode(), {})


@router.get(
    "/comparison/figures",
    summary="The figures of a comparison, for Plotly",
    responses={**answers(404, 409, 422, s200=Figures), 304: UNCHANGED},
)
def comparison_figures(
    request: Request,
    compared: ComparedDep,
    score: Annotated[Literal["channel", "layer"], Query(description="Drawn by shift and over the depth.")] = "channel",
) -> Response:
    """The audits' scores by part, by shift, over the depth and against accuracy."""
    accuracy = {"accuracy": figures.accuracy(compare(*compared))}
    return cached(request, _figures(compared[0], score, **accuracy), {})


def _no_report(identifier: str, queue: AuditQueue, recovery: Recovery) -> Refused:
    """Why an audit has no report."""
    audit = find(identifier, queue, recovery)
    if audit.status is not Status.SUCCEEDED:
        return refused("not-ready", f"The audit is {audit.status}; only a succeeded has one.")
    return refused("report-lost", "The store has lost this report; ask for the audit again.")


def _brief(identifier: str, queue: AuditQueue, store: ReportStore, recovery: Recovery) -> Report:
    """The report without its blocks' rows by transform; where there is none, the refusal names the audit."""
    try:
        if is_id(identifier):
            return store.brief(identifier)
    except LookupError:
        pass
    try:
        raise _no_report(identifier, queue, recovery)
    except Refused as error:
        told = error.problem.model_copy(update={"detail": f"{identifier[:64]}: {error.problem.detail}"})
        raise Refused(told, error.headers) from None


def _figures(reports: Sequence[Report], score: ScoreName = "channel", **more: dict[str, Any]) -> bytes:
    drawn = {kind: figures.of(kind, reports, score) for kind in ("parts", "shifts", "depth")} | more
    return json.dumps(drawn, allow_nan=False).encode()
