"""Whether measures agree, over the depth of one audit and over the models of several."""

import json

from fastapi import APIRouter, Request, Response
from zooaudit.contract import MeasureAgreement, MeasureFigures
from zooaudit.views import figures

from service.routes.dependencies import QueueDep, RecoveryDep, StoreDep
from service.routes.reports import ComparedDep, brief_report
from service.routes.responses import NOT_MODIFIED, documented, etag_response
from service.second_opinion import over_blocks, over_models

router = APIRouter()


@router.get(
    "/audit/{identifier}/second-opinion",
    summary="Whether measures agree over the depth of a finished audit",
    responses={**documented(404, 409, s200=MeasureAgreement), 304: NOT_MODIFIED},
)
def second_opinion(
    identifier: str, request: Request, queue: QueueDep, store: StoreDep, recovery: RecoveryDep
) -> Response:
    """Spearman's rho of any two of its measures, over its blocks from Early to Late."""
    agreement = over_blocks(brief_report(identifier, queue, store, recovery))
    return etag_response(request, agreement.model_dump_json().encode())


@router.get(
    "/audit/{identifier}/second-opinion/figures",
    summary="The figure of the same, for Plotly",
    responses={**documented(404, 409, s200=MeasureFigures), 304: NOT_MODIFIED},
)
def second_opinion_figures(
    identifier: str, request: Request, queue: QueueDep, store: StoreDep, recovery: RecoveryDep
) -> Response:
    """The matrix of the correlations."""
    return etag_response(request, _figures(over_blocks(brief_report(identifier, queue, store, recovery))))


@router.get(
    "/comparison/second-opinion",
    summary="Whether measures agree over models",
    responses={**documented(404, 409, 422, s200=MeasureAgreement), 304: NOT_MODIFIED},
)
def compared_second_opinion(request: Request, compared: ComparedDep) -> Response:
    """Spearman's rho of any two measures over the models, ImageNet top-1 among them: through the whole depth, and by
    part."""
    _, comparison = compared
    return etag_response(request, over_models(comparison).model_dump_json().encode())


@router.get(
    "/comparison/second-opinion/figures",
    summary="The figure of the same, for Plotly",
    responses={**documented(404, 409, 422, s200=MeasureFigures), 304: NOT_MODIFIED},
)
def compared_second_opinion_figures(request: Request, compared: ComparedDep) -> Response:
    """The matrices of the correlations, one below the other."""
    _, comparison = compared
    return etag_response(request, _figures(over_models(comparison)))


def _figures(agreement: MeasureAgreement) -> bytes:
    return json.dumps({"measures": figures.measures(agreement)}, allow_nan=False).encode()
