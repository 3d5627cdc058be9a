"""Follow an audit by server-sent events."""

from collections.abc import AsyncIterator, Collection

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from zooaudit.contract import Audit

from service.annotations import AnnotationStore
from service.events import Events
from service.queue import AuditQueue, WaitingLine
from service.recovery import Recovery
from service.routes.audits import ShownAudit
from service.routes.dependencies import EventsDep
from service.routes.responses import documented, etag_of, placed

router = APIRouter()

RETRY_MS = 2000
"""How long a client waits before it opens a broken stream again."""


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


def _room(events: EventsDep) -> None:
    events.ensure_room()


@router.get(
    "/audit/{identifier}/events",
    summary="Follow an audit by server-sent events",
    response_class=EventStream,
    dependencies=[Depends(_room)],
    responses={
        **documented(404),
        200: {"description": "Events, until the audit has ended"},
        204: {"description": "The audit has ended and the client knows: it need not open the stream again"},
    },
)
def follow(request: Request, audit: ShownAudit, events: EventsDep) -> Response:
    """An event at once, at each change, and at the end, after which the stream ends. An event has the audit's status as
    its name, the audit as its data, and the ETag of `GET /audit/{id}` as its id. With this id in `Last-Event-ID`, the
    first event is left out if nothing has changed; if the audit has ended, too, the answer is 204, after which a
    browser does not ask again."""
    if audit.status.final and _event(audit, request)[0] == request.headers.get("last-event-id"):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return EventStream(_messages(events, audit, request), headers=headers)


def read_followed(
    queue: AuditQueue,
    line: WaitingLine,
    recovery: Recovery,
    annotations: AnnotationStore,
    identifiers: Collection[str],
) -> dict[str, Audit]:
    """Read the audits that are followed, by id, as ``GET /audit/{id}`` shows them; those that are gone have none."""
    audits = queue.read(list(identifiers))
    for identifier in identifiers:
        if identifier not in audits and (restored := recovery.restore(identifier)):
            audits[identifier] = restored
    return {identifier: annotations.show(line.show(audit)) for identifier, audit in audits.items()}


async def _messages(events: Events, audit: Audit, request: Request) -> AsyncIterator[str]:
    known = request.headers.get("last-event-id")
    yield f"retry: {RETRY_MS}\n\n"
    async for changed in events.follow(audit):
        if changed is None:
            yield ": nothing has changed\n\n"
            continue
        tag, body = _event(changed, request)
        if tag != known:
            yield f"id: {tag}\nevent: {changed.status}\ndata: {body}\n\n"
        known = tag


def _event(audit: Audit, request: Request) -> tuple[str, str]:
    """Return an event's id and data."""
    body = placed(audit, request).model_dump_json()
    return etag_of(body.encode()), body
