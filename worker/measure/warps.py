"""Warps: transforms that need interpolation, as they act on images and on feature maps.

Images and maps of every size share one plane of coordinates, in pixels of the view: cell i of n covers
[i, i + 1) size / n, and its centre is (i + 1/2) size / n. A warp W moves the content at p to W p, so the warped image
is (T x)(q) = x(W^-1 q). Between cells it is interpolated by cubic convolution with a = -1/2 (Keys 1981).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from zooaudit.contract import WarpKind

KERNEL = 2
"""How many cells on each side of a point the kernel reaches."""
REACH = range(1 - KERNEL, KERNEL + 1)
"""How many cells beyond the last centre before a point those cells are that it is interpolated from."""
NEIGHBOURS = len(REACH) ** 2
SHORT = 64
"""From so many channels on, the channels of one cell are a row long enough to be added by itself."""
LEAST_CELLS = 4
"""A map is not compared over fewer cells."""
HULL = 1e-9
"""How far, in cells, rounding may move a point out of the hull of the cells' centres."""

Points = NDArray[np.float64]
"""(..., 2) float64: how far down and how far right."""


@dataclass(frozen=True)
class Warp:
    """A transform about the middle of the view: a shift down and right by ``amount`` px, a counter-clockwise rotation
    by as many degrees, a scale by this factor, or a shear, which moves a point right by ``amount`` times how far below
    the middle it is."""

    kind: WarpKind
    amount: float

    def __str__(self) -> str:
        """Return the warp as people read it.

        >>> print(Warp("translation", 0.5), Warp("rotation", 15.0), Warp("scale", 1.1), Warp("shear", -0.1), sep=", ")
        warp by 0.5 px, warp by 15°, scale 1.1, shear -0.1
        """
        match self.kind:
            case "translation":
                return f"warp by {self.amount:g} px"
            case "rotation":
                return f"warp by {self.amount:g}°"
        return f"{self.kind} {self.amount:g}"

    @property
    def inverse(self) -> "Warp":
        return Warp(self.kind, 1 / self.amount if self.kind == "scale" else -self.amount)

    def moved(self, points: Points, size: int) -> Points:
        """Return W p of each of the ``points`` of a view of ``size`` pixels."""
        return affine_moved(points, self.linear, self.amount if self.kind == "translation" else 0.0, size)

    @property
    def linear(self) -> Points:
        """The matrix (2, 2) of W about the middle of the view."""
        match self.kind:
            case "rotation":
                cosine, sine = math.cos(math.radians(self.amount)), math.sin(math.radians(self.amount))
                return np.array([[cosine, -sine], [sine, cosine]])
            case "scale":
                return np.eye(2) * self.amount
            case "shear":
                return np.array([[1.0, 0.0], [self.amount, 1.0]])
        return np.eye(2)


def affine_moved(points: Points, linear: Points, shift: float | Points, size: int) -> Points:
    """Turn ``points`` by a matrix about the middle of a view of ``size`` pixels, and shift them down and right: by one
    number, or by one for each, (2,)."""
    moved: Points = (points - size / 2) @ linear.T + size / 2 + shift
    return moved


def centres(height: int, width: int, size: int) -> Points:
    """Return the centres of a map's cells, (height, width, 2), in pixels of a view of ``size`` pixels."""
    down, right = ((np.arange(count) + 0.5) * size / count for count in (height, width))
    return np.stack(np.meshgrid(down, right, indexing="ij"), -1)


def margin(warps: Iterable[Warp], size: int) -> int:
    """Return how many pixels of the canvas are needed on each side of a view of ``size`` pixels, so that warps find
    real pixels there.

    >>> margin([], 224), margin([Warp("translation", 0.5)], 224), margin([Warp("rotation", 45.0)], 224)
    (0, 3, 49)
    """
    corners = np.array([[0.0, 0.0], [0.0, size], [size, 0.0], [size, size]])
    outside = [
        max(-corners_before.min(), corners_before.max() - size, 0.0)
        for corners_before in (warp.inverse.moved(corners, size) for warp in warps)
    ]
    return math.ceil(max(outside) - HULL) + KERNEL if outside else 0


@dataclass(frozen=True)
class Taps:
    """How values between the cells of a grid are interpolated: the value at point i is the sum over its 16 neighbours
    of ``weight[i]`` (P, 16) times the cell ``index[i]`` (P, 16)."""

    index: Tensor
    weight: Tensor

    @classmethod
    def at(cls, positions: Points, height: int, width: int) -> "Taps":
        """Interpolate at ``positions`` (P, 2), in cells, where the centre of cell i is at i + 1/2. Cells at the border
        are repeated."""
        first = np.floor(positions - 0.5)
        fraction = positions - 0.5 - first
        near = first[..., None] + REACH  # (P, 2, 4)
        weight = keys(torch.from_numpy(fraction[..., None] - REACH))
        rows, columns = (near[:, axis].clip(0, side - 1) for axis, side in enumerate((height, width)))
        index = (rows[:, :, None] * width + columns[:, None, :]).reshape(-1, NEIGHBOURS)
        product = (weight[:, 0, :, None] * weight[:, 1, None, :]).reshape(-1, NEIGHBOURS)
        return cls(torch.from_numpy(index.astype(np.int64)), product.float())

    def to(self, device: torch.device) -> "Taps":
        return Taps(self.index.to(device), self.weight.to(device))

    def of(self, maps: Tensor) -> Tensor:
        """Interpolate ``maps`` (N, cells, K) float: (N, P, K).

        Each neighbour is a row of numbers that lie side by side: its channels, or where these are few, its channels in
        all images, since short rows take several times as long.
        """
        images, cells, channels = maps.shape
        if channels < SHORT:
            table = maps.transpose(0, 1).reshape(cells, images * channels)
            values = functional.embedding_bag(
                self.index, table, mode="sum", per_sample_weights=self.weight.to(maps.dtype)
            )
            return values.view(len(self.index), images, channels).transpose(0, 1)
        first = torch.arange(images, device=maps.device)[:, None, None] * cells
        values = functional.embedding_bag(
            (self.index + first).flatten(0, 1),
            maps.reshape(-1, channels),
            mode="sum",
            per_sample_weights=self.weight.to(maps.dtype).repeat(images, 1),
        )
        return values.view(images, len(self.index), channels)


def table_bytes(points: int) -> int:
    """Return the memory of the :class:`Taps` of so many points.

    >>> taps = Taps.at(np.zeros((5, 2)), 2, 2)
    >>> table_bytes(5) == taps.index.nbytes + taps.weight.nbytes
    True
    """
    return points * NEIGHBOURS * (8 + 4)


def keys(distance: Tensor) -> Tensor:
    """Weigh cells at a ``distance``, in cells, by the kernel of cubic convolution with a = -1/2.

    >>> keys(torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0])).tolist()
    [1.0, 0.5625, 0.0, -0.0625, 0.0]
    """
    x = distance.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))
