"""What endpoints are given: the parts of the application, and what a request says, checked."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import ValidationError
from zooaudit.contract import AuditRequest, Catalogue

from service.checkpoint_versions import Versions
from service.errors import invalid, refused, unavailable
from service.listing import Listing
from service.model_depths import Depths
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


def _listing(request: Request) -> Listing:
    listing: Listing = request.app.state.listing
    return listing


def _depths(request: Request) -> Depths:
    depths: Depths = request.app.state.depths
    return depths


def _versions(request: Request) -> Versions:
    versions: Versions = request.app.state.versions
    return versions


def _recovery(request: Request) -> Recovery:
    recovery: Recovery = request.app.state.recovery
    return recovery


def _catalogue(queue: Annotated[AuditQueue, Depends(_queue)]) -> Catalogue:
    catalogue = queue.catalogue()
    if catalogue is None:
        raise unavailable("No worker has yet published the models that can be audited; start one, or try again.")
    return catalogue


def audit_request(body: Annotated[bytes, Depends(json_body)]) -> AuditRequest:
    try:
        return AuditRequest.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if problems[0]["type"] == "json_invalid":
            raise refused("malformed-json", problems[0]["msg"]) from None
        raise invalid(problems, "request") from None


QueueDep = Annotated[AuditQueue, Depends(_queue)]
StoreDep = Annotated[ReportStore, Depends(_store)]
ListingDep = Annotated[Listing, Depends(_listing)]
DepthsDep = Annotated[Depths, Depends(_depths)]
VersionsDep = Annotated[Versions, Depends(_versions)]
RecoveryDep = Annotated[Recovery, Depends(_recovery)]
CatalogueDep = Annotated[Catalogue, Depends(_catalogue)]
Key = Depends(require_key)
