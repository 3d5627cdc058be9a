"""What endpoints answer, and how that is documented."""

import hashlib
from typing import Any

from fastapi import Request, Response
from zooaudit.contract import Audit, Contract, Problem

POLL_AFTER_S = 1

DESCRIPTIONS = {
    200: "What was asked for",
    202: "Accepted; poll the audit",
    400: "The body is not JSON",
    401: "An API key is needed",
    403: "Without API keys the service answers to loopback hosts only",
    404: "There is no such thing",
    409: "Not possible in the audit's present status",
    413: "The body is too large",
    415: "The body does not say that it is JSON",
    422: "The request is not valid; errors and suggestions say what would be",
    503: "Redis, the report store or what a worker has to say is not there; Retry-After says when to try again",
}
UNCHANGED = {"description": "As the ETag in If-None-Match says"}


def answers(*problems: int, **models: type[Contract]) -> dict[int | str, dict[str, Any]]:
    """Documents an endpoint's statuses: problems by number, others as ``s200=Audit``."""
    documented: dict[int | str, dict[str, Any]] = {
        int(name[1:]): {"model": model, "description": DESCRIPTIONS[int(name[1:])]} for name, model in models.items()
    }
    for status in (*problems, 403, 503):
        documented[status] = {"model": Problem, "description": DESCRIPTIONS[status]}
    return documented


def json_answer(body: Contract, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body.model_dump_json(), status, headers, "application/json")


def cached(request: Request, body: bytes, headers: dict[str, str]) -> Response:
    """``body`` with its ETag, or 304 when that is what the client has already."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**headers, "ETag": tag, "Cache-Control": "no-cache"}
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or tag in (item.strip().removeprefix("W/") for item in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, "application/json")


def poll(audit: Audit) -> dict[str, str]:
    return {} if audit.status.final else {"Retry-After": str(POLL_AFTER_S)}
