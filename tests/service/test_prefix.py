"""A reverse proxy serves the API below a path, and says so in X-Forwarded-Prefix."""

import pytest
from zooaudit.contract import Audit, AuditRequest

from tests.fakes import ASK, report_of

ZOO = {"X-Forwarded-Prefix": "/zoo"}


async def test_every_address_that_the_service_writes_lies_below_the_prefix(http):
    posted = await http.post("/audit", json=ASK, headers=ZOO)
    identifier = posted.json()["id"]
    assert posted.headers["location"] == f"/zoo/audit/{identifier}"
    for answer in (
        posted,
        await http.post("/audit", json=ASK, headers=ZOO),
        await http.get(f"/audit/{identifier}", headers=ZOO),
        await http.delete(f"/audit/{identifier}", headers=ZOO),
    ):
        links = Audit.model_validate_json(answer.content).links
        assert (links.self, links.report) == (f"/zoo/audit/{identifier}", f"/zoo/audit/{identifier}/report")
    listed = (await http.get("/audit", headers=ZOO)).json()["audits"][0]
    assert listed["links"]["self"] == f"/zoo/audit/{identifier}"
    assert (await http.get("/openapi.json", headers=ZOO)).json()["servers"] == [{"url": "/zoo"}]
    # Nobody else gets them.
    assert (await http.get(f"/audit/{identifier}")).json()["links"]["self"] == f"/audit/{identifier}"
    assert "servers" not in (await http.get("/openapi.json")).json()


async def test_everything_is_found_below_the_prefix_and_reports_stay_as_they_are(http, store_report):
    report = report_of(AuditRequest(**ASK))
    store_report(report)
    for path in (
        "/",
        "/method",
        "/static/app.js",
        "/static/plotly.min.js",
        "/health",
        "/models",
        f"/audit/{report.id}/report",
    ):
        plain, proxied = await http.get(path), await http.get(path, headers={"X-Forwarded-Prefix": "/a/zoo-1.2/"})
        assert (proxied.status_code, proxied.content) == (200, plain.content)
    assert (await http.put("/audit", headers=ZOO)).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (await http.get("/static/../health", headers=ZOO)).status_code == 200


@pytest.mark.parametrize(
    "prefix",
    ["/", "//evil.example", "https://evil.example", "zoo", "/zoo//x", "/zoo?x", "/zoo#", "/ö", "/z" * 101, '/"'],
)
async def test_a_prefix_that_is_no_plain_path_is_ignored(http, prefix):
    answer = await http.post("/audit", json=ASK, headers=[(b"X-Forwarded-Prefix", prefix.encode())])
    assert answer.headers["location"] == f"/audit/{answer.json()['id']}" == answer.json()["links"]["self"]
