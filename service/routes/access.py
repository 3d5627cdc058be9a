"""What the caller's key may do, and how much of that it has used."""

from fastapi import APIRouter, Response
from zooaudit.contract import Access

from service.routes.dependencies import CallerDep, QueueDep, QuotaDep, RowsDep
from service.routes.responses import documented, json_response

router = APIRouter()


@router.get("/key", summary="What the key may do", responses=documented(s200=Access))
def access(caller: CallerDep, _: QueueDep, quota: QuotaDep, rows: RowsDep) -> Response:
    """The name and the role of the key that the request carries, and what it has used of its quotas. 401 if the service
    does not know the key."""
    audits, images = quota.use(caller.key, rows.by_id)
    body = Access(name=caller.name, role=caller.role, unfinished_audits=audits, images_in_24_h=images)
    return json_response(body, headers={"Cache-Control": "no-store"})
