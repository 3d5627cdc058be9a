"""The endpoints. Each is a few lines: the queue, the listing and the report store do the work."""

from fastapi import APIRouter

from service.routes import audits, health, models, reports

router = APIRouter()
for part in (audits, reports, models, health):
    router.include_router(part.router)
