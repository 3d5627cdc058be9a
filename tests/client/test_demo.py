"""The demo's one decision: if weights cannot be downloaded, it says so and audits untrained ones; else it fails."""

import json

import httpx
import pytest
from zooaudit import AuditClient, AuditFailed
from zooaudit.contract import Audit, AuditRequest, Problem, audit_id, problem

from examples import demo
from tests.client.samples import answer, audit, report

NO_DOWNLOAD = problem("hub-unreachable", "The hub cannot be reached.")


class Service:
    """Answers as the service does. Audits of pretrained weights fail with ``pretrained_error``, if there is one."""

    def __init__(self, pretrained_error: Problem | None) -> None:
        self.pretrained_error = pretrained_error
        self.audits: dict[str, Audit] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            asked = AuditRequest.model_validate_json(request.content)
            failed = asked.weights == "pretrained" and self.pretrained_error
            made = audit("failed" if failed else "succeeded", audit_id(asked), failed or None)
            self.audits[made.id] = made.model_copy(update={"request": asked})
            return answer(self.audits[made.id], 202)
        stored = self.audits[request.url.path.split("/")[2]]
        return answer(report(stored.request.weights) if request.url.path.endswith("/report") else stored)


def run_demo(service: Service, folder, monkeypatch) -> dict[str, str]:
    """Run the demo, and return the kind of weights in each report that it writes."""
    monkeypatch.chdir(folder)
    with AuditClient(transport=httpx.MockTransport(service)) as client:
        demo.audit_all(client)
    reports = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    return {name: body["model"]["weights"]["kind"] for name, body in reports.items()}


def test_pretrained_weights_where_they_can_be_had(tmp_path, monkeypatch, capsys):
    kinds = run_demo(Service(None), tmp_path, monkeypatch)
    assert kinds == {f"demo-report-{model.split('/')[1]}.json": "pretrained" for model in demo.MODELS}
    assert "UNTRAINED" not in capsys.readouterr().out


def test_untrained_weights_where_they_cannot_and_it_says_so(tmp_path, monkeypatch, capsys):
    service = Service(NO_DOWNLOAD)
    kinds = run_demo(service, tmp_path, monkeypatch)
    assert list(kinds.values()) == ["untrained"] * len(demo.MODELS)
    printed = capsys.readouterr().out
    assert "cannot be downloaded from here: The hub cannot be reached." in printed
    assert printed.count("UNTRAINED weights: the architecture's own equivariance") == len(demo.MODELS)
    assert len(service.audits) == len(demo.MODELS) + 1  # one attempt is enough to know


def test_any_other_failure_is_one(tmp_path, monkeypatch):
    broken = problem("weights-corrupt", "Not what was published.")
    with pytest.raises(AuditFailed, match="Not what was published"):
        run_demo(Service(broken), tmp_path, monkeypatch)
    assert list(tmp_path.iterdir()) == []
