"""Responses of endpoints, and how the OpenAPI document describes them."""

import hashlib
from types import UnionType
from typing import Any

from fastapi import Request, Response
from zooaudit.contract import Audit, Contract, Links, Problem

POLL_AFTER_S = 1

STATUS_DESCRIPTIONS = {
    200: "What was asked for",
    201: "The report is in the store",
    202: "Accepted; poll it",
    400: "The body is not JSON",
    401: "An API key is needed; for reading, only where the operator says so",
    403: "The key may not do this, the operator hides images, or without keys the request is not to a loopback address",
    404: "There is no such thing",
    408: "The request took too long to arrive",
    409: "Not possible in the audit's present status",
    413: "The body is too large",
    415: "The content type of the body is not JSON",
    422: "The request is not valid; errors and suggestions say what would be",
    429: "Too many are unfinished already; Retry-After says when to try again",
    500: "It could not be made: the service or a worker failed",
    503: "Redis, the report store or a worker does not answer; Retry-After says when to try again",
    507: "It takes more memory than a worker has for it",
}
NOT_MODIFIED = {"description": "Nothing has changed since the ETag in If-None-Match"}


def documented(*problem_statuses: int, **models: type[Contract] | UnionType) -> dict[int | str, dict[str, Any]]:
    """Build FastAPI's ``responses`` of an endpoint. Give problems as numbers, other responses as ``s200=Audit``."""
    responses: dict[int | str, dict[str, Any]] = {
        int(name[1:]): {"model": model, "description": STATUS_DESCRIPTIONS[int(name[1:])]}
        for name, model in models.items()
    }
    for status in (*problem_statuses, 401, 403, 408, 503):
        responses[status] = {"model": Problem, "description": STATUS_DESCRIPTIONS[status]}
    return responses


def takes(record: type[Contract]) -> dict[str, Any]:
    """Build FastAPI's ``openapi_extra`` of an endpoint that reads its body itself, as a ``record``.

    Records within it are those that the document has anyway.
    """
    schema = record.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"content": {"application/json": {"schema": schema}}, "required": True}}


def json_response(body: Contract, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body.model_dump_json(), status, headers, "application/json")


def etag_of(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def etag_response(
    request: Request, body: bytes, headers: dict[str, str] | None = None, encoding: str | None = None
) -> Response:
    """Answer with the JSON ``body`` and its ETag, or with 304 when the client already has this body. ``encoding`` is
    how the body is encoded, if it is."""
    tag = etag_of(body)
    headers = {**(headers or {}), "ETag": tag, "Cache-Control": "no-cache"}
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or tag in (item.strip().removeprefix("W/") for item in known.split(",")):
        return Response(status_code=304, headers=headers)
    encoded = {"Content-Encoding": encoding} if encoding else {}
    return Response(body, 200, headers | encoded, "application/json")


def placed(audit: Audit, request: Request) -> Audit:
    """Give the audit's links the path below which a proxy serves the API."""
    prefix = request.scope["root_path"]
    links = Links(self=prefix + audit.links.self, report=prefix + audit.links.report)
    return audit.model_copy(update={"links": links}) if prefix else audit


def retry_after(audit: Audit) -> dict[str, str]:
    """Build the header that tells a client when to ask for the audit again; none once it has ended."""
    return {} if audit.status.final else {"Retry-After": str(POLL_AFTER_S)}
