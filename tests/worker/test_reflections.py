"""What reflections and directions of shifts say of networks whose answer is known, through the whole audit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from zooaudit.contract import AuditRequest, Report, request_of

from tests.worker.small_audits import audit as small_audit
from worker.audit import run
from worker.zoo.own import from_module

SIZE = 32
MIRRORS = ["horizontal", "vertical"]


SYMMETRIES = [(quarters, mirrored) for mirrored in (False, True) for quarters in range(4)]
"""Those of the square (p4m): mirror left and right or not, then turn by quarters."""


def moved(maps: Tensor, symmetry: tuple[int, bool]) -> Tensor:
    quarters, mirrored = symmetry
    return torch.rot90(maps.flip(-1) if mirrored else maps, quarters, (-2, -1))


def seen_from(symmetry: tuple[int, bool]) -> list[int]:
    """For each symmetry h, find the number of the one that becomes h when it is followed by ``symmetry``."""
    square = torch.arange(9).view(3, 3)
    both = [moved(moved(square, first), symmetry) for first in SYMMETRIES]
    return [next(i for i, each in enumerate(both) if torch.equal(each, moved(square, h))) for h in SYMMETRIES]


class P4M(nn.Module):
    """A layer that is equivariant under p4m. Its output has each feature in all orientations: what one kernel gives
    when each symmetry moves it in the plane and, ``between`` two such layers, among the input's orientations."""

    def __init__(self, channels: int, features: int, between: bool) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(features, channels, 8 if between else 1, 3, 3) / 6)
        self.orders = [seen_from(symmetry) if between else [0] for symmetry in SYMMETRIES]

    def forward(self, x: Tensor) -> Tensor:
        every = zip(SYMMETRIES, self.orders, strict=True)
        kernels = torch.stack([moved(self.kernel[:, :, order], symmetry) for symmetry, order in every], 1)
        return functional.conv2d(x, kernels.flatten(0, 1).flatten(1, 2), padding=1).relu()


def network(*blocks: nn.Module) -> nn.Sequential:
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(10))


def mirror_symmetric() -> nn.Module:
    """A convolution each of whose kernels is its own mirror image, left to right."""
    layer = nn.Conv2d(3, 6, 3, padding=1)
    layer.weight.data = torch.randn(6, 3, 3, 2)[..., [0, 1, 0]]
    return nn.Sequential(layer, nn.ReLU())


def audit(module: nn.Module, blocks: list[str], datasets: dict[str, Path] | None = None, **request: Any) -> Report:
    model = from_module(module, "known", SIZE, blocks, layout="NCHW")
    asked = {"dataset": "synthetic", "num_images": 8, "translations_px": [], "rotations_deg": [], **request}
    return run(
        AuditRequest(model=model.name, weights="checkpoint:known", **asked),
        model=model,
        datasets=datasets,
        decode_processes=0,
    )


@pytest.fixture(autouse=True)
def same_weights() -> None:
    torch.manual_seed(3)


def test_a_p4m_network_has_layer_but_not_channel_equivariance_under_reflections() -> None:
    report = audit(network(P4M(3, 2, between=False), P4M(2, 2, between=True)), ["0", "1"], reflections=MIRRORS)
    for block in report.blocks[:2]:
        assert block.reflection is not None
        assert [row.axis for row in block.reflection.by_transform] == MIRRORS
        for row in block.reflection.by_transform:
            assert row.layer == pytest.approx(1, abs=5e-6)
            assert row.channel is not None
            assert row.channel < 0.8
    assert report.parts["Final"].reflection is not None
    assert report.parts["Final"].reflection.top1_agreement is not None


def test_mirrored_kernels_have_channel_equivariance_under_the_mirroring_they_are_made_by() -> None:
    report = audit(network(mirror_symmetric()), ["0"], reflections=MIRRORS)
    assert report.blocks[0].reflection is not None
    horizontal, vertical = report.blocks[0].reflection.by_transform
    assert horizontal.channel == pytest.approx(1, abs=5e-6)
    assert vertical.channel is not None
    assert vertical.channel < 0.95


def test_images_of_rows_do_not_change_when_they_are_shifted_along_them(tmp_path: Path) -> None:
    """Each row of these images has one colour, so a shift to the right shows the model the very same view."""
    colours = np.random.default_rng(0).integers(0, 256, (8, SIZE + 8, 1, 3), np.uint8)
    for index, rows in enumerate(colours):
        Image.fromarray(np.tile(rows, (1, SIZE + 8, 1))).save(tmp_path / f"{index}.png")
    dense = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 16), nn.Unflatten(1, (16, 1, 1)))
    module = nn.Sequential(dense, nn.Flatten(), nn.Linear(16, 10))
    shares = {}
    for direction in ("right", "down"):
        asked = {"translations_px": [1, 8], "direction": direction, "dataset": "rows"}
        report = audit(module, ["0"], {"rows": tmp_path}, **asked)
        final = report.parts["Final"].translation
        assert final.channel is not None
        shares[direction] = final.channel
    assert shares["right"] == pytest.approx(1, abs=5e-6)
    assert shares["down"] < 0.95


def test_the_report_answers_the_request_and_knows_what_was_asked() -> None:
    asked = {"reflections": ["vertical", "horizontal"], "direction": "right", "border": "all", "similarity": "both"}
    report = small_audit(asked)
    request = request_of(report)
    assert (report.protocol, request.reflections, request.direction) == ("2", ("horizontal", "vertical"), "right")
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert report.timing.forward_images == 24 * (1 + 3 * 2 + 1 + 2)
    assert report.cosine is not None
    assert report.cosine.activation.reflection is not None
    assert report.blocks[0].activation is not None
    assert report.blocks[0].activation.reflection is not None
    assert report.borders is not None
    # The border is what a shift lets in, and nothing enters a reflection.
    assert len({borders["Late"].reflection for borders in report.borders.values()}) == 1


def test_what_is_not_asked_for_is_absent() -> None:
    for asked in ({}, {"direction": "down"}):
        report = small_audit(asked)
        assert "reflection" not in report.model_dump_json()
        assert report.protocol == ("2" if asked else "1")


def test_a_baseline_has_what_was_learned_of_reflections() -> None:
    model = from_module(network(mirror_symmetric()), "known", SIZE, ["0"], layout="NCHW")
    model = replace(model, initialised=lambda _seed: network(mirror_symmetric()))
    request = AuditRequest(
        model=model.name,
        weights="checkpoint:known",
        dataset="synthetic",
        num_images=8,
        translations_px=[2],
        rotations_deg=[],
        reflections=["horizontal"],
        baseline=True,
    )
    report = run(request, model=model, decode_processes=0)
    assert report.baseline is not None
    learned = report.baseline.parts["Early"].reflection
    assert learned is not None
    assert learned.channel.untrained.value == pytest.approx(1, abs=5e-6)
    assert learned.channel.difference.value == pytest.approx(0, abs=1e-5)
