"""Waiting with either client ends when the audit has ended, or when its time is up, and polls as the service asks."""

import time

import httpx
import pytest
import zooaudit
from zooaudit.contract import problem

from tests.client.samples import ID, answer, audit, foreign_problem, got


@pytest.mark.parametrize("end", ["succeeded", "failed", "canceled"])
async def test_it_ends_with_the_audit(make, end):
    http, sent = make(answer(audit()), answer(audit("running", phase="measuring", done=1, total=2)), answer(audit(end)))
    seen = []
    ended = await got(http.wait(ID, 10, poll_s=0.01, on_progress=lambda now: seen.append(str(now.status))))
    assert str(ended.status) == end
    assert seen == ["queued", "running", end]
    assert len(sent.requests) == 3


async def test_an_unchanged_audit_is_not_sent_again(make):
    def serve(request: httpx.Request) -> httpx.Response:
        if len(sent.requests) > 4:
            return answer(audit("succeeded"), ETag='"2"')
        if request.headers.get("If-None-Match") == '"1"':
            return httpx.Response(304, headers={"ETag": '"1"'})
        return answer(audit("running"), ETag='"1"')

    http, sent = make(serve)
    seen = []
    assert (await got(http.wait(ID, 10, poll_s=0.01, on_progress=seen.append))).status == "succeeded"
    assert [now.status for now in seen] == ["running", "succeeded"]
    assert [request.headers.get("If-None-Match") for request in sent.requests] == [None, *['"1"'] * 4]


async def test_it_polls_as_often_as_the_service_asks(make):
    http, _ = make(answer(audit("running"), Retry_After="0.4"), answer(audit("succeeded")))
    started = time.monotonic()
    await got(http.wait(ID))
    assert 0.4 <= time.monotonic() - started < 2


async def test_time_runs_out(make):
    http, sent = make(answer(audit("running"), Retry_After="30"))
    started = time.monotonic()
    with pytest.raises(
        zooaudit.WaitTimeout, match=rf"Audit {ID} is still running after 0\.3 s; it goes on\."
    ) as caught:
        await got(http.wait(ID, 0.3))
    assert 0.3 <= time.monotonic() - started < 2
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.audit.status == "running"
    assert [request.method for request in sent.requests] == ["GET", "GET"]  # a last look, and nothing is canceled


async def test_a_wait_survives_a_restart_of_the_service(make):
    away = (httpx.ConnectError("refused"), answer(foreign_problem(503, "Starting."), 503, Retry_After="0"))
    http, sent = make(answer(audit("running")), *away, answer(audit("succeeded")), retry_s=0)
    assert (await got(http.wait(ID, 10, poll_s=0.01))).status == "succeeded"
    assert len(sent.requests) == 4


async def test_a_service_that_is_away_until_time_runs_out(make):
    http, _ = make(answer(audit("running")), httpx.ConnectError("refused"))
    with pytest.raises(zooaudit.WaitTimeout, match=r"it goes on\. Cannot reach http://service.test: refused"):
        await got(http.wait(ID, 0.5, poll_s=0.01))


async def test_a_service_that_was_never_there(make):
    http, _ = make(httpx.ConnectError("refused"))
    with pytest.raises(zooaudit.ConnectionFailed):
        await got(http.wait(ID, 0.3))


async def test_an_audit_that_is_gone(make):
    http, _ = make(answer(audit("running")), answer(problem("not-found", "No such audit."), 404))
    with pytest.raises(zooaudit.NotFound):
        await got(http.wait(ID, 10, poll_s=0.01))


async def test_no_request_outlasts_the_wait_by_more_than_a_last_look(make):
    http, sent = make(answer(audit("running"), Retry_After="30"), timeout=10)
    with pytest.raises(zooaudit.WaitTimeout):
        await got(http.wait(ID, 0.1))
    assert [request.extensions["timeout"]["read"] for request in sent.requests] == [1.0, 1.0]
