"""One exchange with the service, without I/O: what to send, what an answer means, when to try again.

A :data:`Flow` is a generator: it yields an :class:`HttpRequest` to make, or the seconds to pause, and receives the
:data:`Reply`. A client is whatever runs flows; the blocking and the asyncio client differ in nothing else.
"""

import math
import os
import random
import re
import ssl
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from zooaudit.connection import Http, Transport, checked_url, open_client, proxy_variable, without_password
from zooaudit.contract import Problem
from zooaudit.errors import ApiError, ConnectionFailed, UnexpectedAnswer, api_error
from zooaudit.options import DEFAULT_URL
from zooaudit.version import __version__

FOREIGN = "about:blank"
"""The type of a problem that something before the service answered, such as a proxy."""
BACKOFF_S, BACKOFF_CAP_S = 0.1, 5.0
"""The first pause between two attempts, in seconds, and the longest; in between they double."""

T = TypeVar("T")
Record = TypeVar("Record", bound=BaseModel)
Query = Mapping[str, str | float]


@dataclass(frozen=True)
class HttpRequest:
    """A request for a client to make. ``timeout`` is in seconds."""

    method: str
    path: str
    timeout: float
    params: Query | None = None
    content: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Reply = httpx.Response | httpx.RequestError | None
"""What a flow receives: the response to its request, or why there is none; None after a pause."""
Flow = Generator[HttpRequest | float, Reply, T]


class Exchange:
    """The service's address, and the settings of all requests to it. The arguments are those of a client.

    Raises ValueError for a ``base_url`` that is no address, or an ``api_key`` that no header can carry.
    """

    def __init__(self, base_url: str | None, api_key: str | None, timeout: float, retry_s: float) -> None:
        self.url = checked_url((base_url or os.environ.get("ZOOAUDIT_URL") or DEFAULT_URL).strip())
        self.base_url = without_password(self.url)
        self.timeout, self.retry_s = timeout, retry_s
        self.headers = {"Accept": "application/json", "User-Agent": f"zooaudit/{__version__}"}
        if key := api_key or os.environ.get("ZOOAUDIT_API_KEY"):
            if not key.isascii() or not key.isprintable() or " " in key:
                raise ValueError("The API key has spaces or other characters that no header can carry")
            self.headers["Authorization"] = f"Bearer {key}"
        variable = proxy_variable(self.url)
        self._way = f" through the proxy of {variable}" if variable else ""

    def open(self, make: Callable[..., Http], transport: Transport | None) -> Http:
        """Make the httpx client that sends the requests. Raises ValueError for a proxy that cannot be used."""
        return open_client(make, self.url, transport, headers=self.headers)

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
        """Send one request. Repeat it for up to ``retry_s`` seconds while nothing answers or the service is busy (429,
        503), after pauses that grow and are never shorter than Retry-After asks."""
        patience = self.retry_s if retry_s is None else retry_s
        limit = self.timeout if timeout is None else min(self.timeout, timeout)
        content_type = {"Content-Type": "application/json"} if content is not None else {}
        request = HttpRequest(method, path, limit, params, content, {**content_type, **(headers or {})})
        started, backoff = time.monotonic(), BACKOFF_S
        while True:
            error: ConnectionFailed | ApiError
            reply = yield request
            if isinstance(reply, httpx.Response):
                if reply.has_redirect_location:
                    target = reply.headers["Location"]
                    raise UnexpectedAnswer(f"{self.base_url} sends its callers to {target}: give that address instead.")
                if reply.status_code < 400:
                    return reply
                problem = self._problem(reply)
                if (reply.status_code, problem.type) == (HTTPStatus.NOT_FOUND, FOREIGN):
                    raise UnexpectedAnswer(f"{problem.detail}: there is no zooaudit service.")
                error = api_error(problem, retry_after_s(reply))
                if reply.status_code not in (429, 503):
                    raise error
            else:
                if reason := _tls_failure(reply):
                    raise UnexpectedAnswer(f"No secure connection to {self.base_url}{self._way}: {reason}.")
                error = ConnectionFailed(f"Cannot reach {self.base_url}{self._way}: {_cause(reply, limit)}.")
            retry_after = error.retry_after_s if isinstance(error, ApiError) else None
            pause = max(backoff * random.uniform(0.5, 1.0), retry_after or 0.0)
            if time.monotonic() - started + pause > patience:
                raise error
            yield pause
            backoff = min(2 * backoff, BACKOFF_CAP_S)

    def _problem(self, response: httpx.Response) -> Problem:
        """Read the problem in a response with an error status."""
        try:
            return Problem.model_validate_json(response.content, extra="ignore")
        except ValidationError:  # something before the service, such as a proxy, answered
            title = response.reason_phrase
            detail = f"{without_password(response.url)} answered {response.status_code} {title}{self._way}"
            return Problem(type=FOREIGN, title=title, status=response.status_code, detail=detail)


def parse(record: type[Record], response: httpx.Response) -> Record:
    """Read a response as a record of that type. A newer service may answer with more fields, which are left out."""
    try:
        return record.model_validate_json(response.content, extra="ignore")
    except ValidationError:
        raise UnexpectedAnswer(
            f"{without_password(response.url)} did not answer with a zooaudit {record.__name__}: "
            "another service, or another version of it."
        ) from None


def retry_after_s(response: httpx.Response) -> float | None:
    """Read the Retry-After header, a number or a date, as seconds from now."""
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


def _cause(error: httpx.RequestError | None, timeout: float) -> str:
    """Say why nothing answered."""
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {timeout:g} s"
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)).rstrip(".") or type(error).__name__


def _tls_failure(error: BaseException | None) -> str | None:
    """Say why a connection is not secure, or None if that is not what went wrong."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{error.verify_message}; SSL_CERT_FILE may name a file with the certificate to trust"
    if isinstance(error, ssl.SSLError):
        return (
            f"{(error.reason or 'TLS failed').replace('_', ' ').lower()}; a service without TLS has an http:// address"
        )
    return None
