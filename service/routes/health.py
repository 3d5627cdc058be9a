"""Health: whether Redis and workers are there, and what the queue holds."""

from fastapi import APIRouter, Response
from zooaudit.contract import Health

from service.routes.dependencies import HealthCheckDep
from service.routes.responses import json_response

router = APIRouter()


@router.get("/health", summary="Redis, workers, queue", responses={200: {"model": Health, "description": "Always"}})
async def health(check: HealthCheckDep) -> Response:
    """Answers 200 even when the service is degraded: read `status`."""
    return json_response(await check.read(), headers={"Cache-Control": "no-store"})
