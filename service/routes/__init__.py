"""The endpoints. Each is a few lines: the queue, the rows and the report store do the work."""

from fastapi import APIRouter

from service.routes import access, annotations, audit_log, audits, health, models, reports
from service.routes.dependencies import MAY_NEED_KEY

router = APIRouter()
for module in (audits, annotations, reports, models, access, audit_log):
from service.routes import audits, health, leaderboard, models, reports
from service.routes.dependencies import MAY_NEED_KEY

router = APIRouter()
for module in (audits, reports, models, leaderboard):
    router.include_router(module.router, dependencies=[MAY_NEED_KEY])
router.include_router(health.router)
