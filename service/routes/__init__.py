"""The endpoints. Each is a few lines: the queue, the rows and the report store do the work."""

from fastapi import APIRouter

from service.routes import (
    access,
    annotations,
    audit_log,
    audits,
    batches,
    events,
    explanations,
    health,
    imports,
    leaderboard,
    metrics,
    models,
    readings,
    reports,
    second_opinions,
)
from service.routes.dependencies import MAY_NEED_KEY

router = APIRouter()
for module in (
    audits,
    batches,
    events,
    metrics,
    annotations,
    reports,
    readings,
    second_opinions,
    explanations,
    imports,
    models,
    leaderboard,
    access,
    audit_log,
):
    router.include_router(module.router, dependencies=[MAY_NEED_KEY])
router.include_router(health.router)
