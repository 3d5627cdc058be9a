"""One exchange with the service, without I/O: what is sent, what an answer means, when to try again and after how long.

A :data:`Flow` is a generator that yields the :class:`Call` it wants made, or the seconds it wants to pause, and is sent
what came of it. A client is whatever runs flows: one that blocks and one that awaits differ in nothing else.
"""

import math
import os
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from zooaudit import __version__
from zooaudit.contract import Problem
from zooaudit.errors import ApiError, ConnectionFailed, UnexpectedAnswer, api_error
from zooaudit.options import DEFAULT_URL

BACKOFF_S, BACKOFF_CAP_S = 0.1, 5.0
"""Pauses double from the first to the second."""

T = TypeVar("T")
Answer = TypeVar("Answer", bound=BaseModel)
Query = Mapping[str, str | int]


@dataclass(frozen=True)
class Call:
    """One HTTP request. ``timeout`` is in seconds."""

    method: str
    path: str
    timeout: float
    params: Query | None = None
    content: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Outcome = httpx.Response | httpx.RequestError | None
"""What comes of a call, and None of a pause."""
Flow = Generator[Call | float, Outcome, T]


class Exchange:
    """Where the service is and how it is spoken to: what a client is made with, checked.

    Raises ValueError for a ``base_url`` that is no address, or an ``api_key`` that no header can carry.
    """

    def __init__(self, base_url: str | None, api_key: str | None, timeout: float, retry_s: float) -> None:
        self.base_url = base_url or os.environ.get("ZOOAUDIT_URL") or DEFAULT_URL
        self.timeout, self.retry_s = timeout, retry_s
        self.url = _checked_url(self.base_url)
        self.headers = {"Accept": "application/json", "User-Agent": f"zooaudit/{__version__}"}
        if key := api_key or os.environ.get("ZOOAUDIT_API_KEY"):
            if not key.isascii() or not key.isprintable() or " " in key:
                raise ValueError("the API key has spaces or other characters that no header can carry")
            self.headers["Authorization"] = f"Bearer {key}"
        # A proxy from the environment cannot reach this machine's own loopback.
        self.trust_env = self.url.host not in ("localhost", "127.0.0.1", "::1")

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Query | None = None,
        content: str | None = None,
        headers: Mapping[str, str] | None = None,
        retry_s: float | None = None,
        timeout: float | None = None,
    ) -> Flow[httpx.Response]:
        """One request, repeated for up to ``retry_s`` seconds while nothing answers or the service is busy (429, 503);
        with backoff, and never sooner than Retry-After asks."""
        patience = self.retry_s if retry_s is None else retry_s
        limit = self.timeout if timeout is None else min(self.timeout, timeout)
        kind = {"Content-Type": "application/json"} if content is not None else {}
        call = Call(method, path, limit, params, content, {**kind, **(headers or {})})
        started, backoff = time.monotonic(), BACKOFF_S
        while True:
            error: ConnectionFailed | ApiError
            outcome = yield call
            if isinstance(outcome, httpx.Response):
                if outcome.status_code < 400:
                    return outcome
                error = api_error(_problem(outcome), retry_after_s(outcome))
                if outcome.status_code not in (429, 503):
                    raise error
            else:
                error = ConnectionFailed(f"Cannot reach {self.base_url}: {_cause(outcome, limit)}.")
            asked = error.retry_after_s if isinstance(error, ApiError) else None
            pause = max(backoff * random.uniform(0.5, 1.0), asked or 0.0)
            if time.monotonic() - started + pause > patience:
                raise error
            yield pause
            backoff = min(2 * backoff, BACKOFF_CAP_S)


def parse(kind: type[Answer], response: httpx.Response) -> Answer:
    """The contract's object in a response."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError:
        raise UnexpectedAnswer(
            f"{response.url} did not answer with a zooaudit {kind.__name__}: another service, or another version of it."
        ) from None


def retry_after_s(response: httpx.Response) -> float | None:
    """The Retry-After header in seconds from now; it may be a number or a date."""
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _problem(response: httpx.Response) -> Problem:
    """The problem in a response that is an error."""
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:  # something before the service, such as a proxy, answered
        detail = f"{response.url} answered {response.status_code} {response.reason_phrase}"
        return Problem(type="about:blank", title=response.reason_phrase, status=response.status_code, detail=detail)


def _cause(error: httpx.RequestError | None, timeout: float) -> str:
    """Why nothing answered, for a person."""
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {timeout:g} s"
    return str(error).rstrip(".") or type(error).__name__


def _checked_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{base_url!r} is not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{base_url!r} is not an http:// or https:// URL")
    return url
