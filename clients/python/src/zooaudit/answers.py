"""Reading the service's answers: the contract's objects, problems, Retry-After."""

import time
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from zooaudit.contract import Problem
from zooaudit.errors import UnexpectedAnswer

Answer = TypeVar("Answer", bound=BaseModel)


def parse(kind: type[Answer], response: httpx.Response) -> Answer:
    """The contract's object in a response."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError:
        raise UnexpectedAnswer(
            f"{response.url} did not answer with a zooaudit {kind.__name__}: another service, or another version of it."
        ) from None


def problem_of(response: httpx.Response) -> Problem:
    """The problem in a response that is an error."""
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:  # something before the service, such as a proxy, answered
        detail = f"{response.url} answered {response.status_code} {response.reason_phrase}"
        return Problem(type="about:blank", title=response.reason_phrase, status=response.status_code, detail=detail)


def retry_after_s(response: httpx.Response) -> float | None:
    """The Retry-After header in seconds from now; it may be a number or a date."""
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def cause(error: httpx.TransportError, timeout: float) -> str:
    """Why nothing answered, for a person."""
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {timeout:g} s"
    return str(error).rstrip(".") or type(error).__name__
