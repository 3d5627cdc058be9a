"""Bounds on connections, which uvicorn lacks: how many there may be, and how long clients may take to send and to read.

Without them, a thousand clients that send half a request and fall silent use up the process' file descriptors.
"""

import asyncio
import math
import resource
import time
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from zooaudit.contract import Problem, problem

from service.errors import MEDIA_TYPE

MOST_CONNECTIONS = 1000
OTHER_DESCRIPTORS = 256
"""File descriptors kept for Redis, the report store, the log, and connections that were accepted only to be closed."""
BACKLOG = 64
"""How many connections may wait to be accepted. asyncio accepts as many at once before it closes the first of them."""


@dataclass(frozen=True)
class Limits:
    """What clients may take up. ``headers_s`` counts from the connection, or from the answer before; ``body_s`` from
    the headers; ``reading_s`` is how long an answer may lie unread that does not fit into the socket's buffer."""

    connections: int
    headers_s: float = 10.0
    body_s: float = 20.0
    reading_s: float = 60.0


def make_room() -> Limits:
    """Raise this process' limit of file descriptors as far as needed and allowed. Return the limits that fit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST_CONNECTIONS + OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return Limits(MOST_CONNECTIONS)
    return Limits(max(1, (soft - OTHER_DESCRIPTORS) // 2))  # an answer may be a file, which takes a second descriptor


class BoundedProtocol(H11Protocol):
    """One connection within :class:`Limits`. A subclass gives them, since uvicorn takes a class."""

    limits: Limits

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._state: Any = None
        """The client's state in h11: IDLE until its headers are complete, then SEND_BODY until its body is."""
        self._awaited_since: float | None = None
        """Since when the service waits for the client to send or to read; None while the client waits."""
        self._sending_timer: asyncio.TimerHandle | None = None
        self._reading_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self.limits.connections:
            # The client that the service waits for longest makes room. An honest one sends and reads at once, so it is
            # answered however many others do neither.
            awaited = {one: one._awaited_since for one in self.connections if isinstance(one, BoundedProtocol)}
            min(awaited, key=lambda one: awaited[one] or math.inf).drop()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()
        self._watch_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._awaited_since = self._awaited_since or time.monotonic()
        self._watch_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._state not in (h11.IDLE, h11.SEND_BODY):
            self._awaited_since = None
        self._watch_reading()  # anew: the end of the answer may still lie unread

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._sending_timer, self._reading_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close the connection at once, whatever was still to be sent."""
        self.connections.discard(self)
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        self._refuse(problem("malformed-http", f"{msg} The service takes HTTP/1.1."))

    def _watch(self) -> None:
        """Start the time limit of what the client has to send now, unless it runs already."""
        state = self.conn.their_state
        if state is self._state:
            return
        self._state = state
        if self._sending_timer is not None:
            self._sending_timer.cancel()
        limit_s = {h11.IDLE: self.limits.headers_s, h11.SEND_BODY: self.limits.body_s}.get(state)
        self._awaited_since = None if limit_s is None else time.monotonic()
        if limit_s is not None:
            self._sending_timer = self.loop.call_later(limit_s, self._on_late)

    def _on_late(self) -> None:
        """End a connection whose client was too slow. It is told so, unless it has sent nothing."""
        sending_body = self.conn.their_state is h11.SEND_BODY
        answerable = self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing()
        if answerable and (sending_body or self.conn.trailing_data[0]):
            part, limit_s = ("body", self.limits.body_s) if sending_body else ("headers", self.limits.headers_s)
            detail = f"The request's {part} took longer than {limit_s:g} seconds; send it again, faster."
            self._refuse(problem("request-timeout", detail))
        else:
            self.drop()

    def _watch_reading(self) -> None:
        if self._reading_timer is not None:
            self._reading_timer.cancel()
        self._reading_timer = self.loop.call_later(self.limits.reading_s, self._drop_unread)

    def _drop_unread(self) -> None:
        if self.transport.get_write_buffer_size():
            self.drop()

    def _refuse(self, refusal: Problem) -> None:
        """Answer with the problem in place of the application, and close the connection."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        content = refusal.model_dump_json().encode()
        headers = [("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(content))), ("Connection", "close")]
        response = h11.Response(status_code=refusal.status, headers=headers, reason=refusal.title)
        for event in (response, h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self._watch_reading()
        self.transport.close()
