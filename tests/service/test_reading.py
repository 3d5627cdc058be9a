"""The service explains words, and tells what a report says in words."""

from zooaudit.contract import TERMS, AuditRequest, Reading, Terms
from zooaudit.views.reading import reading

from tests.fakes import ASK, is_problem, report_of


async def test_a_report_in_words(http, store_report):
    report = report_of(AuditRequest(**ASK))
    store_report(report)
    path = f"/audit/{report.id}/reading"
    answer = await http.get(path)
    assert answer.status_code == 200
    assert Reading.model_validate_json(answer.content) == reading(report)
    assert "its features move with it at every depth" in answer.json()["sentences"][0]["text"]
    assert (await http.get(path, headers={"If-None-Match": answer.headers["etag"]})).status_code == 304


async def test_without_a_report_there_is_nothing_to_read(http):
    identifier = (await http.post("/audit", json=ASK)).json()["id"]
    assert is_problem(await http.get(f"/audit/{identifier}/reading"), 409, "not-ready")
    assert is_problem(await http.get(f"/audit/{'0' * 32}/reading"), 404, "unknown-audit")


async def test_the_terms(http):
    answer = await http.get("/terms")
    assert Terms.model_validate_json(answer.content).terms == TERMS
    assert (await http.get("/terms", headers={"If-None-Match": answer.headers["etag"]})).status_code == 304


async def test_the_page_of_the_measure(http):
    answer = await http.get("/method")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "script-src" not in answer.headers["content-security-policy"]
    assert '<strong id="layer-held-out">' in answer.text
    for path in ("static/css/base.css", "static/css/prose.css"):
        assert f'"{path}"' in answer.text
        assert (await http.get(f"/{path}")).status_code == 200
