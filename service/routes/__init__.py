"""The endpoints. Each is a few lines: the queue, the rows and the report store do the work."""

from fastapi import APIRouter

from service.routes import audits, events, health, metrics, models, reports
from service.routes.dependencies import MAY_NEED_KEY

router = APIRouter()
for module in (audits, events, metrics, reports, models):
    router.include_router(module.router, dependencies=[MAY_NEED_KEY])
router.include_router(health.router)
