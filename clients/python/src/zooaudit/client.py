"""A client of the audit service::

with AuditClient("http://127.0.0.1:8000") as client:
    audit = client.submit("timm/resnet18.a1_in1k", weights="untrained", dataset="synthetic", num_images=64)
    audit = client.wait(audit.id, timeout=600)
    report = client.report(audit.id)
    print(report.parts["Early"].rotation.channel)
"""

import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Unpack
from urllib.parse import quote

import httpx

from zooaudit import __version__
from zooaudit.answers import cause, parse, problem_of, retry_after_s
from zooaudit.contract import (
    Audit,
    AuditList,
    AuditRequest,
    CatalogueEntry,
    Health,
    ModelList,
    Report,
    Status,
)
from zooaudit.errors import (
    ApiError,
    AuditCanceled,
    AuditFailed,
    Conflict,
    ConnectionFailed,
    NotFound,
    Unavailable,
    WaitTimeout,
    api_error,
)
from zooaudit.options import Options, request_from
from zooaudit.replay import next_repetition

DEFAULT_URL = "http://127.0.0.1:8000"
POLL_S = 1.0
"""Seconds between two polls where the service does not say."""
OUTAGE_S = 60.0
"""How long :meth:`AuditClient.wait` bears a service that does not answer, in seconds."""
BACKOFF_S, BACKOFF_CAP_S = 0.1, 5.0


class AuditClient:
    """Talks to one audit service. Usable as a context manager; may be shared by threads.

    ``base_url``   else the environment's ZOOAUDIT_URL, else http://127.0.0.1:8000
    ``api_key``    else the environment's ZOOAUDIT_API_KEY, else none
    ``timeout``    seconds for one request
    ``retry_s``    seconds for which connection errors, 429 and 503 are tried again, with backoff or as Retry-After
                   asks. Every request may be repeated: an audit's id is made from its request.
    ``transport``  an httpx transport to use instead of the network
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 10.0,
        retry_s: float = 5.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url or os.environ.get("ZOOAUDIT_URL") or DEFAULT_URL
        self._timeout, self._retry_s = timeout, retry_s
        url = _checked_url(self.base_url)
        key = api_key or os.environ.get("ZOOAUDIT_API_KEY")
        headers = {"Accept": "application/json", "User-Agent": f"zooaudit/{__version__}"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        # A proxy from the environment cannot reach this machine's own loopback.
        local = url.host in ("localhost", "127.0.0.1", "::1")
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=timeout, transport=transport, trust_env=not local
        )

    def __enter__(self) -> "AuditClient":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"AuditClient({self.base_url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(self, model: str | AuditRequest, **options: Unpack[Options]) -> Audit:
        """Ask for an audit.

        The same request gives the audit that exists; one that failed or was canceled runs again.
        """
        request = model if isinstance(model, AuditRequest) else request_from(model, options)
        return parse(Audit, self._send("POST", "/audit", content=request.model_dump_json()))

    def repeat(self, report: Report) -> Audit:
        """Ask for the audit of ``report`` once more: measured again, under the next repetition not yet taken."""
        for identifier, request in next_repetition(report):
            try:
                self.status(identifier)
            except NotFound:
                return self.submit(request)
        raise ValueError("this audit has been repeated as often as a request can say")

    def status(self, audit_id: str) -> Audit:
        """The audit as it is now."""
        return parse(Audit, self._send("GET", _audit_path(audit_id)))

    def report(self, audit_id: str) -> Report:
        """The report of an audit that succeeded.

        Raises :class:`AuditFailed` or :class:`AuditCanceled` when there will be none, :class:`Conflict` when not yet.
        """
        try:
            return parse(Report, self._send("GET", _audit_path(audit_id) + "/report"))
        except Conflict:
            audit = self.status(audit_id)
            if audit.status is Status.FAILED:
                raise AuditFailed(audit) from None
            if audit.status is Status.CANCELED:
                raise AuditCanceled(audit) from None
            raise

    def cancel(self, audit_id: str) -> Audit:
        """Cancel a queued or running audit."""
        return parse(Audit, self._send("DELETE", _audit_path(audit_id)))

    def audits(
        self, *, status: Status | str | None = None, model: str | None = None, limit: int | None = None
    ) -> Iterator[Audit]:
        """Audits, newest first, fetched page by page as they are asked for; at most ``limit`` of them."""
        query = _query(status=str(status) if status else None, model=model, limit=limit and min(limit, 100))
        found = 0
        while True:
            page = parse(AuditList, self._send("GET", "/audit", params=query))
            for audit in page.audits:
                if limit is not None and found >= limit:
                    return
                found += 1
                yield audit
            if page.next_cursor is None or (limit is not None and found >= limit):
                return
            query = {**query, "cursor": page.next_cursor}

    def models(
        self,
        q: str | None = None,
        *,
        family: str | None = None,
        source: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> ModelList:
        """Architectures that match all of the given: ``limit`` of them, after the first ``offset``."""
        query = _query(q=q, family=family, source=source, limit=limit, offset=offset)
        return parse(ModelList, self._send("GET", "/models", params=query))

    def model(self, name: str) -> CatalogueEntry:
        """One architecture of a zoo."""
        return parse(CatalogueEntry, self._send("GET", f"/models/{quote(name, safe='/')}"))

    def health(self) -> Health:
        """How the service is; ``status`` is "degraded" when Redis or every worker is missing."""
        return parse(Health, self._send("GET", "/health"))

    def wait(
        self,
        audit_id: str,
        timeout: float | None = None,
        *,
        poll_s: float | None = None,
        on_progress: Callable[[Audit], object] | None = None,
    ) -> Audit:
        """The audit once it has ended, in whatever way: look at its ``status``.

        ``timeout``      seconds; then :class:`WaitTimeout`, and the audit goes on. None waits for as long as it takes.
        ``poll_s``       seconds between polls, instead of what the service asks for
        ``on_progress``  called with the audit whenever it has changed

        A service that is away for up to a minute, such as for a restart, does not end the wait.
        """
        limit = math.inf if timeout is None else timeout
        deadline = time.monotonic() + limit
        audit: Audit | None = None
        etag: str | None = None
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                response = self._send(
                    "GET",
                    _audit_path(audit_id),
                    headers={"If-None-Match": etag} if etag else {},
                    retry_s=min(OUTAGE_S, left),
                )
            except (ConnectionFailed, Unavailable) as error:
                if audit is None or left > OUTAGE_S:
                    raise
                raise WaitTimeout(audit, limit, str(error)) from error
            if response.status_code != HTTPStatus.NOT_MODIFIED or audit is None:
                audit, etag = parse(Audit, response), response.headers.get("ETag")
                if on_progress:
                    on_progress(audit)
            if audit.status.final:
                return audit
            left = deadline - time.monotonic()
            if left <= 0:
                raise WaitTimeout(audit, limit)
            asked = retry_after_s(response) if poll_s is None else poll_s
            time.sleep(min(left, POLL_S if asked is None else asked))

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        content: str | None = None,
        headers: Mapping[str, str] | None = None,
        retry_s: float | None = None,
    ) -> httpx.Response:
        """One request, repeated for up to ``retry_s`` seconds while nothing answers or the service is busy."""
        patience = self._retry_s if retry_s is None else retry_s
        started, backoff = time.monotonic(), BACKOFF_S
        kind = {"Content-Type": "application/json"} if content is not None else {}
        while True:
            error: ConnectionFailed | ApiError
            try:
                response = self._http.request(
                    method, path, params=params, content=content, headers={**kind, **(headers or {})}
                )
            except httpx.TransportError as failure:
                error = ConnectionFailed(f"Cannot reach {self.base_url}: {cause(failure, self._timeout)}.")
            else:
                if response.status_code < 400:
                    return response
                error = api_error(problem_of(response), retry_after_s(response))
                if response.status_code not in (429, 503):
                    raise error
            pause = backoff * random.uniform(0.5, 1.0)
            if isinstance(error, ApiError) and error.retry_after_s is not None:
                pause = error.retry_after_s
            if time.monotonic() - started + pause > patience:
                raise error
            time.sleep(pause)
            backoff = min(2 * backoff, BACKOFF_CAP_S)


def _checked_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{base_url!r} is not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{base_url!r} is not an http:// or https:// URL")
    return url


def _audit_path(audit_id: str) -> str:
    return f"/audit/{quote(audit_id, safe='')}"


def _query(**values: str | int | None) -> dict[str, str | int]:
    return {key: value for key, value in values.items() if value is not None}
