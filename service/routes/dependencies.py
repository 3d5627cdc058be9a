"""What FastAPI passes to endpoints: the parts of the application, and the checked body of a request."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import ValidationError
from zooaudit.contract import AuditRequest, Catalogue

from service.accepted import AcceptedAudits
from service.audit_rows import AuditRows
from service.checkpoint_versions import CheckpointVersions
from service.errors import invalid, refused, unavailable
from service.model_depths import ModelDepths
from service.queue import AuditQueue
from service.recovery import Recovery
from service.reports import ReportStore
from service.security import json_body, require_key


def _queue(request: Request) -> AuditQueue:
    queue: AuditQueue = request.app.state.queue
    return queue


def _store(request: Request) -> ReportStore:
    store: ReportStore = request.app.state.store
    return store


def _accepted(request: Request) -> AcceptedAudits:
    accepted: AcceptedAudits = request.app.state.accepted
    return accepted


def _rows(request: Request) -> AuditRows:
    rows: AuditRows = request.app.state.rows
    return rows


def _depths(request: Request) -> ModelDepths:
    depths: ModelDepths = request.app.state.depths
    return depths


def _versions(request: Request) -> CheckpointVersions:
    versions: CheckpointVersions = request.app.state.versions
    return versions


def _recovery(request: Request) -> Recovery:
    recovery: Recovery = request.app.state.recovery
    return recovery


def _catalogue(queue: Annotated[AuditQueue, Depends(_queue)]) -> Catalogue:
    catalogue = queue.catalogue()
    if catalogue is None:
        raise unavailable("No worker has yet published the models that can be audited; start one, or try again.")
    return catalogue


def _audit_request(body: Annotated[bytes, Depends(json_body)]) -> AuditRequest:
    try:
        return AuditRequest.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise refused("malformed-json", errors[0]["msg"]) from None
        raise invalid(errors, "request") from None


QueueDep = Annotated[AuditQueue, Depends(_queue)]
StoreDep = Annotated[ReportStore, Depends(_store)]
AcceptedDep = Annotated[AcceptedAudits, Depends(_accepted)]
RowsDep = Annotated[AuditRows, Depends(_rows)]
DepthsDep = Annotated[ModelDepths, Depends(_depths)]
VersionsDep = Annotated[CheckpointVersions, Depends(_versions)]
RecoveryDep = Annotated[Recovery, Depends(_recovery)]
CatalogueDep = Annotated[Catalogue, Depends(_catalogue)]
AuditRequestDep = Annotated[AuditRequest, Depends(_audit_request)]
NEEDS_KEY = Depends(require_key)
