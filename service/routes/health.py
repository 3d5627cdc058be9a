"""Health: how the service itself is."""

from typing import Literal

from fastapi import APIRouter, Response
from redis.exceptions import RedisError
from zooaudit import __version__
from zooaudit.contract import Health

from service.queue import Load
from service.routes.dependencies import QueueDep
from service.routes.responses import json_answer

router = APIRouter()


@router.get("/health", summary="Redis, workers, queue", responses={200: {"model": Health, "description": "Always"}})
def health(queue: QueueDep) -> Response:
    """Answers 200 even when degraded: it is the status that says so."""
    load, catalogue, redis = Load(0, 0, 0), None, True
    try:
        load, catalogue = queue.load(), queue.catalogue()
    except RedisError:
        redis = False
    state: Literal["ok", "degraded"] = "ok" if redis and load.workers else "degraded"
    return json_answer(
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
