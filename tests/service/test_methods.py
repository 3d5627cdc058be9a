"""HEAD, OPTIONS, methods that an address does not take, and addresses with a slash too many."""

import pytest
from zooaudit.contract import AuditRequest

from tests.fakes import ASK, is_problem, report_of

PATHS = (
    "/",
    "/static/app.js",
    "/static/plotly.min.js",
    "/health",
    "/openapi.json",
    "/models",
    "/models/resnet18",
    "/audit",
)


@pytest.mark.parametrize("path", [*PATHS, "/nowhere", "/static/nothing.js", "/audit?limit=0"])
async def test_head_is_get_without_the_body(http, path):
    got, head = await http.get(path), await http.head(path)
    assert head.content == b""
    assert head.status_code == got.status_code
    assert dict(head.headers) == dict(got.headers)
    assert int(head.headers["content-length"]) == len(got.content) > 0


async def test_head_of_a_report_costs_no_transfer_and_knows_its_etag(http, store_report):
    report = report_of(AuditRequest(**ASK))
    store_report(report)
    path = f"/audit/{report.id}/report"
    head = await http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == (await http.get(path)).headers["etag"]
    assert (await http.head(path, headers={"If-None-Match": head.headers["etag"]})).status_code == 304


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/audit", "GET, HEAD, OPTIONS, POST"),
        (f"/audit/{'0' * 32}", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        (f"/audit/{'0' * 32}/report", "GET, HEAD, OPTIONS"),
        *((path, "GET, HEAD, OPTIONS") for path in PATHS if path != "/audit"),
    ],
)
async def test_the_methods_of_an_address_are_listed(http, path, allowed):
    for method in {"POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - set(allowed.split(", ")):
        answer = await http.request(method, path)
        assert is_problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == allowed
    answer = await http.options(path)
    assert (answer.status_code, answer.content, answer.headers["allow"]) == (204, b"", allowed)
    assert "access-control-allow-origin" not in answer.headers


async def test_options_of_nothing_is_not_found(http):
    assert is_problem(await http.options("/nowhere"), 404, "not-found")


@pytest.mark.parametrize(
    "path", ["/audit/", "/health/", "/models/resnet18/", f"/audit/{'0' * 32}/", "http://localhost//evil.example/"]
)
async def test_a_slash_too_many_leads_nowhere_else(http, path):
    for answer in (await http.get(path), await http.post(path, json=ASK)):
        assert answer.status_code in (404, 405)
        assert "location" not in answer.headers
