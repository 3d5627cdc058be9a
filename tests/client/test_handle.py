"""Handles, from the request to the report, whether the audit succeeds or not and the wait is interrupted or not."""

import asyncio

import pytest
import zooaudit
from zooaudit.contract import problem

from tests.client.samples import ID, Script, answer, audit, got, report, sharing

WORK = answer(audit("running", phase="measuring", done=1, total=4), Retry_After="0")


async def test_from_asking_to_the_report(make, capsys):
    http, sent = make(answer(audit(), 202), WORK, answer(audit("succeeded")), answer(report()))
    handle = await got(http.audit("timm/resnet18", num_images=8))
    assert handle.id == ID
    assert repr(handle) == f"<{type(handle).__name__} {ID} timm/resnet18.a1_in1k>"
    assert await got(handle.wait(timeout=10)) == report()
    assert [(request.method, request.url.path) for request in sent.requests] == [
        ("POST", "/audit"),
        ("GET", f"/audit/{ID}"),
        ("GET", f"/audit/{ID}"),
        ("GET", f"/audit/{ID}/report"),
    ]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "timm/resnet18.a1_in1k: waiting for a worker",
        "timm/resnet18.a1_in1k: measuring 1/4 forward images (25 %)",
        "timm/resnet18.a1_in1k: succeeded",
    ]


async def test_a_handle_tells_who_measures_what(make, capsys):
    shared = audit("running", phase="measuring", done=1, total=4).model_copy(update={"sharing": sharing()})
    http, _ = make(answer(audit(), 202), answer(shared), answer(shared), answer(audit("succeeded")), answer(report()))
    handle = await got(http.audit("timm/resnet18"))
    now = await got(handle.status())
    assert isinstance(now.sharing, zooaudit.Sharing)
    assert now.sharing == sharing()
    assert (now.sharing.shards[3].baseline_seed, now.sharing.shards[0].baseline_seed) == (0, None)
    await got(handle.wait())
    assert "measuring 1/4 forward images (25 %), on 3 workers\n" in capsys.readouterr().err


async def test_the_rest_of_a_handle_is_the_client_s(make):
    http, sent = make(answer(audit(), 202), answer(audit("running")), answer(report()), answer(audit("canceled")))
    handle = await got(http.audit("timm/resnet18"))
    assert (await got(handle.status())).status == "running"
    assert await got(handle.report()) == report()
    assert (await got(handle.cancel())).status == "canceled"
    assert [request.method for request in sent.requests] == ["POST", "GET", "GET", "DELETE"]


async def test_an_audit_that_failed(make, capsys):
    why = problem("hub-unreachable", "The hub did not answer")
    http, _ = make(answer(audit(), 202), WORK, answer(audit("failed", error=why)))
    handle = await got(http.audit("timm/resnet18"))
    with pytest.raises(zooaudit.AuditFailed, match=r"failed\. The hub did not answer\.") as caught:
        await got(handle.wait(progress=False))
    assert caught.value.audit.error == why
    assert capsys.readouterr().err == ""


async def test_an_audit_that_was_canceled(make):
    http, _ = make(answer(audit(), 202), WORK, answer(audit("canceled")))
    handle = await got(http.audit("timm/resnet18"))
    with pytest.raises(zooaudit.AuditCanceled):
        await got(handle.wait())


async def test_time_runs_out(make, capsys):
    http, _ = make(answer(audit(), 202), WORK)
    handle = await got(http.audit("timm/resnet18"))
    with pytest.raises(zooaudit.WaitTimeout):
        await got(handle.wait(timeout=0.2))
    assert "Stopped waiting" not in capsys.readouterr().err


async def test_ctrl_c_says_that_the_audit_goes_on(make, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    http, sent = make(answer(audit(), 202), WORK, interrupt)
    handle = await got(http.audit("timm/resnet18"))
    with pytest.raises(KeyboardInterrupt):
        await got(handle.wait())
    assert capsys.readouterr().err.splitlines()[-1] == f"Stopped waiting; audit {ID} goes on."
    assert {request.method for request in sent.requests} == {"POST", "GET"}


async def test_a_task_that_is_canceled_says_so_too(capsys):
    http = zooaudit.AsyncAuditClient(transport=Script(answer(audit("running"), Retry_After="30")))
    waiting = asyncio.create_task((await http.audit("timm/resnet18")).wait())
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert capsys.readouterr().err.splitlines()[-1] == f"Stopped waiting; audit {ID} goes on."
