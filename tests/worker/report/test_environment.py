"""What a report says of how it was computed: CUDA graphs and tensor cores, on a GPU only."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
import torch
from zooaudit.contract import Report

from tests.worker.small_audits import audit
from worker.measure import passes
from worker.measure.model_scores import ModelScores

# The package's own name build is the function.
build = import_module("worker.report.build")


def with_graphs(monkeypatch: pytest.MonkeyPatch, used: list[bool | None]) -> None:
    """Let each pass say in turn whether it ``used`` graphs, as passes on a GPU do."""
    measure, rest = passes.measure, iter(used)

    def on_gpu(*arguments: Any) -> Any:
        measured = measure(*arguments)
        measured.used_graphs = next(rest)
        return measured

    monkeypatch.setattr(passes, "measure", on_gpu)


def test_a_report_of_a_cpu_has_neither_and_keeps_the_bytes_of_old_ones(whole: Report) -> None:
    environment = json.loads(whole.model_dump_json())["environment"]
    assert not {"cuda_graphs", "tensor_cores"} & set(environment)
    assert Report.model_validate_json(whole.model_dump_json()) == whole


@pytest.mark.parametrize("exact", [True, False])
def test_a_report_of_a_gpu_says_whether_tensor_cores_made_the_products(
    exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "NVIDIA H100")
    scores = ModelScores({}, {}, [], [], (), 4, True, exact, ("NVIDIA H100",), 0, datetime.now(UTC), 0.0)
    baseline = replace(scores, used_tensor_cores=True)
    environment = build._environment(torch.device("cuda:0"), [scores, baseline])
    assert (environment.device, environment.batch_size) == ("NVIDIA H100", 4)
    assert (environment.cuda_graphs, environment.tensor_cores) == (True, exact)


def test_a_report_names_unlike_devices_and_only_these() -> None:
    scores = ModelScores({}, {}, [], [], (), 4, None, None, ("cpu (AVX2, threads: 1)",), 0, datetime.now(UTC), 0.0)
    other = replace(scores, devices=("NVIDIA H100",))
    assert build._environment(torch.device("cpu"), [scores, scores]).devices == ()
    assert build._environment(torch.device("cpu"), [scores, other]).devices == (
        "NVIDIA H100",
        "cpu (AVX2, threads: 1)",
    )


@pytest.mark.parametrize(
    ("used", "said"),
    [([True, True, True], True), ([True, False, True], False), ([None, None, None], None)],
)
def test_a_report_says_that_graphs_were_used_if_every_pass_used_them(
    used: list[bool | None], said: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_graphs(monkeypatch, used)
    # With so little memory, each of the three transforms is a pass of its own.
    report = audit({"num_images": 2}, memory_gib=0.01)
    assert report.environment.cuda_graphs is said
