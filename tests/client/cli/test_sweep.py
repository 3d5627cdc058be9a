"""``zooaudit sweep``: which models it leaves out, how it groups what fails, when it stops, and what it sums up."""

import json
import time

import httpx
import pytest
from zooaudit import AuditClient
from zooaudit.cli import commands, make_parser
from zooaudit.cli.entry import reporting_errors
from zooaudit.cli.sweep import sweep as run_sweep
from zooaudit.contract import Audit, AuditRequest, CatalogueEntry, ModelList, Problem, QueuePosition, problem

from tests.client.samples import Script, answer, audit, report

UNSUPPORTED = "its input is not square"
NO_WEIGHTS = "no pretrained weights; --weights untrained audits such models"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)


def entry(name: str, **changes: object) -> CatalogueEntry:
    body = {"name": f"timm/{name}", "source": "timm", "family": "f", "architecture": name, "tags": ("in1k",)}
    return CatalogueEntry(**{**body, "pretrained": True, "input_size": 224, "supported": True, **changes})


CATALOGUE = (
    *(entry(f"net{place}") for place in range(6)),
    entry("net_wide", supported=False, reason=f"{UNSUPPORTED}."),
    entry("net_wider", supported=False, reason=UNSUPPORTED),
    entry("net9", pretrained=False, tags=()),
    entry("other_wide", supported=False, reason=UNSUPPORTED),
)


class Service:
    """A service with the catalogue above, which fails or refuses the models of some places."""

    def __init__(self, failed: tuple[int, ...] = (), refused: tuple[int, ...] = (), lost: tuple[int, ...] = ()) -> None:
        self.failed, self.refused, self.lost = failed, refused, lost
        self.asked: list[str] = []
        self.priorities: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/models":
            return answer(ModelList(models=CATALOGUE, total=len(CATALOGUE)))
        if request.method == "POST":
            body = AuditRequest.model_validate_json(request.content)
            self.asked.append(body.model)
            self.priorities.add(body.priority)
            place = int(body.model.removeprefix("timm/net").split(".")[0])
            if place in self.refused:
                return answer(problem("unknown-dataset", f"There is no data set {body.dataset!r}."), 422)
            return answer(self.audit(place, body.model, "queued"), 202)
        place = int(request.url.path.split("/")[2], 16)
        if request.url.path.endswith("/report"):
            if place in self.lost:
                return answer(problem("report-lost", "The store has lost this report."), 404)
            return answer(report())
        return answer(self.audit(place, f"timm/net{place}.in1k", "failed" if place in self.failed else "succeeded"))

    @staticmethod
    def audit(place: int, model: str, status: str) -> Audit:
        error = (
            problem("hub-unreachable", f"https://hub.test/{model} cannot be fetched.") if status == "failed" else None
        )
        request = AuditRequest(model=model)
        return audit(status, f"{place:032x}", error).model_copy(update={"request": request})


def sweep(service: Service, *arguments: str) -> int:
    with AuditClient("http://service.test", transport=Script(service), retry_s=0) as client:
        args = make_parser().parse_args(["sweep", *arguments])
        return int(reporting_errors(lambda: commands.sweep(client, args)))


def test_what_is_left_out_is_named_once_with_its_reason(capsys):
    assert sweep(Service(), "timm/net*") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        f"Left out: timm/net_wide, timm/net_wider ({UNSUPPORTED}).",
        f"Left out: timm/net9 ({NO_WEIGHTS}).",
    ]
    assert lines[-1] == "6 models: 6 succeeded; 3 left out."
    assert sum("net9" in line for line in lines) == 1


def test_untrained_weights_leave_out_only_what_is_not_supported(capsys):
    service = Service()
    assert sweep(service, "net[9_]*", "--weights=untrained") == 0
    assert service.asked == ["timm/net9"]
    assert capsys.readouterr().err.splitlines()[-1] == "1 model: 1 succeeded; 2 left out."


def test_failures_of_one_cause_are_told_once_with_all_names(capsys):
    assert sweep(Service(failed=(1, 2, 4)), "net[0-5]") == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-2:] == [
        "timm/net1.in1k: https://hub.test/timm/net1.in1k cannot be fetched.",
        "The same holds for 2 others: timm/net2.in1k, timm/net4.in1k",
    ]
    assert captured.err.count("timm/net1.in1k failed: Weights cannot be fetched") == 1
    assert "net2.in1k failed" not in captured.err
    assert captured.err.splitlines()[-1] == "6 models: 3 failed, 3 succeeded."
    assert captured.out.count("timm/net0.in1k") == 2  # the tables of what succeeded, translation and rotation


def test_a_sweep_that_is_refused_for_one_cause_stops_early(capsys):
    service = Service(refused=tuple(range(6)))
    assert sweep(service, "net[0-5]", "--dataset=nowhere") == 1
    assert service.asked == ["timm/net0.in1k", "timm/net1.in1k", "timm/net2.in1k"]
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "timm/net0.in1k: There is no data set 'nowhere'.",
        "The same holds for 2 others: timm/net1.in1k, timm/net2.in1k",
    ]
    assert captured.err.splitlines()[-2:] == [
        "The service refused the first 3 for one cause; the others were not asked for.",
        "6 models: 3 refused, 3 not asked for.",
    ]


def test_one_that_is_accepted_keeps_the_sweep_going(capsys):
    service = Service(refused=(0, 1, 3, 4, 5))
    assert sweep(service, "net[0-5]") == 1
    assert len(service.asked) == 6
    assert capsys.readouterr().err.splitlines()[-1] == "6 models: 5 refused, 1 succeeded."


def test_a_mistake_in_the_options_is_told_once_before_anything_is_asked(capsys):
    service = Service()
    assert sweep(service, "net[0-5]", "--num-images=0") == 2
    assert service.asked == []
    assert capsys.readouterr().err == (
        "The request is not valid. num_images: Input should be greater than or equal to 1.\n"
    )


def test_a_pattern_that_matches_only_what_is_left_out(capsys):
    assert sweep(Service(), "net9") == 2
    assert capsys.readouterr().err.splitlines() == [
        f"Left out: timm/net9 ({NO_WEIGHTS}).",
        "No model that can be audited matches net9.",
    ]


def test_a_report_that_is_lost_spoils_no_table(capsys):
    assert sweep(Service(lost=(1,)), "net[01]") == 1
    out = capsys.readouterr().out
    assert out.count("timm/net0.in1k") == 2
    assert out.splitlines()[-1] == "timm/net1.in1k: The store has lost this report."


def test_json_is_one_document_by_model(capsys):
    assert sweep(Service(failed=(1,), refused=(2,)), "net[0-2]", "--json") == 1
    entries = json.loads(capsys.readouterr().out)
    assert [entries[f"timm/net{place}.in1k"]["status"] for place in range(3)] == ["succeeded", "failed", 422]
    Problem.model_validate(entries["timm/net2.in1k"])


def test_a_service_that_is_away_for_a_moment_ends_no_sweep(capsys):
    service, calls = Service(), 0

    def restarting(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        if request.method == "GET" and request.url.path.startswith("/audit/"):
            calls += 1
            if calls in (1, 2):
                return httpx.Response(502, text="<html>Bad Gateway</html>")
            if calls == 3:
                raise httpx.ConnectError("refused")
        return service(request)

    with AuditClient("http://service.test", transport=Script(restarting), retry_s=0) as client:
        args = make_parser().parse_args(["sweep", "net0"])
        assert reporting_errors(lambda: commands.sweep(client, args)) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "1 model: 1 succeeded."


@pytest.mark.parametrize(("arguments", "priority"), [((), "low"), (("--priority=high",), "high")])
def test_its_audits_have_a_low_priority_unless_another_is_asked_for(arguments, priority):
    service = Service()
    assert sweep(service, "net[0-5]", *arguments) == 0
    assert service.priorities == {priority}


def test_an_audit_that_was_overtaken_does_not_hide_those_that_have_ended():
    """The first fifty of a hundred wait for as long as the last fifty, which are shorter, have not all been seen."""
    models = [f"timm/net{place}.in1k" for place in range(100)]
    seen: set[str] = set()
    polls: list[str] = []

    class Overtaking(Service):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                return super().__call__(request)
            model = f"timm/net{int(request.url.path.split('/')[2], 16)}.in1k"
            short = model in models[50:]
            seen.update([model] if short else [])
            polls.append(model)
            assert len(polls) < 1000
            ended = short or len(seen) == 50
            return answer(self.audit(models.index(model), model, "succeeded" if ended else "queued"))

    with AuditClient("http://service.test", transport=Script(Overtaking()), retry_s=0) as client:
        entries = run_sweep(client, models, {})
    assert list(entries) == models
    assert {entry.status for entry in entries.values()} == {"succeeded"}


def test_those_next_in_the_queue_are_polled_at_every_turn():
    polled: list[int] = []

    class Waiting(Service):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                place = int(json.loads(request.content)["model"].removeprefix("timm/net").split(".")[0])
            else:
                polled.append(place := int(request.url.path.split("/")[2], 16))
                assert len(polled) < 1000
            ended = len(polled) > 100
            one = self.audit(place, f"timm/net{place}.in1k", "succeeded" if ended else "queued")
            queue = None if ended else QueuePosition(position=100 - place, starts_in_s=None)
            return answer(one.model_copy(update={"queue": queue}))

    with AuditClient("http://service.test", transport=Script(Waiting()), retry_s=0) as client:
        run_sweep(client, [f"timm/net{place}.in1k" for place in range(100)], {})
    for turn in range(5):
        assert set(range(90, 100)) < set(polled[20 * turn : 20 * turn + 20])
    assert set(polled[:100]) == {*range(50), *range(90, 100)}
