"""The endpoints. Each is a few lines: the queue, the rows and the report store do the work."""

from fastapi import APIRouter

from service.routes import audits, health, models, reports

router = APIRouter()
for module in (audits, reports, models, health):
    router.include_router(module.router)
