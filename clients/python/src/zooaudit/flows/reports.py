"""Reports: fetched, and imported."""

from http import HTTPStatus

from zooaudit.errors import Conflict, raise_unless_succeeded
from zooaudit.exchange import Exchange, Flow, parse
from zooaudit.flows.audits import status
from zooaudit.flows.identifiers import audit_path, full_id
from zooaudit.results import Audit, Report


def report(service: Exchange, identifier: str) -> Flow[Report]:
    identifier = yield from full_id(service, identifier)
    try:
        return parse(Report, (yield from service.send("GET", audit_path(identifier) + "/report")))
    except Conflict:
        raise_unless_succeeded((yield from status(service, identifier)))
        raise


def report_json(service: Exchange, identifier: str, unless_sha256: str | None) -> Flow[bytes | None]:
    path = audit_path((yield from full_id(service, identifier))) + "/report"
    # The service's tag of a report is the start of its hash.
    headers = {"If-None-Match": f'"{unless_sha256[:32]}"'} if unless_sha256 else {}
    response = yield from service.send("GET", path, headers=headers)
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        return None
    parse(Report, response)
    return response.content


def import_report(service: Exchange, content: str) -> Flow[Audit]:
    return parse(Audit, (yield from service.send("POST", "/reports", content=content)))
