"""Both clients with the real service, and a real worker process that reports made-up scores."""

import asyncio
import itertools
import time

import pytest
from zooaudit import AsyncAuditClient, AuditCanceled, AuditClient, AuditFailed, InvalidRequest, NotFound

from service import stack
from tests.client.samples import CLIENTS, got
from tests.e2e.harness import FAKE_WORKER

SEEDS = itertools.count(1)
LIMIT_S = 30


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library-stack")
    env = {"ZOOAUDIT_API_KEYS": "secret", "FAKE_RUNS": str(folder)}
    with stack.running(folder, env=env, worker_command=FAKE_WORKER) as running:
        yield running


@pytest.fixture(params=CLIENTS)
async def client(request, service):
    http = request.param(service.url, api_key="secret")
    yield http
    await got(http.close())


def ask(model: str, **options) -> dict[str, object]:
    return {
        "model": model,
        "weights": "untrained",
        "dataset": "synthetic",
        "num_images": 2,
        "seed": next(SEEDS),
        **options,
    }


async def test_an_audit_from_asking_to_the_report(client):
    handle = await got(client.audit(**ask("slow")))
    report = await got(handle.wait(timeout=LIMIT_S, progress=False))
    assert (report.id, report.model.name) == (handle.id, "timm/slow.v1")
    assert report == await got(client.report(handle.id))
    assert (await got(handle.status())).status == "succeeded"
    newest = await got(client.audits(status="succeeded", model="slow", limit=1))
    assert [audit.id for audit in list(newest)] == [handle.id]


async def test_every_wait_ends(client):
    handle = await got(client.audit(**ask("fails")))
    with pytest.raises(AuditFailed, match="Ask for untrained weights"):
        await got(handle.wait(timeout=LIMIT_S))
    handle = await got(client.audit(**ask("slow", num_images=3000)))
    await got(handle.cancel())
    started = time.monotonic()
    with pytest.raises(AuditCanceled):
        await got(handle.wait(timeout=LIMIT_S))
    assert time.monotonic() - started < LIMIT_S


async def test_audits_are_compared(client):
    options = {**ask("quick"), "weights": "pretrained"}
    handles = [await got(client.audit(**options, repetition=number)) for number in range(4)]
    reports = [await got(handle.wait(timeout=LIMIT_S, progress=False)) for handle in handles]
    comparison = await got(client.compare([handles[0], reports[1], await got(handles[2].status()), handles[3].id]))
    assert [audit.id for audit in comparison.audits] == [handle.id for handle in handles]
    assert {audit.imagenet_top1 for audit in comparison.audits} == {None}
    assert comparison.accuracy["Early"].rotation.layer.reason
    assert "timm/quick.v1" in repr(comparison)

    given = {"quick.v1": 71.5, handles[1].id: 1 / 3}
    comparison = await got(client.compare(handles, top1=given))
    assert [audit.imagenet_top1 for audit in comparison.audits] == [71.5, 0.333333, 71.5, 71.5]

    other = await got(client.audit(**{**options, "num_images": 3}))
    await got(other.wait(timeout=LIMIT_S, progress=False))
    with pytest.raises(InvalidRequest, match="Scores compare only between audits of one method"):
        await got(client.compare([handles[0], other]))


async def test_models_health_and_what_is_not_there(client):
    assert (await got(client.models("slow"))).models[0].name == "timm/slow"
    assert (await got(client.model("slow", wait_s=0))).architecture == "slow"
    assert (await got(client.health())).workers == 1
    with pytest.raises(NotFound, match="no audit with this id"):
        await got(client.status("0" * 32))


async def test_audits_are_waited_for_side_by_side(service):
    async with AsyncAuditClient(service.url, api_key="secret") as client:
        asked = [await client.audit(**ask("quick")) for _ in range(4)]
        reports = await asyncio.gather(*(handle.wait(LIMIT_S, progress=False) for handle in asked))
    assert [report.id for report in reports] == [handle.id for handle in asked]


def test_the_key_comes_from_the_environment(service, monkeypatch):
    monkeypatch.setenv("ZOOAUDIT_API_KEY", "secret")
    with AuditClient(service.url) as client:
        assert client.audit(**ask("quick")).wait(LIMIT_S, progress=False).images.count == 2
