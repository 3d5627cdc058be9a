"""Many audits asked for at once."""

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import TypeAdapter, ValidationError
from zooaudit.contract import MAX_BATCH, AuditRequest, Batch, BatchAnswer, BatchAnswers

from service.errors import Refused, invalid, refused
from service.routes.dependencies import NEEDS_KEY, read_as
from service.routes.responses import documented, json_response, takes
from service.routes.submission import Submission
from service.security import batch_body

router = APIRouter()

_Bodies = TypeAdapter(dict[str, list[Any]])


async def _requests(body: Annotated[bytes, Depends(batch_body)]) -> list[bytes]:
    """Split a batch into the bodies of its requests. Refuses what is no batch with 400 or 422."""
    try:
        batch = _Bodies.validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise refused("malformed-json", errors[0]["msg"]) from None
        raise invalid([{"loc": ("audits",), "msg": "a list of requests is needed"}], "batch") from None
    if list(batch) != ["audits"]:
        raise invalid([{"loc": ("audits",), "msg": "this, a list of requests, and nothing else is needed"}], "batch")
    if not 1 <= len(batch["audits"]) <= MAX_BATCH:
        counted = f"1 to {MAX_BATCH} audits can be asked for at once, not {len(batch['audits'])}"
        raise invalid([{"loc": ("audits",), "msg": counted}], "batch")
    return [json.dumps(one).encode() for one in batch["audits"]]


@router.post(
    "/audits",
    summary="Ask for many audits",
    dependencies=[NEEDS_KEY],
    responses=documented(400, 413, 415, 422, s200=BatchAnswers),
    openapi_extra=takes(Batch),
)
def submit_batch(
    requests: Annotated[list[bytes], Depends(_requests)],
    submission: Annotated[Submission, Depends()],
    dry_run: Annotated[bool, Query(description="Only tell what each audit would cost; accept nothing.")] = False,
) -> Response:
    """Each request is answered as `POST /audit` would answer it, in order: what can be accepted is, whatever else is
    refused. The same batch again asks for nothing new."""

    def submitted(request: AuditRequest) -> BatchAnswer:
        if dry_run:
            return BatchAnswer(status=200, cost=submission.cost_of(request))
        audit, enqueued = submission.submit(request)
        return BatchAnswer(status=202 if enqueued else 200, audit=audit)

    return json_response(BatchAnswers(answers=tuple(_answer(body, submitted) for body in requests)))


def _answer(body: bytes, submitted: Callable[[AuditRequest], BatchAnswer]) -> BatchAnswer:
    try:
        return submitted(read_as(AuditRequest, body))
    except Refused as error:
        if error.problem.status >= 500:  # it concerns all of them, and the batch can be sent again
            raise
        return BatchAnswer(status=error.problem.status, problem=error.problem)
