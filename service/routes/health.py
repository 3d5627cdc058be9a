"""Health: whether Redis and workers are there, and what the queue holds."""

from typing import Literal

from fastapi import APIRouter, Response
from redis.exceptions import RedisError
from zooaudit import __version__
from zooaudit.contract import Health, refusal

from service.queue import QueueLoad
from service.routes.dependencies import QueueDep
from service.routes.responses import json_response

router = APIRouter()


@router.get("/health", summary="Redis, workers, queue", responses={200: {"model": Health, "description": "Always"}})
def health(queue: QueueDep) -> Response:
    """Answers 200 even when the service is degraded: read `status`."""
    load, catalogue, redis, reasons = QueueLoad(workers=0, queued=0, running=0), None, True, []
    try:
        load, catalogue = queue.load(), queue.catalogue()
        queue.check_writable()
        if not load.workers:
            reasons.append("No worker is running: audits wait until one is started.")
        reasons += queue.troubles()
    except RedisError as error:
        reason = refusal(error)
        redis = reason is not None
        reasons.append(f"Redis refuses commands: {reason}." if reason else "Redis does not answer.")
    status: Literal["ok", "degraded"] = "degraded" if reasons else "ok"
    return json_response(
        Health(
            status=status,
            reasons=tuple(reasons),
            version=__version__,
            redis=redis,
            workers=load.workers,
            queued=load.queued,
            running=load.running,
            datasets=catalogue.datasets if catalogue else {},
        ),
        headers={"Cache-Control": "no-store"},
    )
