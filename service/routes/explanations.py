"""Explanations of audits that succeeded: the maps of a block for an image, and the least equivariant images."""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ValidationError
from zooaudit.contract import (
    Explanation,
    ExplanationQuestion,
    ExplanationRequest,
    LeastEquivariant,
    LeastEquivariantRequest,
    PendingExplanation,
    Report,
    numbers_text,
)

from service.errors import invalid, refused
from service.routes.dependencies import NEEDS_KEY, ExplanationsDep, QueueDep, RecoveryDep, StoreDep, checked_body
from service.routes.reports import brief_report
from service.routes.responses import NOT_MODIFIED, documented, etag_response, json_response, takes

router = APIRouter()

POLL_AFTER_S = 1
NAMED_BLOCKS = 40
"""So many blocks a refusal names at most."""
SYNTHETIC = "synthetic"
"""The built-in data set, whose images are nobody's."""
PROBLEMS = (403, 404, 409, 422, 429, 500, 507)
Record = TypeVar("Record", bound=BaseModel)


def _maps_query(
    block: Annotated[str, Query(min_length=1, max_length=256)],
    image: Annotated[str, Query(min_length=1, max_length=1024, description="Its place, from 0, or relative path.")],
    shift_px: int | None = None,
    angle_deg: int | None = None,
    axis: str | None = None,
    warp: str | None = None,
    amount: float | None = None,
) -> ExplanationRequest:
    transform = {"shift_px": shift_px, "angle_deg": angle_deg, "axis": axis, "warp": warp, "amount": amount}
    return _checked(ExplanationRequest, block=block, image=image, **transform)


def _least_query(
    shift_px: int | None = None,
    angle_deg: int | None = None,
    axis: str | None = None,
    warp: str | None = None,
    amount: float | None = None,
) -> LeastEquivariantRequest:
    transform = {"shift_px": shift_px, "angle_deg": angle_deg, "axis": axis, "warp": warp, "amount": amount}
    return _checked(LeastEquivariantRequest, **transform)


def _checked(record: type[Record], **fields: str | float | None) -> Record:
    try:
        return record.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False), "request") from None


MapsBody = Annotated[ExplanationRequest, Depends(checked_body(ExplanationRequest))]
LeastBody = Annotated[LeastEquivariantRequest, Depends(checked_body(LeastEquivariantRequest))]
MapsQuery = Annotated[ExplanationRequest, Depends(_maps_query)]
LeastQuery = Annotated[LeastEquivariantRequest, Depends(_least_query)]


def _report(identifier: str, queue: QueueDep, store: StoreDep, recovery: RecoveryDep) -> Report:
    return brief_report(identifier, queue, store, recovery)


ReportDep = Annotated[Report, Depends(_report)]


@router.post(
    "/audit/{identifier}/explanation",
    status_code=202,
    summary="Ask for the maps of one block for one image",
    dependencies=[NEEDS_KEY],
    responses=documented(400, 413, 415, *PROBLEMS, s200=Explanation, s202=PendingExplanation),
    openapi_extra=takes(ExplanationRequest),
)
def ask_maps(request: Request, report: ReportDep, asked: MapsBody, explanations: ExplanationsDep) -> Response:
    """200 when it is there already, else 202: poll the address with GET until it is."""
    return _response(request, explanations.ask(_maps_question(request, report, asked)))


@router.get(
    "/audit/{identifier}/explanation",
    summary="The maps of one block for one image",
    responses={**documented(*PROBLEMS, s200=Explanation, s202=PendingExplanation), 304: NOT_MODIFIED},
)
def look_at_maps(request: Request, report: ReportDep, asked: MapsQuery, explanations: ExplanationsDep) -> Response:
    """202 while a worker makes it, 404 until somebody has asked for it. If it cannot be made, the answer says why."""
    return _response(request, explanations.look(_maps_question(request, report, asked)))


@router.post(
    "/audit/{identifier}/least-equivariant",
    status_code=202,
    summary="Ask for the images on which the model is least equivariant",
    dependencies=[NEEDS_KEY],
    responses=documented(400, 413, 415, *PROBLEMS, s200=LeastEquivariant, s202=PendingExplanation),
    openapi_extra=takes(LeastEquivariantRequest),
)
def ask_least(request: Request, report: ReportDep, asked: LeastBody, explanations: ExplanationsDep) -> Response:
    """200 when it is there already, else 202: poll the address with GET until it is."""
    return _response(request, explanations.ask(_least_question(request, report, asked)))


@router.get(
    "/audit/{identifier}/least-equivariant",
    summary="The images on which the model is least equivariant",
    responses={**documented(*PROBLEMS, s200=LeastEquivariant, s202=PendingExplanation), 304: NOT_MODIFIED},
)
def look_at_least(request: Request, report: ReportDep, asked: LeastQuery, explanations: ExplanationsDep) -> Response:
    """202 while a worker looks for them, 404 until somebody has asked for them. If it cannot, the answer says why."""
    return _response(request, explanations.look(_least_question(request, report, asked)))


def _response(request: Request, answer: bytes | PendingExplanation) -> Response:
    if isinstance(answer, PendingExplanation):
        return json_response(answer, 202, {"Retry-After": str(POLL_AFTER_S)})
    if request.method == "POST":
        return Response(answer, media_type="application/json")
    return etag_response(request, answer)


def _maps_question(request: Request, report: Report, asked: ExplanationRequest) -> ExplanationQuestion:
    """Return the question for a worker. Refuses what the report shows to be impossible, and images that are hidden."""
    _check_transform(report, asked)
    if not _shows_images(request, report):
        detail = (
            "The operator shows strangers no images of this data set, and maps let one recognise them. Without "
            "pictures, /least-equivariant tells the images apart; the operator may set ZOOAUDIT_SHOW_IMAGES."
        )
        raise refused("images-hidden", detail)
    blocks = [block.name for block in report.blocks if block.part not in ("Pool", "Final")]
    if asked.block not in blocks:
        known = ", ".join(blocks[:NAMED_BLOCKS]) + (", ..." if len(blocks) > NAMED_BLOCKS else "")
        raise refused("not-explainable", f"The report has no block {asked.block!r} with maps; take one of: {known}.")
    places = report.images.count + len(report.images.skipped)
    if isinstance(asked.image, int) and asked.image >= places:
        raise refused("not-explainable", f"The audit has measured {places} images; give a place below that.")
    return ExplanationQuestion(audit=report.id, maps=asked)


def _least_question(request: Request, report: Report, asked: LeastEquivariantRequest) -> ExplanationQuestion:
    _check_transform(report, asked)
    return ExplanationQuestion(audit=report.id, least=asked, pictures=_shows_images(request, report))


def _check_transform(report: Report, asked: LeastEquivariantRequest) -> None:
    method = report.method
    if (
        asked.shift_px not in (None, *method.translations_px)
        or asked.angle_deg not in (None, *method.rotations_deg)
        or asked.axis not in (None, *method.reflections)
        or asked.warp not in (None, *(warps.kind for warps in method.warps if asked.amount in warps.amounts))
    ):
        known = [f"{shift} px" for shift in method.translations_px] + [f"{angle}°" for angle in method.rotations_deg]
        known += method.reflections
        known += [f"warp {warps.kind} {numbers_text(warps.amounts)}" for warps in method.warps]
        raise refused("not-explainable", f"The audit has not measured {asked.transform}; it has {', '.join(known)}.")


def _shows_images(request: Request, report: Report) -> bool:
    return report.images.dataset == SYNTHETIC or request.app.state.settings.shows_images
