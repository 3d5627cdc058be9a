"""Every error leaves the service as an RFC 9457 problem.

Exception
├── Refused              the request cannot be answered; carries the problem (4xx) and headers
├── StoreUnavailable     the report store does not answer (503)
└── redis.RedisError     Redis does not answer (503)
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from zooaudit.contract import PROBLEM_TYPES, FieldError, Problem, problem

log = logging.getLogger("zooaudit.service")

RETRY_AFTER_S = 5
MEDIA_TYPE = "application/problem+json"


class Refused(Exception):
    """Ends a request with ``problem``."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers


class StoreUnavailable(Exception):
    """The report store could not be read; the message says why, for the log."""


def refused(slug: str, detail: str, **extensions: Any) -> Refused:
    """A :class:`Refused` with a problem of this service's own type ``slug``."""
    return Refused(problem(slug, detail, **extensions))


def unavailable(detail: str) -> Refused:
    """503, with the advice to try again."""
    return Refused(problem("unavailable", detail), headers={"Retry-After": str(RETRY_AFTER_S)})


def invalid(errors: Iterable[Mapping[str, Any]], where: str) -> Refused:
    """422 from pydantic's error list, one entry for each field."""
    fields = tuple(FieldError(field=_field(error["loc"]) or where, message=str(error["msg"])) for error in errors)
    detail = "; ".join(f"{error.field}: {error.message}" for error in fields[:5])
    return refused("invalid-request", detail, errors=fields)


def _field(location: Sequence[int | str]) -> str:
    return ".".join(str(step) for step in location)


def problem_response(answer: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(answer.model_dump_json(), answer.status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Makes every way of failing answer with a problem."""

    async def on_refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return problem_response(error.problem, error.headers)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # The first step of the location is "query" or "path": no news to who wrote the request.
        errors = [{"loc": item["loc"][1:], "msg": item["msg"]} for item in error.errors()]
        return await on_refused(request, invalid(errors, "request"))

    async def on_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        phrase = HTTPStatus(error.status_code).phrase
        detail = error.detail if error.detail != phrase else DETAILS.get(error.status_code, phrase)
        slug = phrase.lower().replace(" ", "-")
        # What no type is listed for says no more than its status (RFC 9457, section 4.2.1).
        bare = Problem(type="about:blank", title=phrase, status=error.status_code, detail=detail)
        return problem_response(problem(slug, detail) if slug in PROBLEM_TYPES else bare, error.headers)

    async def on_redis(request: Request, error: Exception) -> Response:
        log.warning("Redis does not answer: %s", error)
        return await on_refused(request, unavailable("The queue does not answer; try again shortly."))

    async def on_store(request: Request, error: Exception) -> Response:
        log.warning("The report store does not answer: %s", error)
        return await on_refused(request, unavailable("The report store does not answer; try again shortly."))

    async def on_bug(_: Request, error: Exception) -> Response:
        log.error("unexpected error", exc_info=error)
        return problem_response(problem("internal-error", "The service failed; see its log."))

    app.add_exception_handler(Refused, on_refused)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RedisError, on_redis)
    app.add_exception_handler(StoreUnavailable, on_store)
    app.add_exception_handler(Exception, on_bug)


DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not take that method; the Allow header lists those it takes.",
}
