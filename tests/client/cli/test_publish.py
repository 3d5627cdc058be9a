"""The commands that write reports for others, with a service that plays its answers."""

import json

import httpx
import pytest
from zooaudit import AuditClient
from zooaudit.cli.parser import make_parser
from zooaudit.contract import AuditList, problem

from tests.client.samples import Script, answer, report
from tests.client.site.test_publishing import Store, measured


@pytest.fixture
def run():
    def command(transport, *arguments):
        args = make_parser().parse_args(arguments)
        with AuditClient("http://service.test", transport=transport) as client:
            return args.run(client, args)

    return command


def service(store: Store) -> Script:
    """A service that has the reports of ``store``, and knows their tags."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/audit":
            audits = tuple(store.audits())
            return answer(AuditList(audits=audits, total=len(audits), next_cursor=None))
        identifier = request.url.path.split("/")[2]
        if identifier not in store.reports:
            return answer(problem("report-lost", "The store has lost this report."), 404)
        tag = request.headers.get("If-None-Match", "").strip('"')
        content = store.reports[identifier].model_dump_json().encode()
        store.sent.append(identifier)
        return httpx.Response(304) if tag else httpx.Response(200, content=content)

    return Script(respond)


def test_publish_brings_a_folder_up_to_date(run, tmp_path, capsys):
    store = Store(*(measured(f"timm/{name}.a1_in1k") for name in ("resnet18", "resnet50")))
    folder = tmp_path / "site"
    assert run(service(store), "publish", str(folder), "--title", "Ours") == 0
    assert capsys.readouterr().out.startswith(f"2 reports in {folder / 'index.html'}")
    assert "<title>Ours</title>" in (folder / "index.html").read_text()
    store.sent.clear()
    assert run(service(store), "publish", str(folder), "--title", "Ours", "--json") == 0
    assert json.loads(capsys.readouterr().out) | {"bytes": 0} == {
        "reports": 2,
        "fetched": 0,
        "written": 0,
        "removed": 0,
        "bytes": 0,
        "lost": [],
    }
    assert store.sent == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"not empty: it has thesis\.tex\. Give a new or empty folder\.$"):
        run(service(store), "publish", str(tmp_path / "mine"))
    with pytest.raises(ValueError, match=r"^No audit with a report matches.*site stays as it is\.$"):
        run(service(store), "publish", str(folder), "--dataset", "other")


def test_a_report_that_the_service_has_lost_is_named(run, tmp_path, capsys):
    store = Store(measured("timm/resnet18.a1_in1k"), measured("timm/resnet50.a1_in1k"))
    audits, lost = store.audits(), next(iter(store.reports))
    del store.reports[lost]
    store.audits = lambda: audits
    assert run(service(store), "publish", str(tmp_path / "site")) == 4
    captured = capsys.readouterr()
    assert captured.err.endswith(f"Left out: the service has lost the report of {lost}.\n")
    assert captured.out.startswith("1 report in")


def test_export_prints_one_document_with_json(run, tmp_path, capsys):
    page = tmp_path / "report.html"
    transport = Script(answer(report()))
    assert run(transport, "export", report().id, "--to", "html", "--output", str(page), "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"audit": report().id, "to": "html", "places": [str(page)]}
    assert captured.err == ""
    assert page.read_text().startswith("<!doctype html>")
