"""One request of the client: what it sends, how it reads answers and problems, when it tries again."""

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
import zooaudit
from zooaudit.contract import AuditList, AuditRequest, problem

from tests.client.samples import ID, NO_SUCH_MODEL, Script, answer, audit, report


def client(*steps, **options):
    transport = Script(*steps)
    return zooaudit.AuditClient("http://service.test", transport=transport, **options), transport


def test_submit_sends_the_whole_request_and_the_key():
    http, sent = client(answer(audit(), 202), api_key="secret")
    accepted = http.submit("timm/resnet18", weights="untrained", translations_px=range(1, 4), rotations_deg=[270, 90])
    assert accepted == audit()
    (request,) = sent.requests
    assert (request.method, request.url.path) == ("POST", "/audit")
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["Content-Type"] == "application/json"
    expected = AuditRequest(
        model="timm/resnet18", weights="untrained", translations_px=(1, 2, 3), rotations_deg=(90, 270)
    )
    assert AuditRequest.model_validate_json(request.content) == expected


def test_submit_takes_a_ready_request():
    http, sent = client(answer(audit()))
    request = AuditRequest(model="torchvision/vit_b_16", num_images=7)
    http.submit(request)
    assert json.loads(sent.requests[0].content) == request.model_dump(mode="json")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_images": 0}, "num_images: Input should be greater than or equal to 1."),
        ({"translations_px": [1, 1]}, "translations_px: each value may be given only once."),
        ({"translations_px": [], "rotations_deg": []}, "at least one translation or rotation."),
        ({"rotations_deg": [45]}, "rotations_deg.0: Input should be 90, 180 or 270."),
        ({"number": 1}, "number: Extra inputs are not permitted."),
    ],
)
def test_a_wrong_request_is_told_without_sending_it(options, said):
    http, sent = client(answer(audit()))
    with pytest.raises(zooaudit.InvalidRequest) as caught:
        http.submit("timm/resnet18", **options)
    assert str(caught.value).endswith(said)
    assert caught.value.problem.errors
    assert sent.requests == []


def test_address_and_key_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("ZOOAUDIT_URL", "http://elsewhere.test:81/prefix")
    monkeypatch.setenv("ZOOAUDIT_API_KEY", "from-environment")
    transport = Script(answer(audit()))
    with zooaudit.AuditClient(transport=transport) as http:
        http.status(ID)
    assert transport.requests[0].url == f"http://elsewhere.test:81/prefix/audit/{ID}"
    assert transport.requests[0].headers["Authorization"] == "Bearer from-environment"


@pytest.mark.parametrize("url", ["service:8000", "ftp://service", "http://", "http://[::1"])
def test_a_wrong_address_is_a_value_error(url):
    with pytest.raises(ValueError, match="is not a"):
        zooaudit.AuditClient(url)


def test_names_are_quoted_in_paths():
    http, sent = client(answer(NO_SUCH_MODEL, 422))
    for call in (http.status, http.cancel, http.report, http.model):
        with pytest.raises(zooaudit.InvalidRequest):
            call("a/../b?c")
    paths = [request.url.raw_path.decode() for request in sent.requests]
    assert paths[:3] == ["/audit/a%2F..%2Fb%3Fc", "/audit/a%2F..%2Fb%3Fc", "/audit/a%2F..%2Fb%3Fc/report"]
    assert all("?" not in path for path in paths)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, zooaudit.InvalidRequest),
        (401, zooaudit.Unauthorized),
        (403, zooaudit.Unauthorized),
        (404, zooaudit.NotFound),
        (409, zooaudit.Conflict),
        (413, zooaudit.InvalidRequest),
        (422, zooaudit.InvalidRequest),
        (405, zooaudit.ApiError),
        (429, zooaudit.Unavailable),
        (500, zooaudit.Unavailable),
        (503, zooaudit.Unavailable),
    ],
)
def test_a_problem_becomes_its_error(status, error):
    told = problem("some-word", "Title", status, "What is wrong", suggestions=("timm/a", "timm/b"))
    http, _ = client(answer(told, status), retry_s=0)
    with pytest.raises(error) as caught:
        http.status(ID)
    assert type(caught.value) is error
    assert caught.value.problem == told
    assert str(caught.value) == "What is wrong. Did you mean timm/a or timm/b?"


def test_an_error_that_is_no_problem_is_told_by_its_status():
    http, _ = client(httpx.Response(502, text="<html>bad gateway</html>"))
    with pytest.raises(zooaudit.Unavailable, match=rf"http://service.test/audit/{ID} answered 502 Bad Gateway\."):
        http.status(ID)


@pytest.mark.parametrize("body", ["<html>", "{}", '{"status": "ok"}', ""])
def test_another_service_is_an_unexpected_answer(body):
    http, _ = client(httpx.Response(200, text=body))
    with pytest.raises(zooaudit.UnexpectedAnswer, match="another service, or another version"):
        http.health()


def test_connection_errors_are_tried_again():
    http, sent = client(httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), answer(audit()))
    assert http.status(ID) == audit()
    assert len(sent.requests) == 3


def test_retries_end():
    http, sent = client(httpx.ConnectError("refused"), retry_s=0.5)
    started = time.monotonic()
    with pytest.raises(zooaudit.ConnectionFailed, match=r"Cannot reach http://service.test: refused\."):
        http.status(ID)
    assert 2 <= len(sent.requests) <= 6
    assert time.monotonic() - started < 2


def test_a_timeout_is_told_with_its_length():
    http, _ = client(httpx.ReadTimeout("slow"), retry_s=0, timeout=3.5)
    with pytest.raises(zooaudit.ConnectionFailed, match=r"no answer within 3\.5 s"):
        http.status(ID)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(status):
    busy = answer(problem("busy", "Busy", status, "Later."), status, Retry_After="0.3")
    http, sent = client(busy, answer(audit()))
    started = time.monotonic()
    assert http.status(ID) == audit()
    assert time.monotonic() - started >= 0.3
    assert len(sent.requests) == 2


def test_a_retry_after_beyond_the_patience_is_handed_on():
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    for header in ("100", later):
        busy = answer(problem("busy", "Busy", 429, "Later."), 429, Retry_After=header)
        http, sent = client(busy)
        with pytest.raises(zooaudit.Unavailable) as caught:
            http.status(ID)
        assert len(sent.requests) == 1
        assert caught.value.retry_after_s == pytest.approx(100, abs=3)


def test_other_errors_are_not_tried_again():
    http, sent = client(answer(problem("internal", "Internal error", 500, "Oh."), 500))
    with pytest.raises(zooaudit.Unavailable):
        http.status(ID)
    assert len(sent.requests) == 1


def test_report_of_an_audit_without_one():
    not_ready = answer(problem("not-ready", "No report", 409, "The audit is running."), 409)
    told = problem("hub-unreachable", "Hub unreachable", 502, "The hub did not answer")
    http, _ = client(not_ready, answer(audit("failed", error=told)))
    with pytest.raises(zooaudit.AuditFailed, match=r"timm/resnet18.a1_in1k failed. The hub did not answer\.") as caught:
        http.report(ID)
    assert caught.value.audit.error == told
    http, _ = client(not_ready, answer(audit("canceled")))
    with pytest.raises(zooaudit.AuditCanceled, match="was canceled"):
        http.report(ID)
    http, _ = client(not_ready, answer(audit("running")))
    with pytest.raises(zooaudit.Conflict, match="is running"):
        http.report(ID)


def test_report_is_the_contract_s_object():
    http, _ = client(answer(report()))
    assert http.report(ID).parts["Early"].translation.channel == 0.91


def test_audits_are_listed_page_by_page():
    names = [f"{index:032x}" for index in range(5)]

    def page(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params.get("cursor", "0"))
        end = start + 2
        chosen = tuple(audit(identifier=name) for name in names[start:end])
        return answer(AuditList(audits=chosen, total=len(names), next_cursor=str(end) if end < len(names) else None))

    http, sent = client(page)
    assert [found.id for found in http.audits(status=zooaudit.Status.QUEUED, model="timm/resnet18")] == names
    assert [dict(request.url.params) for request in sent.requests] == [
        {"status": "queued", "model": "timm/resnet18", **cursor} for cursor in ({}, {"cursor": "2"}, {"cursor": "4"})
    ]
    sent.requests.clear()
    assert [found.id for found in http.audits(limit=2)] == names[:2]
    assert len(sent.requests) == 1
