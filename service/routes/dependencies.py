"""What FastAPI passes to endpoints: the parts of the application, and the checked body of a request."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from pydantic import ValidationError
from zooaudit.contract import AuditRequest, Catalogue

from service.accepted import AcceptedAudits
from service.audit_rows import AuditRows
from service.checkpoint_versions import CheckpointVersions
from service.errors import invalid, refused, unavailable
from service.health_check import HealthCheck
from service.model_depths import ModelDepths
from service.queue import AuditQueue, Workers
from service.quota import Quota
from service.recovery import Recovery
from service.reports import ReportStore
from service.security import json_body, require_key, require_key_to_read


async def _turn(request: Request) -> AsyncIterator[None]:
    async with request.app.state.turns.take():
        yield


async def _list_turn(request: Request) -> AsyncIterator[None]:
    async with request.app.state.list_turns.take():
        yield


# The turn ends when the endpoint has returned. A client that is slow to read the answer does not hold it.
TURN = Depends(_turn, scope="function")
LIST_TURN = Depends(_list_turn, scope="function")


async def _queue(request: Request, _: Annotated[None, TURN]) -> AuditQueue:
    queue: AuditQueue = request.app.state.queue
    return queue


async def _list_queue(request: Request, _: Annotated[None, LIST_TURN]) -> AuditQueue:
    queue: AuditQueue = request.app.state.queue
    return queue


async def _workers(request: Request, _: Annotated[None, TURN]) -> Workers:
    workers: Workers = request.app.state.workers
    return workers


async def _store(request: Request) -> ReportStore:
    store: ReportStore = request.app.state.store
    return store


async def _accepted(request: Request) -> AcceptedAudits:
    accepted: AcceptedAudits = request.app.state.accepted
    return accepted


async def _rows(request: Request) -> AuditRows:
    rows: AuditRows = request.app.state.rows
    return rows


async def _depths(request: Request) -> ModelDepths:
    depths: ModelDepths = request.app.state.depths
    return depths


async def _versions(request: Request) -> CheckpointVersions:
    versions: CheckpointVersions = request.app.state.versions
    return versions


async def _recovery(request: Request) -> Recovery:
    recovery: Recovery = request.app.state.recovery
    return recovery


async def _quota(request: Request) -> Quota:
    quota: Quota = request.app.state.quota
    return quota


async def _health_check(request: Request) -> HealthCheck:
    check: HealthCheck = request.app.state.health_check
    return check


def _catalogue(workers: Annotated[Workers, Depends(_workers)]) -> Catalogue:
    catalogue = workers.catalogue()
    if catalogue is None:
        raise unavailable("No worker has yet published the models that can be audited; start one, or try again.")
    return catalogue


async def _audit_request(body: Annotated[bytes, Depends(json_body)]) -> AuditRequest:
    try:
        return AuditRequest.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise refused("malformed-json", errors[0]["msg"]) from None
        raise invalid(errors, "request") from None


QueueDep = Annotated[AuditQueue, Depends(_queue)]
WorkersDep = Annotated[Workers, Depends(_workers)]
ListQueueDep = Annotated[AuditQueue, Depends(_list_queue)]
StoreDep = Annotated[ReportStore, Depends(_store)]
AcceptedDep = Annotated[AcceptedAudits, Depends(_accepted)]
RowsDep = Annotated[AuditRows, Depends(_rows)]
DepthsDep = Annotated[ModelDepths, Depends(_depths)]
VersionsDep = Annotated[CheckpointVersions, Depends(_versions)]
RecoveryDep = Annotated[Recovery, Depends(_recovery)]
QuotaDep = Annotated[Quota, Depends(_quota)]
HealthCheckDep = Annotated[HealthCheck, Depends(_health_check)]
CatalogueDep = Annotated[Catalogue, Depends(_catalogue)]
AuditRequestDep = Annotated[AuditRequest, Depends(_audit_request)]
KeyDep = Annotated[str | None, Depends(require_key)]
NEEDS_KEY = Depends(require_key)
MAY_NEED_KEY = Depends(require_key_to_read)
