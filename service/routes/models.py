"""Models: what can be audited."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from zooaudit.contract import ModelDepth, ModelDetail, ModelList, Source

from service.catalogue import find, search, unknown
from service.errors import Refused
from service.routes.dependencies import CatalogueDep, DepthsDep, QueueDep
from service.routes.responses import answers, json_answer

router = APIRouter()


@router.get("/models", summary="Search what can be audited", responses=answers(422, s200=ModelList))
def models(
    catalogue: CatalogueDep,
    q: Annotated[str, Query(max_length=128, description="Words that a name with its tag contains, any case.")] = "",
    family: Annotated[str | None, Query(max_length=64)] = None,
    source: Source | None = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    found = search(catalogue, q, family, source)
    return json_answer(ModelList(models=tuple(found[offset : offset + limit]), total=len(found)))


@router.get("/models/{name:path}", summary="One model and its depth", responses=answers(404, s200=ModelDetail))
def model(name: str, catalogue: CatalogueDep, queue: QueueDep, depths: DepthsDep) -> Response:
    """The model of that name, whose zoo and tag may be left out, with the blocks that an audit measures. A worker finds
    them when somebody asks for the first time: Retry-After says when to ask again where that takes long."""
    found = find(name, catalogue)
    if found is None:
        refusal = unknown(name[:128], catalogue).problem
        raise Refused(refusal.model_copy(update={"status": 404}))  # here the name is the address
    entry, full = found
    headers = {}
    depth = depths.known(full) if entry.supported else ModelDepth(blocks=None, blocks_reason=entry.reason)
    if depth is None:
        workers = queue.load().workers
        depth = depths.ask(full, wait=workers > 0)
        if depth is None:
            reason = "A worker is finding them; ask again." if workers else "No worker is running that could find them."
            depth = ModelDepth(blocks=None, blocks_reason=reason)
            headers["Retry-After"] = "2"
    told = {key: value for key, value in dict(depth).items() if value is not None}
    return json_answer(ModelDetail(**(dict(entry) | {"full_name": full, "blocks": None} | told)), headers=headers)
