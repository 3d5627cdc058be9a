"""Protection of the service: API keys, foreign hosts, the size and type of bodies, security headers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as ServerMessage
from zooaudit.contract import Role, problem

from service.api_keys import NOBODY, ApiKey, find_key, may
from service.errors import Refused, problem_response, refused
from service.settings import is_loopback
from service.tallies import count_answer

MAX_BODY_BYTES = 64 * 1024
MAX_BATCH_BYTES = 1024 * 1024
"""How large a batch may be: some 2 kB for each request."""
MAX_REPORT_BYTES = 8 * 1024 * 1024
"""How large a report may be that is imported: several times as large as that of the deepest model."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Caller:
    """Who sends a request: the name and the role of the key, the key itself, and the address that the request comes
    from, which is a proxy's if there is one. Without keys everybody may do everything, and ``key`` is None."""

    name: str
    role: Role
    key: str | None = field(repr=False)
    address: str | None

    def ensure(self, needed: Role) -> None:
        """Refuse with 403 if the caller's key may not do what needs this role."""
        if may(self.role, needed):
            return
        detail = f"This needs a key of the role {needed}; the role of {self.name} is {self.role}."
        if needed == "admin":
            raise refused("admin-key-needed", detail)
        raise refused("submit-key-needed", detail)


class RequireRole(SecurityBase):
    """A dependency of endpoints that only a key of this role, or of a higher one, may use. It returns the caller.

    Refuses with 401 without a key, and with 403 a key that may not. What needs the role "read" needs a key only if keys
    guard reads. FastAPI notes the role in the OpenAPI document as the name of a security scheme.
    """

    model = HTTPBearer()

    def __init__(self, role: Role) -> None:
        self.role: Role = role
        self.scheme_name = role

    async def __call__(self, request: Request) -> Caller:
        is_guarded = self.role != "read" or request.app.state.settings.keys_guard_reads
        caller = identify(request) if is_guarded else _anybody(request)
        caller.ensure(self.role)
        return caller


def identify(request: Request) -> Caller:
    """Find whose key the request carries; anybody's, when the service has no keys. Refuses with 401 without a key."""
    keys: Sequence[ApiKey] = request.app.state.keys
    if not keys:
        return Caller(NOBODY, "admin", None, _address(request))
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    key = find_key(keys, given.strip())
    if scheme.lower() != "bearer" or key is None:
        detail = "This needs an API key: send it as 'Authorization: Bearer KEY'."
        raise Refused(problem("unauthorized", detail), {"WWW-Authenticate": "Bearer"})
    return Caller(key.name, key.role, key.secret, _address(request))


async def require_known(request: Request) -> Caller:
    """Return the caller: whoever sends no key may read, unless keys guard reads. Refuses with 401 an unknown key."""
    needs_key = request.app.state.settings.keys_guard_reads or "authorization" in request.headers
    return identify(request) if needs_key or not request.app.state.keys else _anybody(request)


def _anybody(request: Request) -> Caller:
    return Caller(NOBODY, "read", None, _address(request))


def _address(request: Request) -> str | None:
    # Not what a header says: any client may write that.
    return request.client.host if request.client else None


async def json_body(request: Request) -> bytes:
    """Read the body of a request. Refuses with 415 unless its type is JSON, and with 413 beyond MAX_BODY_BYTES."""
    return await _json_body(request, "the audit", "A request", MAX_BODY_BYTES)


async def report_body(request: Request) -> bytes:
    """Read a report. Refuses with 415 unless its type is JSON, and with 413 beyond MAX_REPORT_BYTES."""
    return await _json_body(request, "the report", "A report", MAX_REPORT_BYTES)


async def batch_body(request: Request) -> bytes:
    """Read a batch of requests. Refuses with 415 unless its type is JSON, and with 413 beyond MAX_BATCH_BYTES."""
    return await _json_body(request, "the audits", "A batch", MAX_BATCH_BYTES)


async def _json_body(request: Request, what: str, noun: str, limit: int) -> bytes:
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    # This also keeps out forms of other sites: a browser asks the service before it sends JSON from another site.
    if header.get_content_type() != "application/json":
        detail = f"Send {what} as JSON, with 'Content-Type: application/json'."
        raise refused("unsupported-media-type", detail)
    body = bytearray()
    too_large = int(request.headers.get("content-length", "0") or 0) > limit
    if not too_large:
        async for chunk in request.stream():
            body += chunk
            too_large = len(body) > limit
            if too_large:
                break
    if too_large:
        raise refused("body-too-large", f"{noun} has at most {limit} bytes.")
    return bytes(body)


class Guard:
    """ASGI middleware: adds the security headers and, when the service has no keys, refuses requests to foreign hosts.

    Otherwise any web page could reach a service on loopback by pointing a name of its own at 127.0.0.1. It also answers
    HEAD as GET without the body, and learns from X-Forwarded-Prefix below which path a proxy serves the API.
    """

    def __init__(self, app: ASGIApp, loopback_only: bool) -> None:
        self._app = app
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_with_headers(message: ServerMessage) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                count_answer(scope.get("route"), message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            if head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        # A copy, because the server frames its answer by the method in its own scope.
        scope = of_version(below_prefix({**scope, "method": "GET"} if head else scope))
        if self._loopback_only and not is_loopback(_host(Headers(scope=scope).get("host", ""))):
            detail = "Without API keys this service answers to loopback addresses and 'localhost' only."
            await problem_response(problem("foreign-host", detail))(scope, receive, send_with_headers)
        else:
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception:
                if not has_begun:  # the answer to a bug is made outside of this
                    count_answer(scope.get("route"), 500)
                raise


def below_prefix(scope: Scope) -> Scope:
    """Put the path that X-Forwarded-Prefix names before the request's, as ASGI has it; anything else is ignored.

    Any client may send the header: it shapes only the addresses in the answer to that very request, and a prefix
    cannot name another host.
    """
    prefix = Headers(scope=scope).get("x-forwarded-prefix", "").rstrip("/")
    if not re.fullmatch(r"(/[\w.~-]+)+", prefix, re.ASCII) or len(prefix) > 200:
        return scope
    changes = {"root_path": prefix, "path": prefix + scope["path"], "raw_path": prefix.encode() + scope["raw_path"]}
    return {**scope, **changes}


def of_version(scope: Scope) -> Scope:
    """Let a path below /v1 mean what it means without: addresses in the answer are below /v1, too."""
    prefix: str = scope.get("root_path", "")
    is_versioned = scope["path"].removeprefix(prefix).startswith("/v1/")
    return {**scope, "root_path": f"{prefix}/v1"} if is_versioned else scope


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
