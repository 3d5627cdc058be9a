"""The networks, and the scores that theory gives them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from zooaudit.contract import Warps

from worker.known.group_convolution import P4, P4M, GroupConvolution, Motion
from worker.known.harmonic import SIDE, HarmonicNetwork, blurred
from worker.known.layers import (
    Blur,
    Circular,
    Dead,
    PlaceBlind,
    Pools,
    gaussian,
    mirrored,
    rotated_copies,
    wide_gaussian,
)
from worker.measure.warps import Warp

SIZE = 64
"""The networks' input, in pixels."""
EXACT = 5e-6
"""How far float32 may move a score from what it is in theory."""

Bound = tuple[float, float]
Bounds = tuple[Bound, Bound]
ONE: Bound = (1 - EXACT, 1.0)
ROTATIONS: dict[str, Any] = {"translations_px": (), "rotations_deg": (90, 180, 270)}
SHIFTS: dict[str, Any] = {"translations_px": (1, 2, 3, 4, 5, 6), "rotations_deg": (), "border": "circular"}
REFLECTIONS: dict[str, Any] = {"translations_px": (), "rotations_deg": (), "reflections": ("horizontal", "vertical")}
EVERY_TENTH_DEGREE: dict[str, Any] = {
    "translations_px": (),
    "rotations_deg": (),
    "warps": (Warps(kind="rotation", amounts=tuple(range(-170, 181, 10))),),
}
BETWEEN_CELLS: dict[str, Any] = {
    "translations_px": (),
    "rotations_deg": (),
    "warps": (
        Warps(kind="rotation", amounts=(15, 30, 45)),
        Warps(kind="translation", amounts=(0.5, 1.5)),
        Warps(kind="scale", amounts=(0.9,)),
        Warps(kind="shear", amounts=(0.2,)),
    ),
}
SMALL_SHIFTS: dict[str, Any] = {
    "translations_px": (),
    "rotations_deg": (),
    "warps": (Warps(kind="translation", amounts=(0.5, 1, 1.5, 2, 3)),),
}


@dataclass(frozen=True)
class Known:
    """A network whose scores are known.

    ``build``    makes it; ``blocks`` are the paths of the blocks that are checked
    ``request``  the fields of the request that audits it
    ``expect``   returns the bounds of a block's channel and layer score under a shift in px, a rotation in degrees,
                 a reflection by the name of its axis, or a warp; None stands for a null with a reason
    ``dead``     how many dead channels a block has
    ``signal``   it is audited on one image, each row of which repeats this signal, 0 for black and 1 for white;
                 by default on synthetic images
    ``quick``    whether a worker checks it when it starts
    """

    name: str
    build: Callable[[], nn.Module]
    blocks: Sequence[str]
    request: dict[str, Any]
    expect: Callable[[str, Any], Bounds | None]
    dead: dict[str, int] = field(default_factory=dict)
    signal: Sequence[int] = ()
    quick: bool = False


def _at_least(low: float) -> Bounds:
    return (low, 1.0), (low, 1.0)


def _below(high: float) -> Bounds:
    return (0.0, high), (0.0, high)


def _unit(layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(layer, nn.ReLU())


def _network(*blocks: nn.Module) -> nn.Sequential:
    """Chain ``blocks``, named "0", "1", ..., with a global pool and a classifier."""
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(10))


def _three_units(layer: Callable[[int, int], nn.Module], into: int) -> nn.Sequential:
    return _network(*(_unit(layer(channels, into)) for channels in (3, into, into)))


def _three_on_a_group(group: Sequence[Motion]) -> nn.Sequential:
    first = GroupConvolution(3, 4, group, first=True)
    return _network(_unit(first), *(_unit(GroupConvolution(4, 4, group)) for _ in range(2)))


def _strided(blur: bool) -> nn.Sequential:
    """Make a network that subsamples by 2 after its second convolution, behind a blur or not."""
    convolutions = [nn.Conv2d(channels, 8, 3, padding=1) for channels in (3, 8, 8)]
    units = [_unit(layer) for layer in convolutions]
    return _network(units[0], nn.Sequential(units[1], Blur(8) if blur else nn.MaxPool2d(1, stride=2)), units[2])


def _behind_stride_2(block: str, amount: int) -> Bounds:
    """Equivariance is exact at even shifts and lost at odd ones."""
    return (ONE, ONE) if block == "0" or amount % 2 == 0 else ((0.0, 0.97), (0.0, 0.97))


def _behind_pools(block: str, amount: int) -> Bounds:
    """Equivariance is exact at even shifts; at odd ones the blur keeps more than the maximum alone."""
    if block == "0" or amount % 2 == 0:
        return ONE, ONE
    return ((0.0, 0.6), (0.0, 0.7)) if block == "1.max" else ((0.7, 0.97), (0.7, 0.97))


def _pools_of_the_signal(block: str, amount: int) -> Bounds:
    """The cosines of what the pools make of 0 0 1 1 (Zhang 2019) and, at odd shifts, of 1 0 0 1.

    The maximum makes of them 0 1 and 1 1, anti-aliased max-pooling 1/2 1 and 3/4 3/4.
    """
    if amount % 2 == 0:
        return ONE, ONE
    cosine = 1 / math.sqrt(2) if block == "0.max" else 3 / math.sqrt(10)
    exactly = (cosine - EXACT, cosine + EXACT)
    return exactly, exactly


def _of_turns_alone(_block: str, amount: Any) -> Bounds:
    """A reflection is no turn: it leads to no other orientation of the same filter."""
    return ((0.0, 0.6), (0.0, 0.9) if isinstance(amount, str) else ONE)


def _of_mirrored_kernels(_block: str, axis: str) -> Bounds:
    return (ONE, ONE) if axis == "horizontal" else ((0.0, 0.9), (0.0, 0.95))


def _of_blurred_filters(_block: str, warp: Warp) -> Bounds:
    """Filters without an order that are as smooth as harmonic ones lose their scores slowly, but they lose them."""
    return (ONE, ONE) if warp.amount == 0 else _below({10.0: 0.99, 20.0: 0.95}.get(abs(warp.amount), 0.88))


def _between_cells_behind_stride_2(block: str, warp: Warp) -> Bounds:
    """A stride with no blur commutes with shifts by whole cells, of 2 px, and with few others."""
    return _at_least(0.9) if block == "0" or warp.amount == 2 else _below(0.78)


NETWORKS = (
    Known(
        "gaussian-kernels",
        lambda: _three_units(gaussian, 8),
        ("0", "1", "2"),
        ROTATIONS,
        lambda _block, _angle: (ONE, ONE),
        quick=True,
    ),
    Known(
        "rotated-copies",
        lambda: _three_units(rotated_copies, 4),
        ("0", "1", "2"),
        ROTATIONS,
        lambda _block, _angle: ((0.0, 0.8), ONE),
        quick=True,
    ),
    Known(
        "permuted-channels",
        lambda: _network(rotated_copies(3, 4)),
        ("0",),
        ROTATIONS,
        lambda _block, _angle: ((0.0, 0.1), ONE),
    ),
    Known(
        "p4-group-convolutions",
        lambda: _three_on_a_group(P4),
        ("0", "1", "2"),
        ROTATIONS | {"reflections": ("horizontal", "vertical")},
        _of_turns_alone,
    ),
    Known(
        "p4m-group-convolutions",
        lambda: _three_on_a_group(P4M),
        ("0", "1", "2"),
        ROTATIONS | {"reflections": ("horizontal", "vertical")},
        lambda _block, _angle: ((0.0, 0.6), ONE),
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
        "mirrored-kernels",
        lambda: _three_units(mirrored, 8),
        ("0", "1", "2"),
        REFLECTIONS,
        _of_mirrored_kernels,
        quick=True,
    ),
    Known(
        "stride-2",
        lambda: _network(_unit(Circular(3, 8)), _unit(Circular(8, 8, stride=2)), _unit(Circular(8, 8))),
        ("0", "1", "2"),
        SHIFTS,
        _behind_stride_2,
    ),
    Known(
        "pools",
        lambda: _network(_unit(Circular(3, 8)), Pools(8)),
        ("0", "1.max", "1.blur"),
        SHIFTS,
        _behind_pools,
    ),
    Known(
        "pools-of-the-signal",
        lambda: _network(Pools(3)),
        ("0.max", "0.blur"),
        {**SHIFTS, "similarity": "cosine"},
        _pools_of_the_signal,
        signal=(0, 0, 1, 1),
    ),
    Known(
        "blind-to-place",
        lambda: _network(PlaceBlind(SIZE)),
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
    Known(
        "wide-gaussian-kernels",
        lambda: _three_units(wide_gaussian, 8),
        ("0", "1", "2"),
        BETWEEN_CELLS,
        lambda _block, _warp: _at_least(0.99),
        quick=True,
    ),
    Known(
        "harmonic-network",
        lambda: HarmonicNetwork(features=4, depth=3),
        ("maps.0", "maps.1", "maps.2"),
        EVERY_TENTH_DEGREE,
        lambda _block, _warp: _at_least(0.97),
    ),
    Known(
        "plain-filters",
        lambda: _three_units(lambda channels, into: nn.Conv2d(channels, into, SIDE), 16),
        ("0", "1", "2"),
        EVERY_TENTH_DEGREE,
        lambda _block, warp: (ONE, ONE) if warp.amount == 0 else _below(0.93 if abs(warp.amount) == 10 else 0.8),
    ),
    Known(
        "plain-blurred-filters",
        lambda: _three_units(blurred, 16),
        ("0", "1", "2"),
        EVERY_TENTH_DEGREE,
        _of_blurred_filters,
    ),
    Known(
        "stride-2-between-cells",
        lambda: _strided(blur=False),
        ("0", "1", "2"),
        SMALL_SHIFTS,
        _between_cells_behind_stride_2,
    ),
    Known(
        "blur-and-stride-2",
        lambda: _strided(blur=True),
        ("0", "1", "2"),
        SMALL_SHIFTS,
        lambda _block, _warp: _at_least(0.83),
    ),
)
