"""Audit networks whose scores are known by construction: ``python -m worker.calibrate [--quick]``.

Each goes through the real pipeline like any other model, from image to report, and its report must agree with theory.
The command prints a table and ends with status 1 on any deviation. A worker checks the quick networks when it starts
and takes no audits if one fails.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from zooaudit.contract import AngleRow, AuditRequest, Block, Report, ShiftRow

from worker.audit import run
from worker.zoo.own import from_module

SIZE = 64
IMAGES = 8
EXACT = 5e-6
"""How far float32 may move a score that is 1 in theory."""


class Circular(nn.Conv2d):
    """A convolution that wraps around, so that it commutes with circular shifts."""

    def __init__(self, channels: int, into: int, stride: int = 1) -> None:
        super().__init__(channels, into, 3, stride, padding=1, padding_mode="circular", bias=False)


class P4(nn.Module):
    """A convolution on the group p4 of shifts and quarter turns (Cohen and Welling 2016), 4 orientations as channels.

    The output at orientation r comes from the filters turned by r quarters and, after the first layer, with the input's
    orientations moved on by r. Turning the input thus turns each map and moves the orientations on by one.
    """

    def __init__(self, channels: int, into: int, first: bool = False) -> None:
        super().__init__()
        self.turns = 1 if first else 4
        self.weight = nn.Parameter(torch.randn(into, channels, self.turns, 3, 3) / math.sqrt(9 * channels * self.turns))

    def forward(self, x: Tensor) -> Tensor:
        turned = [
            torch.rot90(self.weight, quarters, (3, 4)).roll(quarters if self.turns == 4 else 0, 2)
            for quarters in range(4)
        ]
        filters = torch.stack(turned, 1).flatten(0, 1).flatten(1, 2)
        return functional.conv2d(x, filters, padding=1)


class PlaceBlind(nn.Module):
    """Adds the image's mean to a fixed pattern: the output depends on the image, but nothing in it moves."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.pattern = nn.Parameter(torch.randn(1, 4, SIZE, SIZE, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return self.pattern + 0.01 * x.mean((1, 2, 3), keepdim=True)


class BlurPool(nn.Module):
    """Blur, then subsample (Zhang 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        self.weight = nn.Parameter(torch.outer(line, line).expand(channels, 1, 5, 5).clone())

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, (2, 2, 2, 2), mode="circular")
        return functional.conv2d(padded, self.weight, stride=2, groups=len(self.weight))


class Pools(nn.Module):
    """The same features, subsampled by max-pooling and by a blur."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.max = nn.MaxPool2d(2)
        self.blur = BlurPool(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.max(x), self.blur(x)], 1)


class Dead(nn.Module):
    """Sets channels 0, ``every``, 2 ``every``, ... to a constant."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, :: self.every] = 0.25
        return x


def gaussian(channels: int, into: int) -> Tensor:
    """Make isotropic kernels, the same from all four sides, of several widths and signs, (into, channels, 3, 3)."""
    square = torch.tensor([[2.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 2.0]])
    widths = torch.linspace(0.5, 2.0, into * channels).view(into, channels, 1, 1)
    return torch.randn(into, channels, 1, 1).sign() * torch.exp(-square / widths)


def rotated_copies(channels: int, into: int) -> Tensor:
    """Make one odd kernel, a slope, a quarter further turned in each output channel, (into, channels, 3, 3)."""
    slope = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / channels
    return torch.stack([torch.rot90(slope, quarters) for quarters in range(into)])[:, None].repeat(1, channels, 1, 1)


def _convolution(kernel: Tensor) -> nn.Conv2d:
    layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1, bias=False)
    layer.weight.data = kernel
    return layer


def _unit(layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(layer, nn.ReLU())


def _network(*blocks: nn.Module) -> nn.Sequential:
    """Chain ``blocks``, named "0", "1", ..., with a global pool and a classifier."""
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(10))


def _three_units(layer: Callable[[int, int], nn.Module], into: int) -> nn.Sequential:
    return _network(*(_unit(layer(channels, into)) for channels in (3, into, into)))


Bound = tuple[float, float]
ONE: Bound = (1 - EXACT, 1.0)
ROTATIONS: dict[str, Any] = {"translations_px": (), "rotations_deg": (90, 180, 270)}
SHIFTS: dict[str, Any] = {"translations_px": (1, 2, 3, 4, 5, 6), "rotations_deg": (), "border": "circular"}


@dataclass(frozen=True)
class Known:
    """A network whose scores are known.

    ``build``    makes it; ``blocks`` are the paths of the blocks that are checked
    ``request``  the fields of the request that audits it
    ``expect``   returns the bounds of a block's channel and layer score under a shift in px or a rotation in degrees;
                 None stands for a null with a reason
    ``dead``     how many dead channels a block has
    ``quick``    whether a worker checks it when it starts
    """

    name: str
    build: Callable[[], nn.Module]
    blocks: Sequence[str]
    request: dict[str, Any]
    expect: Callable[[str, int], tuple[Bound, Bound] | None]
    dead: dict[str, int] = field(default_factory=dict)
    quick: bool = False


def _odd(block: str, amount: int) -> tuple[Bound, Bound]:
    """Bounds behind a stride of 2: equivariance is exact at even shifts and lost at odd ones."""
    return (ONE, ONE) if block == "0" or amount % 2 == 0 else ((0.0, 0.97), (0.0, 0.97))


NETWORKS = (
    Known(
        "gaussian-kernels",
        lambda: _three_units(lambda *shape: _convolution(gaussian(*shape)), 8),
        ("0", "1", "2"),
        ROTATIONS,
        lambda _block, _angle: (ONE, ONE),
        quick=True,
    ),
    Known(
        "rotated-copies",
        lambda: _three_units(lambda *shape: _convolution(rotated_copies(*shape)), 4),
        ("0", "1", "2"),
        ROTATIONS,
        lambda _block, _angle: ((0.0, 0.8), ONE),
        quick=True,
    ),
    Known(
        "permuted-channels",
        lambda: _network(_convolution(rotated_copies(3, 4))),
        ("0",),
        ROTATIONS,
        lambda _block, _angle: ((0.0, 0.1), ONE),
    ),
    Known(
        "p4-group-convolutions",
        lambda: _network(_unit(P4(3, 4, first=True)), _unit(P4(4, 4)), _unit(P4(4, 4))),
        ("0", "1", "2"),
        ROTATIONS,
        lambda _block, _angle: ((0.0, 0.9), ONE),
    ),
    Known(
        "circular-convolutions",
        lambda: _three_units(Circular, 8),
        ("0", "1", "2"),
        SHIFTS,
        lambda _block, _shift: (ONE, ONE),
        quick=True,
    ),
    Known(
        "stride-2",
        lambda: _network(_unit(Circular(3, 8)), _unit(Circular(8, 8, stride=2)), _unit(Circular(8, 8))),
        ("0", "1", "2"),
        SHIFTS,
        _odd,
    ),
    Known(
        "blind-to-place",
        lambda: _network(PlaceBlind()),
        ("0",),
        {"translations_px": (1, 4, 8), "rotations_deg": (90, 180, 270)},
        lambda _block, _amount: ((0.0, 0.1), (0.0, 0.1)),
    ),
    Known(
        "dead-channels",
        lambda: _network(nn.Sequential(Circular(3, 8), Dead(2)), nn.Sequential(Circular(8, 8), Dead(1))),
        ("0", "1"),
        SHIFTS,
        lambda block, _shift: (ONE, ONE) if block == "0" else None,
        dead={"0": 4, "1": 8},
        quick=True,
    ),
)


def audit(known: Known, device: str | None = None) -> Report:
    """Audit a known network through the whole pipeline."""
    torch.manual_seed(0)
    module = known.build()
    model = from_module(module, known.name, SIZE, known.blocks, layout="NCHW")
    request = AuditRequest(
        model=model.name, weights=f"checkpoint:{known.name}", dataset="synthetic", num_images=IMAGES, **known.request
    )
    return run(request, model=model, decode_processes=0, device=device)


def deviations(known: Known, report: Report) -> list[str]:
    """List every place where ``report`` disagrees with theory, one sentence each."""
    wrong = []
    for block in report.blocks:
        if block.name not in known.blocks or block.part == "Pool":
            continue
        if block.name in known.dead and block.dead_channels != known.dead[block.name]:
            wrong.append(f"{block.name} has {block.dead_channels} dead channels, not {known.dead[block.name]}")
        for amount, row in _rows(block):
            expected = known.expect(block.name, amount)
            if expected is None:
                fine = row.channel is None and row.layer is None and bool(row.reason)
            else:
                fine = all(
                    value is not None and low <= value <= high
                    for value, (low, high) in zip((row.channel, row.layer), expected, strict=True)
                )
            if not fine:
                wrong.append(f"{block.name} at {amount}: channel {row.channel}, layer {row.layer}, not {expected}")
    return wrong


def _rows(block: Block) -> list[tuple[int, ShiftRow | AngleRow]]:
    """List the rows of a block, each with its shift in px or rotation in degrees."""
    shifts = [(row.shift_px, row) for row in block.translation.by_transform]
    return [*shifts, *((row.angle_deg, row) for row in block.rotation.by_transform)]


def blur_against_max() -> tuple[float, float]:
    """Measure channel equivariance at odd circular shifts, after max-pooling and after a blur before subsampling."""
    known = Known(
        "pools", lambda: _network(_unit(Circular(3, 8)), Pools(8)), ("0", "1.max", "1.blur"), SHIFTS, lambda *_: None
    )
    rows = {block.name: block.translation.by_transform for block in audit(known).blocks}
    largest, blurred = (
        fmean(row.channel or 0.0 for row in rows[name] if row.shift_px % 2) for name in ("1.max", "1.blur")
    )
    return largest, blurred


def check(device: str | None = None) -> None:
    """Audit the quick networks; exit with status 1 and a message on standard error if a score is wrong."""
    for known in NETWORKS:
        if known.quick and (wrong := deviations(known, audit(known, device))):
            sys.exit("\n".join(f"{known.name}: {item}" for item in wrong))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.calibrate", description="Audit networks of known answers.")
    parser.add_argument("--quick", action="store_true", help="only those that a worker runs when it starts")
    parser.add_argument("--device", help="cuda, cuda:1 or cpu (default: CUDA when there is one)")
    options = parser.parse_args(arguments)
    failed = 0
    print(f"{'network':24} {'block':6} {'channel':>17} {'layer':>17}")
    for known in NETWORKS:
        if options.quick and not known.quick:
            continue
        report = audit(known, options.device)
        for block in report.blocks:
            if block.part not in ("Pool", "Final"):
                rows = [row for _, row in _rows(block)]
                scores = _range([row.channel for row in rows]), _range([row.layer for row in rows])
                print(f"{known.name:24} {block.name:6} {scores[0]} {scores[1]}")
        wrong = deviations(known, report)
        failed += len(wrong)
        for item in wrong:
            print(f"  WRONG: {item}")
    if not options.quick:
        largest, blurred = blur_against_max()
        print(f"channel at odd shifts: {largest:.4f} after max-pooling, {blurred:.4f} after a blur")
        failed += blurred <= largest
    print(f"{failed} deviations" if failed else "all as theory says")
    return 1 if failed else 0


def _range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{min(known):8.6f}-{max(known):8.6f}" if known else f"{'null':>17}"


if __name__ == "__main__":
    sys.exit(main())
