"""Metrics for Prometheus."""

from fastapi import APIRouter, Request, Response

from service.metrics import CONTENT_TYPE

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Answers 200 even while Redis is away: read `zooaudit_redis_up`."""
    return Response(await request.app.state.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
