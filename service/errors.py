"""Every error leaves the service as an RFC 9457 problem.

Exception
├── Refused              the request cannot be answered; carries the problem (4xx, or 503) and headers
├── StoreUnavailable     the report store cannot be read or written (503)
└── redis.RedisError     Redis does not answer, or refuses the command (503)
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from zooaudit.contract import PROBLEM_TYPES, FieldError, Problem, problem, refusal, said

from service.tallies import STORE_ERRORS, count

log = logging.getLogger("zooaudit.service")

TRY_AGAIN = {"Retry-After": "5"}
MEDIA_TYPE = "application/problem+json"
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
HTTP_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not take that method; the Allow header lists those it takes.",
}


class Refused(Exception):
    """Ends a request with ``problem`` as its answer."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers


class StoreUnavailable(Exception):
    """The report store cannot be read or written now; the message says why, without paths or addresses."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        count(STORE_ERRORS)


def refused(slug: str, detail: str, **extensions: Any) -> Refused:
    """Build a :class:`Refused` with a problem of the type ``slug``."""
    return Refused(problem(slug, detail, **extensions))


def unavailable(detail: str) -> Refused:
    """Build a 503 that tells the client when to try again."""
    return Refused(problem("unavailable", detail), headers=TRY_AGAIN)


def invalid(errors: Iterable[Mapping[str, Any]], whole: str) -> Refused:
    """Build a 422 from pydantic's list of errors. An error of no single field gets the field name ``whole``."""
    fields = tuple(FieldError(field=_field(error["loc"]) or whole, message=said(error)) for error in errors)
    detail = "; ".join(f"{error.field}: {error.message}" for error in fields[:5])
    return refused("invalid-request", detail, errors=fields)


def _field(location: Sequence[int | str]) -> str:
    return ".".join(str(step) for step in location)


def problem_response(body: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body.model_dump_json(), body.status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error with a problem."""
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RedisError, _on_redis)
    app.add_exception_handler(StoreUnavailable, _on_store)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_bug)


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem_response(error.problem, error.headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # The first step of a location is "query" or "path", which tells the client nothing.
    errors = [{**item, "loc": item["loc"][1:]} for item in error.errors()]
    return await _on_refused(request, invalid(errors, "request"))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = error.headers
    if error.status_code == 405:
        headers = {"Allow": ", ".join(_allowed_methods(request))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail if error.detail != phrase else HTTP_DETAILS.get(error.status_code, phrase)
    slug = phrase.lower().replace(" ", "-")
    # A status that is no registered type says no more than its number (RFC 9457, section 4.2.1).
    bare = Problem(type="about:blank", title=phrase, status=error.status_code, detail=detail)
    return problem_response(problem(slug, detail) if slug in PROBLEM_TYPES else bare, headers)


def _allowed_methods(request: Request) -> list[str]:
    """Find all methods that the request's path takes; the router names those of one route only."""
    routes = request.app.routes

    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    methods = [method for method in METHODS if takes(method)]
    return sorted([*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])])


async def _on_redis(request: Request, error: Exception) -> Response:
    log.warning("Redis: %s", error)
    reason = refusal(error)
    state = f"refuses commands now: {reason}" if reason else "does not answer"
    return await _on_refused(request, unavailable(f"The queue {state}; try again shortly."))


async def _on_store(_: Request, error: Exception) -> Response:
    log.warning("The report store: %s", error.__cause__ or error)
    detail = f"The report store cannot be used now: {error}. Try again shortly."
    return problem_response(problem("store-unavailable", detail), TRY_AGAIN)


async def _on_disconnect(_: Request, error: Exception) -> Response:
    log.debug("a client has gone away before its request was complete: %s", type(error).__name__)
    return Response(status_code=400)  # nobody reads it


async def _on_bug(_: Request, error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return problem_response(problem("internal-error", "The service failed; see its log."))
