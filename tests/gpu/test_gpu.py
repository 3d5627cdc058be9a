"""What only an NVIDIA GPU can show: ``make gpu``. Elsewhere these tests are not even collected into a run.

Models are small and untrained, images synthetic. The CPU's report is what all others are compared with.
"""

import gc
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from zooaudit.contract import AuditRequest, Report

from worker import zoo
from worker.audit import prepare, run
from worker.images.canvas_cache import CanvasCache
from worker.measure import cuda_graphs, fused, measurement, passes
from worker.measure.forward import Precision
from worker.measure.tensor_cores import tensor_cores_are_exact
from worker.measure.transforms import Views
from worker.settings import canvases_folder
from worker.zoo.own import from_module

pytestmark = pytest.mark.gpu

DEVICE = "cuda:0"
MODELS = ["timm/test_resnet", "timm/test_vit", "timm/test_efficientnet"]
LIMIT_S = 180.0
"""How long another process may take before its test fails."""
INTERVALS = 0.02
"""How far the end of an interval may move. Few images leave channels, mostly dead ones, whose two best partners are
equally similar. Rounding decides which of the two is chosen for the interval; another batch size suffices."""
# The partners are chosen at a quarter and at half of the images, so these are eight full batches.
IMAGES, BATCH = 64, 8
ASKED: dict[str, Any] = {
    "weights": "untrained",
    "dataset": "synthetic",
    "num_images": IMAGES,
    "translations_px": [5, 16],
    "rotations_deg": [90],
}


@pytest.fixture(scope="module", autouse=True)
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the GPU, without which nothing here can be tested. All audits here share a cache of canvases."""
    assert torch.cuda.is_available(), "these tests need an NVIDIA GPU, and torch finds none here"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield torch.cuda.get_device_name(DEVICE)


@pytest.fixture
def without_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs.BatchGraphs, "steps", lambda _graphs, steps, _images: steps.values())


@pytest.fixture
def careless() -> Iterator[None]:
    """A process in which something has allowed TF32 everywhere."""
    backends = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "tf32"
    yield
    for backend, precision in zip(backends, before, strict=True):
        backend.fp32_precision = precision


def audit(model: str, device: str | None = None, batch_size: int | None = BATCH, **asked: Any) -> Report:
    request = AuditRequest(**{**ASKED, "model": model, **asked})
    cache = CanvasCache(canvases_folder(os.environ), 2.0)
    return run(request, device=device or DEVICE, batch_size=batch_size, decode_processes=0, cache=cache)


@cache
def on_the_cpu(model: str) -> Report:
    return audit(model, "cpu")


def values(report: Report) -> Iterator[tuple[str, Any]]:
    """Every value of each part and block of the report, with its path."""

    def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict | list):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield from walk(item, f"{path}.{key}")
        else:
            yield path, value

    yield from walk(report.model_dump(mode="json", include={"parts", "blocks"}), "")


def scores(report: Report) -> dict[str, float | None]:
    """Every channel and layer score of the report, with its intervals, of each part and block, by its path."""
    found = {
        path: value
        for path, value in values(report)
        if path.split(".")[-1] in ("channel", "layer") or "_interval." in path
    }
    assert len(found) > 50
    return found


def numbers(report: Report) -> dict[str, float]:
    return {path: value for path, value in values(report) if isinstance(value, float)}


def assert_same(
    found: dict[str, float | None],
    expected: dict[str, float | None],
    tolerance: float,
    of_intervals: float = INTERVALS,
) -> None:
    """Assert that the scores differ by at most ``tolerance``, the ends of intervals by at most ``of_intervals``, and
    that the same ones are missing."""
    absent = {path for path, value in expected.items() if value is None}
    assert {path for path, value in found.items() if value is None} == absent
    off = {path: abs(found[path] - expected[path]) for path in expected.keys() - absent}
    too_far = {
        path: (found[path], expected[path])
        for path, distance in off.items()
        if not distance <= (of_intervals if "_interval." in path else tolerance)
    }
    assert not too_far


@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_gives_the_scores_of_the_cpu(model: str, card: str) -> None:
    report = audit(model)
    assert_same(scores(report), scores(on_the_cpu(model)), 1e-4)
    environment = report.environment
    assert (environment.device, environment.batch_size, environment.cuda_graphs) == (card, BATCH, True)
    assert environment.tensor_cores is tensor_cores_are_exact(torch.device(DEVICE))


def test_a_batch_that_is_never_full_is_measured_without_graphs() -> None:
    report = audit(MODELS[0], batch_size=IMAGES)
    assert report.environment.cuda_graphs is None
    assert_same(scores(report), scores(on_the_cpu(MODELS[0])), 1e-4)


def errors_in_a_forward(model: str, precision: Precision) -> list[float]:
    """How far each convolution and linear layer is off inside a forward pass, as a share of its largest output.

    Each is computed again in float64, from the same input.
    """
    loaded = zoo.load(model, "untrained", lambda _progress: None)
    request = AuditRequest(**{**ASKED, "model": model, "precision": precision})
    views = Views(loaded.preprocessing.input_size, 16)
    subject, _ = prepare(loaded, loaded.module, request, views, torch.device(DEVICE))
    expected = "tf32" if precision == "tf32" else "ieee"
    errors: list[float] = []

    def compare(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert torch.backends.cudnn.conv.fp32_precision == expected
        assert torch.backends.cuda.matmul.fp32_precision == expected
        x, weight = inputs[0].double(), layer.weight.double()
        bias = None if layer.bias is None else layer.bias.double()
        exact = (
            functional.linear(x, weight, bias) if isinstance(layer, nn.Linear) else layer._conv_forward(x, weight, bias)
        )
        errors.append(((output - exact).abs().max() / exact.abs().max()).item())

    for module in subject.module.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(compare)
    view = torch.randn(4, 3, views.size, views.size, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    with torch.inference_mode():
        subject.forward(view, lambda _index, _maps: None)
    assert len(errors) > 5
    return errors


@pytest.mark.parametrize("model", ["timm/test_resnet", "timm/test_vit"])
@pytest.mark.usefixtures("careless")
def test_float32_means_float32_whatever_was_set_before(model: str) -> None:
    assert max(errors_in_a_forward(model, "float32")) < 2e-5
    if torch.cuda.get_device_capability(DEVICE) >= (8, 0):  # Older cards have no TF32.
        assert max(errors_in_a_forward(model, "tf32")) > 5e-5, "the error of TF32 would not be seen"


@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_forwards_are_close(model: str) -> None:
    narrow, wide = (
        {path: score for path, score in scores(report).items() if path.startswith(".parts")}
        for report in (audit(model, precision="bfloat16"), on_the_cpu(model))
    )
    assert_same(narrow, wide, 0.05, of_intervals=0.05)
    assert narrow != wide


@pytest.mark.usefixtures("without_graphs")
def test_running_out_of_memory_halves_the_batch() -> None:
    model, whole = "timm/test_resnet", torch.cuda.get_device_properties(DEVICE).total_memory
    peaks = {}
    gc.collect()  # What earlier audits have recorded keeps memory of its own.
    for batch_size in (128, 32):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        plenty = audit(model, batch_size=batch_size, num_images=512)
        assert plenty.environment.batch_size == batch_size
        peaks[batch_size] = torch.cuda.max_memory_reserved()
    assert peaks[128] > 1.5 * peaks[32]
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((peaks[128] + peaks[32]) / 2 / whole)
    try:
        tight = audit(model, batch_size=128, num_images=512)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert tight.environment.batch_size in (64, 32)
    assert tight.images.count == 512
    assert_same(scores(tight), scores(plenty), 1e-4)


def refuse_waiting() -> None:
    """From now on, an operation for which the host would wait raises RuntimeError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It says that it does not know all such operations.
        torch.cuda.set_sync_debug_mode("error")


@pytest.mark.parametrize("model", MODELS)
def test_the_host_never_waits_while_batches_are_measured(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tensor_cores_are_exact(torch.device(DEVICE))  # Asked once by each process.
    begin, measure, seen = measurement.Measurement.begin, passes.measure, []

    def strict_from_here(*arguments: Any) -> Any:
        canvas = begin(*arguments)
        refuse_waiting()
        seen.append(canvas)
        return canvas

    def watched(*arguments: Any) -> Any:
        try:
            return measure(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(measurement.Measurement, "begin", strict_from_here)
    monkeypatch.setattr(passes, "measure", watched)
    # That provisional scores are computed, now and then, is not waiting in the loop.
    monkeypatch.setattr(passes, "_enough", lambda *_arguments: lambda _measured: False)
    report = audit(model, similarity="both", border="all")
    assert len(seen) == IMAGES // BATCH
    # Recording waits, on purpose and once, by torch.cuda.synchronize, which this mode lets pass.
    assert report.environment.cuda_graphs is True


def test_the_watch_for_waiting_sees_it() -> None:
    values = torch.ones(3, device=DEVICE)
    refuse_waiting()
    try:
        for asks in (lambda: values.sum().item(), lambda: torch.ones(3).to(DEVICE), lambda: values[values > 1]):
            with pytest.raises(RuntimeError, match="synchroniz"):
                asks()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("model", MODELS)
def test_graphs_change_no_score(model: str, request: pytest.FixtureRequest) -> None:
    replayed = audit(model)
    request.getfixturevalue("without_graphs")
    launched = audit(model)
    assert replayed.environment.cuda_graphs is True
    assert launched.environment.cuda_graphs is None
    assert_same(scores(replayed), scores(launched), 1e-6, of_intervals=1e-6)


class Asking(nn.Module):
    """A small network that asks for a value in the middle, which no graph can record."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(
            [nn.Conv2d(wide, wider, 3, stride=2, padding=1) for wide, wider in ((3, 8), (8, 16), (16, 32))]
        )
        self.classifier = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x).relu()
            if x.amax().item() < 0:
                x = -x
        return self.classifier(x.mean((2, 3)))


def test_a_model_that_cannot_be_recorded_is_measured_without_graphs() -> None:
    reports = []
    for device in ("cpu", DEVICE):
        model = from_module(Asking(), "asking", 64, blocks=("blocks.0", "blocks.1", "blocks.2"))
        asked = AuditRequest(**{**ASKED, "model": model.name, "weights": "checkpoint:asking"})
        reports.append(run(asked, model=model, device=device, batch_size=BATCH, decode_processes=0))
    on_cpu, on_gpu = reports
    assert on_gpu.environment.cuda_graphs is False
    assert_same(scores(on_gpu), scores(on_cpu), 1e-4)
    # The card is as usable as before.
    assert audit(MODELS[0]).environment.cuda_graphs is True


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [24, 256, 1000])
def test_kernels_sum_what_float64_sums(channels: int, dtype: torch.dtype) -> None:
    assert torch.cuda.get_device_capability(DEVICE) < (8, 0) or tensor_cores_are_exact(torch.device(DEVICE))
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(5, 33, 31, channels, generator=generator)
    shifted = 0.8 * maps + 0.6 * torch.randn(maps.shape, generator=generator)
    strength = torch.logspace(-9, 3, channels)[torch.randperm(channels, generator=generator)]
    pivot = torch.where(torch.arange(channels) < channels / 2, 0.0, 3.0)
    partners = torch.randperm(channels, generator=generator)[None].to(DEVICE)
    raw_a, raw_b = (((values + pivot) * strength).to(DEVICE, dtype) for values in (maps, shifted))
    pivot = (pivot * strength).to(dtype).float().to(DEVICE)
    deviations = raw_a.float() - pivot
    unit = fused.unit_of(deviations, pivot)
    a, b = fused.halves(deviations, unit, narrow=dtype == torch.bfloat16), raw_b[:, 3:, 3:]
    found = torch.empty(4, 5, channels, device=DEVICE)
    products = torch.zeros(channels, channels, dtype=torch.float64, device=DEVICE)
    for _ in range(2):
        fused.add_products(a, fused.sums(a, b, pivot, unit, partners, found), pivot, unit, products)
    wide_a, wide_b = deviations[:, :30, :28].double(), b.double() - pivot.double()
    norms = wide_a.flatten(0, 2).norm(dim=0)[:, None] * wide_b.flatten(0, 2).norm(dim=0)
    exact = torch.einsum("nhwi,nhwj->ij", wide_a, wide_b)
    assert ((products / 2 - exact).abs() / norms).max().item() < 1e-6
    terms = [wide_b, wide_b.square(), wide_a * wide_b, wide_a * wide_b[..., partners[0]]]
    for sums, term in zip(found, terms, strict=True):
        scale = term.abs().sum((1, 2)).clamp(min=1e-45)
        assert ((sums - term.sum((1, 2))).abs() / scale).max().item() < 1e-6


def test_tensor_cores_change_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = audit(MODELS[0], similarity="both")
    monkeypatch.setattr(measurement, "tensor_cores_are_exact", lambda _device: False)
    assert_same(scores(fast), scores(audit(MODELS[0], similarity="both")), 1e-5)


def test_maps_that_are_too_large_for_tensor_cores_are_measured_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "unit_of", lambda _deviations, pivot: torch.full_like(pivot, 2.0**-40))
    report = audit(MODELS[0])
    assert report.environment.tensor_cores is False
    assert_same(scores(report), scores(on_the_cpu(MODELS[0])), 1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_warps_and_other_measures_are_those_of_the_cpu(model: str) -> None:
    asked = {
        "num_images": 16,
        "warps": [{"kind": "rotation", "amounts": [15]}, {"kind": "translation", "amounts": [0.5]}],
        "reflections": ["horizontal"],
        "deformation": {"displacements_px": [1]},
        "local": True,
        "consistency_draws": 2,
        "variance": True,
    }
    found, expected = (numbers(audit(model, device, **asked)) for device in (DEVICE, "cpu"))
    assert found.keys() == expected.keys()
    assert len([path for path in expected if "second_opinion" in path]) > 100
    off = {}
    for path, value in expected.items():
        # What a report calls noise is what rounding makes, and that of a GPU is another.
        allowed = 1.0 if path.endswith(".noise") else INTERVALS if "interval" in path else 1e-4
        if not abs(found[path] - value) <= allowed + 1e-3 * abs(value):
            off[path] = found[path], value
    assert not off


def test_two_workers_share_one_card(tmp_path: Path) -> None:
    model = MODELS[0]
    asked = tmp_path / "request.json"
    asked.write_text(json.dumps({**ASKED, "model": model}))
    command = [
        sys.executable,
        "-m",
        "worker.cli",
        str(asked),
        "--device",
        DEVICE,
        "--batch-size",
        str(BATCH),
        "--quiet",
    ]
    workers = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        answers = [worker.communicate(timeout=LIMIT_S) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, (report, told) in zip(workers, answers, strict=True):
        assert worker.returncode == 0, told
        assert_same(scores(Report.model_validate_json(report)), scores(on_the_cpu(model)), 1e-4)


def test_a_worker_for_all_devices_names_them_and_passes_its_calibration(tmp_path: Path) -> None:
    # Nothing listens there: the worker looks for its GPUs and calibrates before it needs the queue.
    variables = {"ZOOAUDIT_REDIS_URL": "redis://127.0.0.1:9/0", "ZOOAUDIT_STORE": str(tmp_path / "store")}
    worker = subprocess.Popen(
        [sys.executable, "-m", "worker", "--devices", "all"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    too_long = Timer(LIMIT_S, worker.kill)
    too_long.start()
    told = []
    try:
        for line in worker.stderr:
            told.append(line)
            if "models, data sets: synthetic" in line or "calibration" in line:
                break
    finally:
        too_long.cancel()
        worker.terminate()
        worker.communicate(timeout=LIMIT_S)
    text = "".join(told)
    gpus = torch.cuda.device_count()
    names = ", ".join(f"cuda:{index}" for index in range(gpus))
    assert f"{gpus} worker{'s' if gpus > 1 else ''}: {names}\n" in text
    assert "models, data sets: synthetic" in told[-1], text
