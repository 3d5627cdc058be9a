"""The endpoints. Each is a few lines: the queue and the report store do the work."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError
from redis.exceptions import RedisError
from zooaudit import __version__, figures
from zooaudit.contract import (
    Audit,
    AuditList,
    AuditRequest,
    Catalogue,
    Comparison,
    Contract,
    Figures,
    Health,
    ModelDepth,
    ModelDetail,
    ModelList,
    Problem,
    Report,
    Source,
    Status,
)

from service import cursors, zoo
from service.comparison import MAX_AUDITS, MIN_AUDITS, asked, compare
from service.depths import Depths
from service.errors import Refused, StoreUnavailable, invalid, refused, unavailable
from service.listing import Listing, Sort
from service.queue import AuditQueue, Load
from service.recovery import Recovery
from service.reports import ReportStore
from service.security import json_body, require_key

router = APIRouter()

POLL_AFTER_S = 1
RECOVERY_WAIT_S = 10.0
STATUSES = "^({0})(,({0}))*$".format("|".join(Status))


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
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if problems[0]["type"] == "json_invalid":
            raise refused("malformed-json", "Malformed JSON", 400, problems[0]["msg"]) from None
        raise invalid(problems, "request") from None


QueueDep = Annotated[AuditQueue, Depends(_queue)]
StoreDep = Annotated[ReportStore, Depends(_store)]
ListingDep = Annotated[Listing, Depends(_listing)]
DepthsDep = Annotated[Depths, Depends(_depths)]
RecoveryDep = Annotated[Recovery, Depends(_recovery)]


def _compared(
    queue: QueueDep,
    store: StoreDep,
    recovery: RecoveryDep,
    audits: Annotated[
        str,
        Query(
            description=f"{MIN_AUDITS} to {MAX_AUDITS} ids, separated by commas.",
            json_schema_extra={"pattern": "^[0-9a-f]{32}(,[0-9a-f]{32})+$"},
        ),
    ],
    top1: Annotated[
        str | None,
        Query(
            description="ImageNet top-1 accuracies in per cent, separated by commas, one for each audit; an empty one "
            "means the zoo's own figure. timm states none.",
            json_schema_extra={"example": "79.3,,81"},
        ),
    ] = None,
) -> tuple[list[Report], list[float | None] | None]:
    """The reports that are to be compared, and the accuracies given with them."""
    identifiers, accuracies = asked(audits, top1)
    return [_brief(identifier, queue, store, recovery) for identifier in identifiers], accuracies


ComparedDep = Annotated[tuple[list[Report], list[float | None] | None], Depends(_compared)]
CatalogueDep = Annotated[Catalogue, Depends(_catalogue)]
Key = Depends(require_key)


def _answers(*problems: int, **models: type[Contract]) -> dict[int | str, dict[str, Any]]:
    """Documents an endpoint's statuses: problems by number, others as ``s200=Audit``."""
    documented: dict[int | str, dict[str, Any]] = {
        int(name[1:]): {"model": model, "description": DESCRIPTIONS[int(name[1:])]} for name, model in models.items()
    }
    for status in (*problems, 403, 503):
        documented[status] = {"model": Problem, "description": DESCRIPTIONS[status]}
    return documented


DESCRIPTIONS = {
    200: "What was asked for",
    202: "Accepted; poll the audit",
    400: "The body is not JSON",
    401: "An API key is needed",
    403: "Without API keys the service answers to loopback hosts only",
    404: "There is no such thing",
    409: "Not possible in the audit's present status",
    413: "The body is too large",
    415: "The body does not say that it is JSON",
    422: "The request is not valid; errors and suggestions say what would be",
    503: "Redis, the report store or the catalogue is not there; Retry-After says when to try again",
}
UNCHANGED = {"description": "As the ETag in If-None-Match says"}
BODY = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/AuditRequest"}}}, "required": True}
BEARER: list[dict[str, list[str]]] = [{"bearer": []}]


@router.post(
    "/audit",
    status_code=202,
    summary="Ask for an audit",
    dependencies=[Key],
    responses=_answers(400, 401, 413, 415, 422, s200=Audit, s202=Audit),
    openapi_extra={"requestBody": BODY, "security": BEARER},
)
def submit(
    asked: Annotated[AuditRequest, Depends(_audit_request)],
    catalogue: CatalogueDep,
    queue: QueueDep,
    store: StoreDep,
    listing: ListingDep,
) -> Response:
    """202 for a new audit, 200 for one that exists. One that failed or was canceled runs again."""
    audit, created = queue.submit(zoo.complete(asked, catalogue), store.load)
    listing.expire()
    return _json(audit, 202 if created else 200, {"Location": audit.links.self, **_poll(audit)})


@router.get(
    "/audit",
    summary="List audits, by default newest first",
    responses={**_answers(422, s200=AuditList), 304: UNCHANGED},
)
def listing(
    request: Request,
    queue: QueueDep,
    listing: ListingDep,
    recovery: RecoveryDep,
    status: Annotated[
        str | None, Query(pattern=STATUSES, max_length=64, description="One status, or several with commas.")
    ] = None,
    model: Annotated[str | None, Query(max_length=128, description="Part of the full name, any case.")] = None,
    sort: Annotated[Sort, Query(description="By what; with a minus, descending.")] = "-created",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[
        str | None, Query(max_length=512, description="next_cursor of the page before, of the same sort.")
    ] = None,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="Leave out so many, after the cursor.")] = 0,
) -> Response:
    """A cursor stays true while audits come and go; an offset goes to any page at once."""
    after = cursors.read(cursor, sort) if cursor is not None else None
    recovery.ensure(RECOVERY_WAIT_S)
    wanted = {Status(word) for word in status.split(",")} if status else set(Status)
    page = listing.page(sort, wanted, model or "", limit, offset, after)
    found = queue.read([row.id for row in page.rows])
    # Rows may be half a second old: an audit that has moved on since is not shown under a status it no longer has.
    audits = tuple(found[row.id] for row in page.rows if row.id in found and found[row.id].status in wanted)
    answer = AuditList(audits=audits, total=page.total, next_cursor=cursors.write(page.last) if page.last else None)
    return _cached(request, answer.model_dump_json().encode(), {})


@router.get(
    "/audit/{identifier}",
    summary="One audit's status and progress",
    responses={**_answers(404, s200=Audit), 304: UNCHANGED},
)
def status(identifier: str, request: Request, queue: QueueDep, recovery: RecoveryDep) -> Response:
    audit = _find(identifier, queue, recovery)
    return _cached(request, audit.model_dump_json().encode(), _poll(audit))


@router.get(
    "/audit/{identifier}/report",
    summary="A finished audit's report",
    responses={**_answers(404, 409, s200=Report), 304: UNCHANGED},
)
def report(identifier: str, request: Request, queue: QueueDep, store: StoreDep, recovery: RecoveryDep) -> Response:
    """Comes from the report store alone, so it is there whatever has become of the queue."""
    content = store.read(identifier) if _is_id(identifier) else None
    if content is None:
        raise _no_report(identifier, queue, recovery)
    return _cached(request, content, {})


@router.get(
    "/audit/{identifier}/figures",
    summary="A finished audit's figures, for Plotly",
    responses={**_answers(404, 409, 422, s200=Figures), 304: UNCHANGED},
)
def audit_figures(
    identifier: str, request: Request, queue: QueueDep, store: StoreDep, recovery: RecoveryDep
) -> Response:
    """Its scores by part, by shift and over the depth, each a figure as Plotly takes it."""
    return _cached(request, _figures([_brief(identifier, queue, store, recovery)]), {})


@router.get(
    "/comparison",
    summary="Compare audits, and their scores with accuracy",
    responses={**_answers(404, 409, 422, s200=Comparison), 304: UNCHANGED},
)
def comparison(request: Request, compared: ComparedDep) -> Response:
    """Only audits of one method on the same images compare; others are refused, saying what differs."""
    return _cached(request, compare(*compared).model_dump_json().encode(), {})


@router.get(
    "/comparison/figures",
    summary="The figures of a comparison, for Plotly",
    responses={**_answers(404, 409, 422, s200=Figures), 304: UNCHANGED},
)
def comparison_figures(
    request: Request,
    compared: ComparedDep,
    score: Annotated[Literal["channel", "layer"], Query(description="Drawn by shift and over the depth.")] = "channel",
) -> Response:
    """The audits' scores by part, by shift, over the depth and against accuracy."""
    accuracy = {"accuracy": figures.accuracy(compare(*compared))}
    return _cached(request, _figures(compared[0], score, **accuracy), {})


@router.delete(
    "/audit/{identifier}",
    summary="Cancel an audit",
    dependencies=[Key],
    responses=_answers(401, 404, 409, s200=Audit, s202=Audit),
    openapi_extra={"security": BEARER},
)
def cancel(identifier: str, queue: QueueDep, listing: ListingDep, recovery: RecoveryDep) -> Response:
    """200 when it is canceled, 202 when its worker has been told to stop and will have done so within seconds."""
    found = queue.cancel(identifier) if _is_id(identifier) else None
    listing.expire()
    audit, canceled = found or (_find(identifier, queue, recovery), False)
    if not canceled:
        now = f"has {audit.status}" if audit.status.final else "is storing its report"
        raise refused("not-cancelable", "Too late to cancel", 409, f"The audit {now}.")
    return _json(audit, 202 if audit.status is Status.RUNNING else 200, _poll(audit))


@router.get("/models", summary="Search what can be audited", responses=_answers(422, s200=ModelList))
def models(
    catalogue: CatalogueDep,
    q: Annotated[str, Query(max_length=128, description="Words that a name with its tag contains, any case.")] = "",
    family: Annotated[str | None, Query(max_length=64)] = None,
    source: Source | None = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    found = zoo.search(catalogue, q, family, source)
    return _json(ModelList(models=tuple(found[offset : offset + limit]), total=len(found)))


@router.get("/models/{name:path}", summary="One model and its depth", responses=_answers(404, s200=ModelDetail))
def model(name: str, catalogue: CatalogueDep, queue: QueueDep, depths: DepthsDep) -> Response:
    """The model of that name, whose zoo and tag may be left out, with the blocks that an audit measures. A worker finds
    them when somebody asks for the first time: Retry-After says when to ask again where that takes long."""
    found = zoo.find(name, catalogue)
    if found is None:
        raise zoo.unknown(name[:128], catalogue, status=404)
    entry, full = found
    headers = {}
    if not entry.supported:
        depth = ModelDepth(blocks=None, blocks_reason=entry.reason)
    else:
        workers = queue.load().workers
        if (known := depths.find(full, wait=workers > 0)) is None:
            reason = "A worker is finding them; ask again." if workers else "No worker is running that could find them."
            headers["Retry-After"] = "2"
        depth = known or ModelDepth(blocks=None, blocks_reason=reason)
    told = {key: value for key, value in dict(depth).items() if value is not None}
    return _json(ModelDetail(**(dict(entry) | {"full_name": full, "blocks": None} | told)), headers=headers)


@router.get("/health", summary="Redis, workers, queue", responses={200: {"model": Health, "description": "Always"}})
def health(queue: QueueDep) -> Response:
    """Answers 200 even when degraded: it is the status that says so."""
    load, catalogue, redis = Load(0, 0, 0), None, True
    try:
        load, catalogue = queue.load(), queue.catalogue()
    except RedisError:
        redis = False
    state: Literal["ok", "degraded"] = "ok" if redis and load.workers else "degraded"
    return _json(
        Health(
            status=state,
            version=__version__,
            redis=redis,
            workers=load.workers,
            queued=load.queued,
            running=load.running,
            datasets=catalogue.datasets if catalogue else {},
        ),
        headers={"Cache-Control": "no-store"},
    )


def _find(identifier: str, queue: AuditQueue, recovery: Recovery) -> Audit:
    audit = None
    if _is_id(identifier):
        audit = queue.get(identifier)
        try:
            audit = audit or recovery.one(identifier)
        except StoreUnavailable:
            raise unavailable("The report store does not answer; try again shortly.") from None
    if audit is None:
        raise refused("unknown-audit", "Unknown audit", 404, "There is no audit with this id.")
    return audit


def _no_report(identifier: str, queue: AuditQueue, recovery: Recovery) -> Refused:
    """Why an audit has no report."""
    audit = _find(identifier, queue, recovery)
    if audit.status is not Status.SUCCEEDED:
        return refused("not-ready", "No report yet", 409, f"The audit is {audit.status}; only a succeeded has one.")
    return refused("report-lost", "Report lost", 404, "The store has lost this report; ask for the audit again.")


def _brief(identifier: str, queue: AuditQueue, store: ReportStore, recovery: Recovery) -> Report:
    """The report without its blocks' rows by transform; where there is none, the refusal names the audit."""
    try:
        if _is_id(identifier):
            return store.brief(identifier)
    except LookupError:
        pass
    try:
        raise _no_report(identifier, queue, recovery)
    except Refused as error:
        told = error.problem.model_copy(update={"detail": f"{identifier[:64]}: {error.problem.detail}"})
        raise Refused(told, error.headers) from None


def _figures(reports: Sequence[Report], score: figures.Kind = "channel", **more: dict[str, Any]) -> bytes:
    drawn = {kind: figures.of(kind, reports, score) for kind in ("parts", "shifts", "depth")} | more
    return json.dumps(drawn, allow_nan=False).encode()


def _is_id(identifier: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}", identifier) is not None


def _poll(audit: Audit) -> dict[str, str]:
    return {} if audit.status.final else {"Retry-After": str(POLL_AFTER_S)}


def _json(body: Contract, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body.model_dump_json(), status, headers, "application/json")


def _cached(request: Request, body: bytes, headers: dict[str, str]) -> Response:
    """``body`` with its ETag, or 304 when that is what the client has already."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**headers, "ETag": tag, "Cache-Control": "no-cache"}
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or tag in (item.strip().removeprefix("W/") for item in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, "application/json")
