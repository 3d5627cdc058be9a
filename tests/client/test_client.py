"""One request of either client: what it sends, how it reads answers and problems, when it repeats the request."""

import inspect
import json
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
import zooaudit
from zooaudit.contract import MAX_BATCH, AuditList, AuditRequest, Batch, BatchAnswer, BatchAnswers, problem

from tests.client.samples import (
    CLIENTS,
    ID,
    NO_SUCH_MODEL,
    Script,
    answer,
    audit,
    comparison,
    cost,
    foreign_problem,
    got,
    model_detail,
    report,
    whole_report,
)


async def test_submit_sends_the_whole_request_and_the_key(make):
    http, sent = make(answer(audit(), 202), api_key="secret")
    options = {"weights": "untrained", "translations_px": range(1, 4), "rotations_deg": [270, 90]}
    accepted = await got(http.submit("timm/resnet18", **options))
    assert accepted == audit()
    (request,) = sent.requests
    assert (request.method, request.url.path) == ("POST", "/audit")
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["Content-Type"] == "application/json"
    expected = AuditRequest(
        model="timm/resnet18", weights="untrained", translations_px=(1, 2, 3), rotations_deg=(90, 270)
    )
    assert AuditRequest.model_validate_json(request.content) == expected


async def test_submit_takes_a_ready_request(make):
    http, sent = make(answer(audit()))
    request = AuditRequest(model="torchvision/vit_b_16", num_images=7)
    await got(http.submit(request))
    assert json.loads(sent.requests[0].content) == request.model_dump(mode="json")


async def test_many_audits_are_asked_for_in_batches(make):
    requests = [AuditRequest(model="timm/resnet18", seed=seed) for seed in range(MAX_BATCH + 1)]
    refused = problem("unknown-model", "There is no such model.")

    def serve(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/audits"
        asked = Batch.model_validate_json(request.content).audits
        answers = [
            BatchAnswer(status=422, problem=refused) if one.seed == 1 else BatchAnswer(status=202, audit=audit())
            for one in asked
        ]
        return answer(BatchAnswers(answers=tuple(answers)))

    http, sent = make(serve)
    found = await got(http.submit_all(requests))
    assert len(sent.requests) == 2
    assert len(found) == MAX_BATCH + 1
    assert found[1] == refused
    assert repr(found[0]).startswith("<Audit")


async def test_the_cost_of_an_audit_is_asked_for_with_the_same_request(make):
    http, sent = make(answer(cost()))
    told = await got(http.cost("timm/resnet18", num_images=64, rotations_deg=[270, 90]))
    assert isinstance(told, zooaudit.Cost)
    assert told == cost()
    (request,) = sent.requests
    assert (request.method, request.url.path, request.url.query) == ("POST", "/audit", b"dry_run=true")
    expected = AuditRequest(model="timm/resnet18", num_images=64, rotations_deg=(90, 270))
    assert AuditRequest.model_validate_json(request.content) == expected
    with pytest.raises(zooaudit.InvalidRequest):
        await got(http.cost("timm/resnet18", num_images=0))
    assert len(sent.requests) == 1


async def test_an_older_service_that_accepts_the_audit_is_made_to_cancel_it(make):
    http, sent = make(answer(audit(), 202), answer(audit("canceled")))
    with pytest.raises(zooaudit.UnexpectedAnswer, match=r"is older and tells no costs: .* was canceled again"):
        await got(http.cost("timm/resnet18"))
    assert [(request.method, request.url.path) for request in sent.requests][1:] == [("DELETE", f"/audit/{ID}")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_images": 0}, "num_images: Input should be greater than or equal to 1."),
        ({"translations_px": [1, 1]}, "translations_px: each value may be given only once."),
        ({"translations_px": [], "rotations_deg": []}, "at least one translation, rotation, reflection or warp."),
        ({"rotations_deg": [45]}, "rotations_deg.0: Input should be 90, 180 or 270."),
        ({"number": 1}, "number: there is no such field."),
    ],
)
async def test_a_wrong_request_is_refused_without_sending_it(make, options, message):
    http, sent = make(answer(audit()))
    with pytest.raises(zooaudit.InvalidRequest) as caught:
        await got(http.submit("timm/resnet18", **options))
    assert str(caught.value).endswith(message)
    assert caught.value.problem.errors
    assert sent.requests == []


@pytest.mark.parametrize("client_type", CLIENTS)
async def test_address_and_key_come_from_the_environment(client_type, monkeypatch):
    monkeypatch.setenv("ZOOAUDIT_URL", "http://elsewhere.test:81/prefix")
    monkeypatch.setenv("ZOOAUDIT_API_KEY", "from-environment")
    transport = Script(answer(audit()))
    http = client_type(transport=transport)
    await got(http.status(ID))
    assert repr(http) == f"{client_type.__name__}('http://elsewhere.test:81/prefix')"
    assert transport.requests[0].url == f"http://elsewhere.test:81/prefix/audit/{ID}"
    assert transport.requests[0].headers["Authorization"] == "Bearer from-environment"


@pytest.mark.parametrize("client_type", CLIENTS)
@pytest.mark.parametrize("url", ["service:8000", "ftp://service", "http://", "http://[::1"])
def test_a_wrong_address_is_a_value_error(client_type, url):
    with pytest.raises(ValueError, match="is not a"):
        client_type(url)


@pytest.mark.parametrize("key", ["line\nbreak", "two words", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_repeated(make, key):
    with pytest.raises(ValueError, match="no header can carry") as caught:
        make(answer(audit()), api_key=key)
    assert key not in str(caught.value)


async def test_both_clients_are_context_managers():
    with zooaudit.AuditClient("http://service.test", transport=Script(answer(audit()))) as blocking:
        assert blocking.status(ID) == audit()
    with pytest.raises(RuntimeError, match="closed"):
        blocking.status(ID)
    async with zooaudit.AsyncAuditClient("http://service.test", transport=Script(answer(audit()))) as awaiting:
        assert await awaiting.status(ID) == audit()
    with pytest.raises(RuntimeError, match="closed"):
        await awaiting.status(ID)


def test_the_clients_have_the_same_methods():
    def shape(owner: type) -> dict[str, list[tuple[str, object, object]]]:
        return {
            name: [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]
            for name, method in vars(owner).items()
            if inspect.isfunction(method) and not name.startswith("_")
        }

    for blocking, awaiting in (CLIENTS, (zooaudit.AuditHandle, zooaudit.AsyncAuditHandle)):
        assert shape(blocking) == shape(awaiting)
        assert len(shape(blocking)) >= 4


async def test_names_are_quoted_in_paths(make):
    http, sent = make(answer(NO_SUCH_MODEL, 422))
    for call in (http.status, http.cancel, http.report, http.model):
        with pytest.raises(zooaudit.InvalidRequest):
            await got(call("a/../b?c"))
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
async def test_a_problem_becomes_its_error(make, status, error):
    refusal = foreign_problem(status, "What is wrong", "Title", suggestions=("timm/a", "timm/b"))
    http, _ = make(answer(refusal, status), retry_s=0)
    with pytest.raises(error) as caught:
        await got(http.status(ID))
    assert type(caught.value) is error
    assert caught.value.problem == refusal
    assert str(caught.value) == "What is wrong. Did you mean timm/a or timm/b?"


async def test_an_error_that_is_no_problem_is_described_by_its_status(make):
    http, _ = make(httpx.Response(502, text="<html>bad gateway</html>"))
    with pytest.raises(zooaudit.Unavailable, match=rf"http://service.test/audit/{ID} answered 502 Bad Gateway\."):
        await got(http.status(ID))


@pytest.mark.parametrize("body", ["<html>", "{}", '{"status": "ok"}', ""])
async def test_another_service_is_an_unexpected_answer(make, body):
    http, _ = make(httpx.Response(200, text=body))
    with pytest.raises(zooaudit.UnexpectedAnswer, match="another service, or another version"):
        await got(http.health())


async def test_a_newer_service_may_answer_with_more(make):
    old = whole_report()
    newer = json.loads(old.model_dump_json()) | {"later": 1}
    newer["parts"]["Early"]["later"] = newer["blocks"][0]["later"] = {"channel": 0.5}
    http, _ = make(httpx.Response(200, json=newer))
    assert await got(http.report(ID)) == old


async def test_connection_errors_are_tried_again(make):
    http, sent = make(httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), answer(audit()))
    assert await got(http.status(ID)) == audit()
    assert len(sent.requests) == 3


async def test_retries_end(make):
    http, sent = make(httpx.ConnectError("refused"), retry_s=0.5)
    started = time.monotonic()
    with pytest.raises(zooaudit.ConnectionFailed, match=r"Cannot reach http://service.test: refused\."):
        await got(http.status(ID))
    assert 2 <= len(sent.requests) <= 6
    assert time.monotonic() - started < 2


async def test_the_error_of_a_timeout_names_its_length(make):
    http, _ = make(httpx.ReadTimeout("slow"), retry_s=0, timeout=3.5)
    with pytest.raises(zooaudit.ConnectionFailed, match=r"no answer within 3\.5 s"):
        await got(http.status(ID))


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_obeyed(make, status):
    busy = answer(foreign_problem(status, "Later."), status, Retry_After="0.3")
    http, sent = make(busy, answer(audit()))
    started = time.monotonic()
    assert await got(http.status(ID)) == audit()
    assert time.monotonic() - started >= 0.3
    assert len(sent.requests) == 2


async def test_a_retry_after_beyond_retry_s_ends_the_request(make):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    for header in ("100", later):
        busy = answer(foreign_problem(429, "Later."), 429, Retry_After=header)
        http, sent = make(busy)
        with pytest.raises(zooaudit.Unavailable) as caught:
            await got(http.status(ID))
        assert len(sent.requests) == 1
        assert caught.value.retry_after_s == pytest.approx(100, abs=3)


async def test_other_errors_are_not_tried_again(make):
    http, sent = make(answer(foreign_problem(500, "Oh.", "Internal error"), 500))
    with pytest.raises(zooaudit.Unavailable):
        await got(http.status(ID))
    assert len(sent.requests) == 1


async def test_report_of_an_audit_without_one(make):
    not_ready = answer(problem("not-ready", "The audit is running."), 409)
    failure = problem("hub-unreachable", "The hub did not answer")
    http, _ = make(not_ready, answer(audit("failed", error=failure)))
    with pytest.raises(zooaudit.AuditFailed, match=r"timm/resnet18.a1_in1k failed. The hub did not answer\.") as caught:
        await got(http.report(ID))
    assert caught.value.audit.error == failure
    http, _ = make(not_ready, answer(audit("canceled")))
    with pytest.raises(zooaudit.AuditCanceled, match="was canceled"):
        await got(http.report(ID))
    http, _ = make(not_ready, answer(audit("running")))
    with pytest.raises(zooaudit.Conflict, match="is running"):
        await got(http.report(ID))


async def test_a_report_has_the_contract_s_fields(make):
    http, _ = make(answer(report()))
    assert (await got(http.report(ID))).parts["Early"].translation.channel == 0.91


async def test_audits_are_listed_page_by_page(make):
    names = [f"{index:032x}" for index in range(5)]

    def page(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params.get("cursor", "0"))
        end = start + 2
        chosen = tuple(audit(identifier=name) for name in names[start:end])
        return answer(AuditList(audits=chosen, total=len(names), next_cursor=str(end) if end < len(names) else None))

    http, sent = make(page)
    listed = http.audits(status=zooaudit.Status.QUEUED, model="timm/resnet18", sort="-model")
    assert [item.id for item in await got(listed)] == names
    assert [dict(request.url.params) for request in sent.requests] == [
        {"status": "queued", "model": "timm/resnet18", "sort": "-model", **cursor}
        for cursor in ({}, {"cursor": "2"}, {"cursor": "4"})
    ]
    sent.requests.clear()
    assert [item.id for item in await got(http.audits(limit=2))] == names[:2]
    assert len(sent.requests) == 1


@pytest.mark.parametrize("header", ["soon", "nan", "inf", "-1"])
async def test_a_retry_after_that_makes_no_sense_is_ignored(make, header):
    busy = answer(foreign_problem(503, "Later."), 503, Retry_After=header)
    http, sent = make(busy, answer(audit()))
    assert await got(http.status(ID)) == audit()
    assert len(sent.requests) == 2


async def test_comparing_asks_for_the_audits_in_order(make):
    http, sent = make(answer(comparison()))
    others = [audit(identifier="1" * 32), report(), zooaudit.AuditHandle(None, audit(identifier="2" * 32))]
    assert await got(http.compare(["f" * 32, *others])) == comparison()
    (request,) = sent.requests
    assert request.url.path == "/comparison"
    assert dict(request.url.params) == {"audits": ",".join(["f" * 32, "1" * 32, ID, "2" * 32])}


@pytest.mark.parametrize(
    ("model", "weights", "top1", "sent"),
    [
        ("timm/resnet50.a1_in1k", "pretrained", {"resnet50.a1_in1k": 80.2}, "80.200000"),
        ("timm/resnet50.a1_in1k", "pretrained", {"timm/resnet50.a1_in1k": 80.21, "resnet50.a1_in1k": 1}, "80.210000"),
        ("timm/resnet50.a1_in1k", "pretrained", {"resnet50": 80.2, "resnet50.tv_in1k": 76.1}, ""),
        ("timm/resnet50.a1_in1k", "untrained", {"resnet50.a1_in1k": 80.2}, ""),
        ("timm/resnet50.a1_in1k", "untrained", {ID: 0.1}, "0.100000"),
        ("torchvision/resnet50", "pretrained", {"resnet50": 80.2}, ""),
        ("torchvision/resnet50", "pretrained", {"torchvision/resnet50": 0.0}, "0.000000"),
    ],
)
async def test_accuracies_are_found_by_the_model_s_name(make, model, weights, top1, sent):
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/comparison":
            return answer(comparison())
        asked = AuditRequest(model=model, weights=weights)
        return answer(audit("succeeded").model_copy(update={"request": asked}))

    http, script = make(serve)
    with nullcontext() if sent else pytest.warns(UserWarning, match="accurac"):
        await got(http.compare([ID], top1=top1))
    assert script.requests[-1].url.params["top1"] == sent


@pytest.mark.parametrize(
    ("top1", "message"),
    [
        (
            {"resnet50.a1_in1k": 80.2},
            "An accuracy by a model's name is that of its pretrained weights and is not taken for "
            f"{ID} (timm/resnet50.a1_in1k (untrained)). Give it under the audit's id instead of the name.",
        ),
        ({ID: 1, "f" * 32: 2}, f"No compared audit has the id {'f' * 32}, for which there is an accuracy."),
        ({"resnet50": 80.2}, "None of the accuracies is of a compared audit, such as that of timm/resnet50.a1_in1k (u"),
    ],
)
async def test_an_accuracy_that_is_not_taken_is_told_to_the_caller(make, top1, message):
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/comparison":
            return answer(comparison())
        asked = AuditRequest(model="timm/resnet50.a1_in1k", weights="untrained")
        return answer(audit("succeeded").model_copy(update={"request": asked}))

    http, _ = make(serve)
    with pytest.warns(UserWarning, match="accurac") as caught:
        await got(http.compare([ID], top1=top1))
    (warning,) = caught
    assert str(warning.message).startswith(message)
    assert Path(warning.filename).parent == Path(__file__).parent  # the caller, not the library


async def test_the_start_of_an_id_is_enough(make):
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/audit":
            start = request.url.params["id"]
            found = [audit("succeeded", one) for one in (ID, f"0123f{'0' * 27}") if one.startswith(start)]
            return answer(AuditList(audits=tuple(found), total=len(found), next_cursor=None))
        if request.url.path == "/comparison":
            return answer(comparison())
        assert ID in request.url.path
        return answer(report() if request.url.path.endswith("/report") else audit("succeeded"))

    http, sent = make(serve)
    assert (await got(http.status("01234"))).id == ID
    assert (await got(http.report("01234"))).id == ID
    assert (await got(http.cancel("012345"))).id == ID
    assert (await got(http.wait("0123456789ABCDEF"))).id == ID
    await got(http.compare(["01234", "0123f"], top1={"01234": 71.5, "0123f0": 70}))
    assert dict(sent.requests[-1].url.params) == {
        "audits": f"{ID},0123f{'0' * 27}", "top1": "71.500000,70.000000"
    }  # fmt: skip
    asked = len(sent.requests)
    assert (await got(http.status(ID.upper()))).id == ID
    assert len(sent.requests) == asked + 1  # a whole id is not looked up

    with pytest.raises(zooaudit.InvalidRequest) as ambiguous:
        await got(http.report("0123"))
    assert str(ambiguous.value) == (
        f"2 audits have ids that start with 0123: {ID} (timm/resnet18.a1_in1k, succeeded), "
        f"0123f{'0' * 27} (timm/resnet18.a1_in1k, succeeded). Give more digits."
    )
    with pytest.raises(zooaudit.NotFound, match=r"There is no audit whose id starts with abcd\."):
        await got(http.cancel("abcd"))
    with pytest.raises(zooaudit.InvalidRequest, match="012 is too short for the start of an id: give 4 digits"):
        await got(http.status("012"))
    with pytest.raises(zooaudit.InvalidRequest, match="The id of an audit is missing"):
        await got(http.status(""))


async def test_an_older_service_that_does_not_look_for_starts_of_ids(make):
    http, _ = make(answer(AuditList(audits=(audit(identifier="f" * 32),), total=1, next_cursor=None)))
    with pytest.raises(zooaudit.UnexpectedAnswer, match=r"The service at http://service\.test is older and needs"):
        await got(http.cancel("abcd"))


async def test_one_id_is_not_several(make):
    http, _ = make(answer(comparison()))
    with pytest.raises(TypeError, match="several"):
        await got(http.compare(ID))


async def test_a_model_s_depth_is_waited_for(make):
    finding = answer(model_detail("A worker is finding them."), Retry_After="0.1")
    http, sent = make(finding, finding, answer(model_detail()))
    detail = await got(http.model("timm/resnet18"))
    assert [block.part for block in detail.blocks or ()] == ["Early"]
    assert [request.url.path for request in sent.requests] == ["/models/timm/resnet18"] * 3


async def test_a_model_s_depth_that_is_never_found(make):
    http, sent = make(answer(model_detail("It has no square input.")))
    assert (await got(http.model("timm/resnet18"))).blocks_reason == "It has no square input."
    assert len(sent.requests) == 1
    http, sent = make(answer(model_detail("A worker is finding them."), Retry_After="30"))
    started = time.monotonic()
    assert (await got(http.model("timm/resnet18", wait_s=0.2))).blocks is None
    assert 0.2 <= time.monotonic() - started < 2
    assert len(sent.requests) == 2
