"""Modules of the user's own: with blocks named or inferred, and audited without a service."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils import prune
from zooaudit.contract import AuditRequest, Report, request_of

from worker import zoo
from worker.audit import run
from worker.errors import AuditError
from worker.zoo.own import from_module, load_factory

SMALL = {"dataset": "synthetic", "num_images": 4, "translations_px": [4], "rotations_deg": [90]}


def block_names(module: nn.Module, input_size: int = 64) -> list[str]:
    return [tap.name for tap in from_module(module, "own", input_size).depth.blocks]


def plain() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
    )


def test_blocks_are_found_as_a_reader_of_the_code_would() -> None:
    assert block_names(plain()) == ["2", "4", "7"]
    resnet = block_names(torchvision.models.resnet18())
    assert resnet == ["relu", *(f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1))]


def test_a_zoo_model_given_as_a_module_scores_what_it_scores_by_name() -> None:
    by_name = zoo.load("torchvision/resnet18", "untrained", lambda _progress: None)
    blocks = [tap.name for tap in by_name.depth.blocks]
    own = from_module(by_name.module, "own", 224, blocks, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    request = AuditRequest(model="module/own", weights="checkpoint:own", **SMALL)
    mine = run(request, model=own)
    theirs = run(AuditRequest(model="torchvision/resnet18", weights="untrained", **SMALL))
    for one, other in zip(mine.blocks, theirs.blocks, strict=True):
        assert one.part == other.part
        # The zoo's own preprocessing resizes to 256, this one to the canvas, 228: other pixels.
        assert one.rotation.channel == pytest.approx(other.rotation.channel, abs=0.15)
    assert mine.model.source == "module"
    assert request_of(mine) == request


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(self.conv(x)).mean((2, 3)))


class Idle(Twice):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Conv2d(3, 3, 3)


class ReturningNothing(Twice):
    def forward(self, x: Tensor) -> None:
        super().forward(x)


@pytest.mark.parametrize(
    ("make", "how", "complaint"),
    [
        (ReturningNothing, {}, "returns no tensor"),
        (plain, {"blocks": ["2", "nine"]}, "no part nine"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), {}, "say which modules they are"),
        (lambda: nn.Sequential(nn.AvgPool2d(4), nn.ReLU()), {}, "say which module is"),
        (Twice, {}, "say which modules they are"),
        (Twice, {"classifier": "tail"}, "no part tail"),
        (Idle, {"blocks": ["spare"]}, "spare does not run"),
        (lambda: nn.Linear(7, 2), {}, "does not run"),
    ],
)
def test_a_module_that_cannot_be_audited_is_refused_with_what_to_do(make, how, complaint) -> None:
    with pytest.raises(AuditError, match=complaint):
        from_module(make(), "own", 32, **how)


def test_volumes_among_the_weights_do_not_hinder() -> None:
    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.volume = nn.Parameter(torch.zeros(1, 4, 1, 1, 1))
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head((self.conv(x) + self.volume[..., 0]).mean((2, 3)))

    report = run(
        AuditRequest(model="module/own", weights="checkpoint:own", **SMALL), model=from_module(Grouped(), "own", 32)
    )
    assert report.blocks[0].name == "conv"


NETWORK = """
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))

def nothing():
    return 7
"""


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "mynet.py").write_text(NETWORK)
    (folder / "request.json").write_text(json.dumps(SMALL))
    return subprocess.run(
        [sys.executable, "-m", "worker.cli", "request.json", "--quiet", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_audits_a_module_of_the_current_folder(tmp_path: Path) -> None:
    done = command(tmp_path, "--module", "mynet:small", "--input-size", "64", "--blocks", "1", "3")
    assert done.returncode == 0, done.stderr
    report = Report.model_validate_json(done.stdout)
    assert report.model.name == "module/mynet.small"
    assert [block.name for block in report.blocks] == ["1", "3", "4", "6"]
    assert report.model.input_size == 64


@pytest.mark.parametrize(
    ("where", "complaint"),
    [("mynet:absent", "mynet"), ("nowhere:small", "nowhere"), ("mynet:nothing", "gives no torch module, but 'int'")],
)
def test_a_function_that_does_not_exist_is_named(tmp_path: Path, where: str, complaint: str) -> None:
    done = command(tmp_path, "--module", where)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_only_modules_come_from_factories() -> None:
    with pytest.raises(AuditError, match=r"not package.module:function"):
        load_factory("torch")


def maps_to_ten() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
    )


class Part(nn.Module):
    """A network a part of which is compiled and another in a parallel wrapper."""

    def __init__(self, wrap: bool) -> None:
        super().__init__()
        layers = maps_to_ten()
        first, second = layers[:2], layers[2:4]
        self.first = torch.compile(first, backend="eager") if wrap else first
        self.second = nn.DataParallel(second) if wrap else second
        self.fc = layers[6]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.second(self.first(x)).mean((2, 3)))


def compiled_in_place() -> nn.Module:
    module = maps_to_ten()
    module.compile(backend="eager")
    return module


@pytest.mark.parametrize(
    ("wrapped", "plain"),
    [
        (lambda: torch.compile(maps_to_ten(), backend="eager"), maps_to_ten),
        (compiled_in_place, maps_to_ten),
        (lambda: nn.DataParallel(maps_to_ten()), maps_to_ten),
        (lambda: torch.compile(nn.DataParallel(maps_to_ten()), backend="eager"), maps_to_ten),
        (lambda: Part(wrap=True), lambda: Part(wrap=False)),
        (lambda: maps_to_ten().train(), maps_to_ten),
        (lambda: maps_to_ten().half(), lambda: maps_to_ten().half().float()),
    ],
)
def test_wrappers_and_other_types_change_nothing(wrapped, plain) -> None:
    request = AuditRequest(model="module/own", weights="checkpoint:own", **SMALL)
    mine, bare = (run(request, model=from_module(make(), "own", 64)) for make in (wrapped, plain))
    assert mine.blocks == bare.blocks
    assert mine.model == bare.model


@pytest.mark.parametrize("changed", [nn.utils.spectral_norm, lambda part: prune.l1_unstructured(part, "weight", 0.5)])
def test_a_convolution_whose_weight_is_computed_in_each_pass_is_measured(changed) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), *maps_to_ten()[2:])
    changed(module[0])
    request = AuditRequest(model="module/own", weights="checkpoint:own", **SMALL)
    report = run(request, model=from_module(module, "own", 64))
    assert report.parts["Early"].translation.channel is not None


class As(Twice):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.wave = nn.Conv2d(3, 3, 3)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.wave(x)).to(self.dtype)


@pytest.mark.parametrize(("dtype", "held"), [(torch.complex64, "complex numbers"), (torch.bool, "truth values")])
def test_what_is_no_real_number_is_refused(dtype: torch.dtype, held: str) -> None:
    request = AuditRequest(model="module/own", weights="checkpoint:own", **SMALL)
    with pytest.raises(AuditError, match=f"The output of Final holds {held}"):
        run(request, model=from_module(As(dtype), "own", 64))


def quantised() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(maps_to_ten(), {nn.Linear})


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(maps_to_ten())


class CastingToHalf(Twice):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.half())


class AnotherSize(Twice):
    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2] == 48, "48 px, please"
        return super().forward(x)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (quantised, "quantised"),
        (scripted, "TorchScript"),
        (lambda: nn.Sequential(scripted(), nn.ReLU()), "Its part 0 is TorchScript"),
        (lambda: maps_to_ten().to("meta"), "no values"),
        (CastingToHalf, "does not run on an image of 32 px"),
        (AnotherSize, r"AssertionError: 48 px, please.*\). Correct the module, or give it another --input-size"),
    ],
)
def test_a_module_that_cannot_be_watched_or_run_is_refused_in_a_sentence(make, complaint) -> None:
    with pytest.raises(AuditError, match=complaint) as raised:
        from_module(make(), "own", 32)
    assert raised.value.problem.type.endswith("unsuitable-module")


def test_a_function_that_raises_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mybroken.py").write_text("def broken():\n    return {}['depth']\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AuditError, match="mybroken:broken raises KeyError: 'depth'"):
        load_factory("mybroken:broken")


def test_modules_of_ones_own_are_called_own_and_their_request_is_the_same() -> None:
    request = AuditRequest(model="module/own", weights="checkpoint:own", **SMALL)
    report = run(request, model=from_module(maps_to_ten(), "own", 64))
    assert (report.model.weights.kind, report.model.weights.label) == ("own", "own")
    assert request_of(report) == request
    older = report.model_dump(mode="json")
    older["model"]["weights"]["kind"] = "checkpoint"  # as reports said before
    assert request_of(Report.model_validate_json(json.dumps(older))) == request
