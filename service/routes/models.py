"""Models: search what can be audited, and show the depth of one model."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from zooaudit.contract import ModelDepth, ModelDetail, ModelList, Source

from service.catalogue import find, search, unknown
from service.errors import Refused
from service.routes.dependencies import CatalogueDep, DepthsDep, WorkersDep
from service.routes.responses import documented, json_response

router = APIRouter()

DEPTH_RETRY_AFTER_S = 2


@router.get("/models", summary="Search what can be audited", responses=documented(422, s200=ModelList))
def models(
    catalogue: CatalogueDep,
    q: Annotated[
        str, Query(max_length=128, description="Words that the name, with its tag, must contain; case is ignored.")
    ] = "",
    family: Annotated[str | None, Query(max_length=64)] = None,
    source: Source | None = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    entries = search(catalogue, q, family, source)
    return json_response(ModelList(models=tuple(entries[offset : offset + limit]), total=len(entries)))


@router.get("/models/{name:path}", summary="One model and its depth", responses=documented(404, s200=ModelDetail))
def model(name: str, catalogue: CatalogueDep, workers: WorkersDep, depths: DepthsDep) -> Response:
    """One model, with the blocks that an audit measures; its name may leave out the zoo and the tag. The first request
    for a model makes a worker find its blocks: when that takes long, Retry-After says when to ask again."""
    match = find(name, catalogue)
    if match is None:
        refusal = unknown(name[:128], catalogue).problem
        raise Refused(refusal.model_copy(update={"status": 404}))  # the name is part of the address
    entry, full_name = match
    headers = {}
    depth = depths.get(full_name) if entry.supported else ModelDepth(blocks=None, blocks_reason=entry.reason)
    if depth is None:
        alive = workers.load().workers
        depth = depths.request(full_name, wait=alive > 0)
        if depth is None:
            reason = depths.why_absent(full_name) if alive else "No worker is running that could find them."
            depth = ModelDepth(blocks=None, blocks_reason=reason)
            headers["Retry-After"] = str(DEPTH_RETRY_AFTER_S)
    # The depth overrides the entry's fields, but only with what it knows.
    known = {field: value for field, value in dict(depth).items() if value is not None}
    detail = ModelDetail(**(dict(entry) | {"full_name": full_name, "blocks": None} | known))
    return json_response(detail, headers=headers)
