"""Convolutions on groups of shifts, quarter turns and mirrorings (Cohen and Welling 2016)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Motion:
    """A symmetry of the square: mirror left and right if ``mirrored``, then turn counter-clockwise by ``quarters``."""

    quarters: int
    mirrored: bool = False

    def of(self, maps: Tensor) -> Tensor:
        """Move maps (..., height, width)."""
        return torch.rot90(maps.flip(-1) if self.mirrored else maps, self.quarters, (-2, -1))

    def before(self, whole: "Motion") -> "Motion":
        """Return the motion that makes ``whole`` when this one comes after it.

        >>> Motion(1).before(Motion(3))
        Motion(quarters=2, mirrored=False)
        >>> Motion(1, mirrored=True).before(Motion(0))
        Motion(quarters=1, mirrored=True)
        """
        quarters = whole.quarters - self.quarters
        return Motion((-quarters if self.mirrored else quarters) % 4, whole.mirrored != self.mirrored)


P4 = tuple(Motion(quarters) for quarters in range(4))
P4M = (*P4, *(Motion(quarters, mirrored=True) for quarters in range(4)))


class GroupConvolution(nn.Module):
    """A convolution on a ``group`` of motions; output channels are ``into`` features in each orientation of the group.

    The first layer reads plain channels, each later one ``channels`` features in each orientation. An output comes from
    the filters moved into its orientation: in the plane and, after the first layer, among the input's orientations.
    Moving the input thus moves each map and permutes the orientations.
    """

    def __init__(self, channels: int, into: int, group: Sequence[Motion], first: bool = False) -> None:
        super().__init__()
        self.group = group
        self.orders = [[0] if first else [group.index(motion.before(other)) for other in group] for motion in group]
        fan_in = 9 * channels * len(self.orders[0])
        self.weight = nn.Parameter(torch.randn(into, channels, len(self.orders[0]), 3, 3) / math.sqrt(fan_in))

    def forward(self, x: Tensor) -> Tensor:
        moved = [motion.of(self.weight[:, :, order]) for motion, order in zip(self.group, self.orders, strict=True)]
        filters = torch.stack(moved, 1).flatten(0, 1).flatten(1, 2)
        return functional.conv2d(x, filters, padding=1)
