"""What FastAPI passes to endpoints: the parts of the application, and the checked body of a request."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import ValidationError
from zooaudit.contract import AuditRequest, Catalogue, Contract

from service.accepted import AcceptedAudits
from service.annotations import AnnotationStore
from service.audit_log import AuditLog
from service.audit_rows import AuditRows
from service.callbacks import Callbacks
from service.checkpoint_versions import CheckpointVersions
from service.deletion import Deletions
from service.errors import invalid, refused, unavailable
from service.events import Events
from service.explanations import Explanations
from service.health_check import HealthCheck
from service.model_depths import ModelDepths
from service.queue import AuditQueue, WaitingLine, Workers
from service.quota import Quota
from service.recovery import Recovery
from service.reports import ReportStore
from service.security import Caller, RequireRole, json_body, require_known
from service.speeds import Speeds
from service.summaries import Summaries

Record = TypeVar("Record", bound=Contract)


async def _turn(request: Request) -> AsyncIterator[None]:
    async with request.app.state.turns.take():
        yield


async def _list_turn(request: Request) -> AsyncIterator[None]:
    async with request.app.state.list_turns.take():
        yield


# The turn ends when the endpoint has returned. A client that is slow to read the answer does not hold it.
TURN = Depends(_turn, scope="function")
LIST_TURN = Depends(_list_turn, scope="function")


def _part(name: str) -> Any:
    """Pass the endpoint the part of the application that ``app.state`` has under this name."""

    async def part(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(part)


def _part_in_turn(name: str, turn: Any) -> Any:
    """Pass it once the request has its turn."""

    async def part(request: Request, _: None = turn) -> Any:
        return getattr(request.app.state, name)

    return Depends(part)


QueueDep = Annotated[AuditQueue, _part_in_turn("queue", TURN)]
ListQueueDep = Annotated[AuditQueue, _part_in_turn("queue", LIST_TURN)]
WorkersDep = Annotated[Workers, _part_in_turn("workers", TURN)]
StoreDep = Annotated[ReportStore, _part("store")]
AcceptedDep = Annotated[AcceptedAudits, _part("accepted")]
RowsDep = Annotated[AuditRows, _part("rows")]
ListRowsDep = Annotated[AuditRows, _part_in_turn("rows", LIST_TURN)]
SummariesDep = Annotated[Summaries, _part("summaries")]
DepthsDep = Annotated[ModelDepths, _part("depths")]
VersionsDep = Annotated[CheckpointVersions, _part("versions")]
ExplanationsDep = Annotated[Explanations, _part("explanations")]
RecoveryDep = Annotated[Recovery, _part("recovery")]
SpeedsDep = Annotated[Speeds, _part("speeds")]
LineDep = Annotated[WaitingLine, _part("line")]
QuotaDep = Annotated[Quota, _part("quota")]
AnnotationsDep = Annotated[AnnotationStore, _part("annotations")]
DeletionsDep = Annotated[Deletions, _part("deletions")]
LogDep = Annotated[AuditLog, _part("audit_log")]
TurnDep = Annotated[None, TURN]
CallbacksDep = Annotated[Callbacks, _part("callbacks")]
EventsDep = Annotated[Events, _part("events")]
HealthCheckDep = Annotated[HealthCheck, _part("health_check")]


def _catalogue(workers: WorkersDep) -> Catalogue:
    catalogue = workers.catalogue()
    if catalogue is None:
        raise unavailable("No worker has yet published the models that can be audited; start one, or try again.")
    return catalogue


def read_as(record: type[Record], body: bytes) -> Record:
    """Read a body as a record of this type. Refuses with 400 what is no JSON, and with 422 what is no such record."""
    try:
        return record.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise refused("malformed-json", errors[0]["msg"]) from None
        raise invalid(errors, "request") from None


def checked_body(record: type[Record]) -> Callable[[bytes], Awaitable[Record]]:
    """Make the dependency that reads the JSON body of a request as a record of this type."""

    async def read(body: Annotated[bytes, Depends(json_body)]) -> Record:
        return read_as(record, body)

    return read


CatalogueDep = Annotated[Catalogue, Depends(_catalogue)]
AuditRequestDep = Annotated[AuditRequest, Depends(checked_body(AuditRequest))]
# Each endpoint has one of these among its dependencies.
MAY_NEED_KEY = Depends(RequireRole("read"))
NEEDS_KEY = Depends(RequireRole("submit"))
NEEDS_ADMIN = Depends(RequireRole("admin"))
SubmitterDep = Annotated[Caller, NEEDS_KEY]
CallerDep = Annotated[Caller, Depends(require_known)]


async def _key(caller: SubmitterDep) -> str | None:
    return caller.key


KeyDep = Annotated[str | None, Depends(_key)]
