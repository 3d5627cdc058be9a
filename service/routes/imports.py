"""Reports that were measured elsewhere join the store."""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError
from zooaudit.contract import (
    FIRST_PROTOCOL,
    PROTOCOL,
    Audit,
    Import,
    Report,
    Status,
    audit_id,
    protocol_of,
    request_of,
    seal_of,
)

from service.errors import invalid, refused
from service.queue import AuditQueue
from service.routes.dependencies import NEEDS_ADMIN, LogDep, QueueDep, RowsDep, StoreDep
from service.routes.responses import documented, json_response, placed
from service.security import Caller, report_body

router = APIRouter()

REPORT_BODY = {
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Report"}}},
    "required": True,
}


CLOCKS_DIFFER = timedelta(days=1)


def _unchanged_report(body: Annotated[bytes, Depends(report_body)]) -> tuple[Report, bytes]:
    """Read the report, and refuse it if it is not as it was measured."""
    try:
        # Strictly, since the bytes are stored as they are: whoever reads a number would else find text.
        report = Report.model_validate_json(body, strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise refused("malformed-json", errors[0]["msg"]) from None
        raise invalid(errors, "report") from None
    if report.protocol not in (FIRST_PROTOCOL, PROTOCOL):
        has = f"this service has {FIRST_PROTOCOL} and {PROTOCOL}"
        detail = f"The report is by version {report.protocol[:16]} of the measure, and {has}."
        raise refused("report-unsealed", f"{detail} Measure it again.")
    seal = report.environment.report_sha256
    if seal is None:
        detail = "The report has no seal (environment.report_sha256) by which a change would be found. "
        raise refused("report-unsealed", f"{detail}Reports of this version have one: measure it again.")
    if seal != seal_of(json.loads(body, object_pairs_hook=_each_once)):
        detail = "The report was changed after it was measured: its hash is not the one that its seal states."
        raise refused("report-altered", f"{detail} Take the file as it was written.")
    if report.timing.finished_at > datetime.now(UTC) + CLOCKS_DIFFER:
        message = "It lies in the future: the report would stay the newest of its model. Set that machine's clock."
        raise invalid([{"loc": ("timing", "finished_at"), "msg": message}], "report")
    try:
        request = request_of(report)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False), "report") from None
    answers = audit_id(request)
    if report.protocol != protocol_of(request):
        detail = f"What the report has is measured by version {protocol_of(request)}, not {report.protocol}."
        raise refused("report-altered", f"{detail} Take the file as it was written.")
    if report.id != answers:
        detail = f"The report calls itself {report.id[:64]}, but the request that it answers has the id {answers}."
        raise refused("report-altered", f"{detail} Take the file as it was written.")
    return report, body


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make the object of these names and values. Of a name that is there twice the seal covers one value, and whoever
    reads the file may see the other."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            detail = f"The report was changed after it was measured: an object in it has the name {name[:64]} twice."
            raise refused("report-altered", f"{detail} Take the file as it was written.")
        found[name] = value
    return found


ReportDep = Annotated[tuple[Report, bytes], Depends(_unchanged_report)]


@router.post(
    "/reports",
    status_code=201,
    summary="Import a report that was measured elsewhere",
    responses=documented(400, 409, 413, 415, 422, s200=Audit, s201=Audit),
    openapi_extra={"requestBody": REPORT_BODY},
)
def import_report(
    http: Request,
    caller: Annotated[Caller, NEEDS_ADMIN],
    unchanged: ReportDep,
    queue: QueueDep,
    store: StoreDep,
    rows: RowsDep,
    log: LogDep,
) -> Response:
    """201 when the report has joined the store, 200 if it is there already. The audit then has succeeded, and its
    `imported` says when the report came and from whom. Nothing that is in the store is replaced."""
    report, content = unchanged
    stored = store.load(report.id)
    is_new = stored is None
    if is_new:
        _refuse_while_it_is_measured(report, queue)
        log.write(caller.name, caller.address, "import", report.id, report.model.name, "imported")
        store.add_import(report, content, Import(at=datetime.now(UTC), who=caller.name))
        stored = store.load(report.id)
    if stored != report:
        detail = f"The store has another report of the audit {report.id}, which stays: two runs are two reports."
        raise refused("report-not-wanted", f"{detail} To keep both, measure one under another repetition.")
    audit = placed(queue.finish(report, store.load_import(report)), http)
    rows.expire()
    return json_response(audit, 201 if is_new else 200, {"Location": audit.links.self})


def _refuse_while_it_is_measured(report: Report, queue: AuditQueue) -> None:
    audit = queue.get(report.id)
    if audit is not None and audit.status in (Status.QUEUED, Status.RUNNING):
        detail = f"The audit {report.id} is {audit.status} here; cancel it first, or leave it to be measured."
        raise refused("report-not-wanted", detail)
