"""The transforms T: how they act on an image, and how the feature maps of both views are laid upon each other.

Images and canvases are (N, 3, height, width), feature maps (N, h, w, K). Shifts are down, right, or both; rotations are
counter-clockwise; a horizontal reflection swaps left and right, a vertical one top and bottom. Transforms that need
interpolation are :class:`worker.measure.warps.Warp`.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from zooaudit.contract import Axis, Direction

from worker.measure.warps import HULL, LEAST_CELLS, Points, Taps, Warp, centres

Border = Literal["crop", "zero", "circular"]


@dataclass(frozen=True)
class Shift:
    """A shift by ``shift_px`` in a ``direction``. ``border`` says what enters the view: real pixels of the canvas
    ("crop"), zeros, or the view's other side ("circular")."""

    shift_px: int
    border: Border = "crop"
    direction: Direction = "diagonal"

    @property
    def vector(self) -> tuple[int, int]:
        """By how many pixels the content moves down, and right.

        >>> Shift(4).vector, Shift(4, direction="right").vector, Shift(4, direction="down").vector
        ((4, 4), (0, 4), (4, 0))
        """
        return (
            0 if self.direction == "right" else self.shift_px,
            0 if self.direction == "down" else self.shift_px,
        )

    def __str__(self) -> str:
        """Return the shift as people read it.

        >>> print(Shift(4), Shift(4, "zero"), Shift(4, "zero", "right"), sep=", ")
        4 px, 4 px zero, 4 px right zero
        """
        direction = "" if self.direction == "diagonal" else f" {self.direction}"
        return f"{self.shift_px} px{direction}" + ("" if self.border == "crop" else f" {self.border}")


@dataclass(frozen=True)
class Rotation:
    """A rotation by ``angle_deg``, a multiple of 90."""

    angle_deg: int

    def __str__(self) -> str:
        return f"{self.angle_deg}°"

    @property
    def quarters(self) -> int:
        return self.angle_deg // 90


@dataclass(frozen=True)
class Reflection:
    """A reflection: left to right ("horizontal"), or top to bottom ("vertical")."""

    axis: Axis

    def __str__(self) -> str:
        return self.axis


Transform = Shift | Rotation | Reflection | Warp


@dataclass(frozen=True)
class Views:
    """The views, of ``size`` pixels, of a canvas with ``room`` pixels above and left of the reference view, and with
    ``margin`` pixels below and right of it. ``room`` is at least the largest shift asked for, and both are at least
    the :func:`worker.measure.warps.margin` of the warps.

    The reference view and what is rotated or reflected of it are the same for all borders.
    """

    size: int
    room: int
    margin: int = 0
    _tables: dict[tuple[Warp, torch.device], Taps] = field(default_factory=dict, compare=False, repr=False)

    @property
    def side(self) -> int:
        """The side of a canvas."""
        return self.room + self.size + self.margin

    def reference(self, canvas: Tensor) -> Tensor:
        """Return x_0 = canvas[room : room + size] on both axes, the view with which every other one is compared."""
        return self._window(canvas, self.room, self.room)

    def transformed(self, canvas: Tensor, transform: Transform) -> Tensor:
        """Return T(x_0). Under border "crop" a shifted view is another window of the canvas, so every pixel is real."""
        match transform:
            case Rotation():
                return torch.rot90(self.reference(canvas), transform.quarters, (2, 3))
            case Reflection(axis):
                return torch.flip(self.reference(canvas), (3 if axis == "horizontal" else 2,))
            case Warp():
                warped = self._table(transform, canvas.device).of(canvas.flatten(2).transpose(1, 2))
                return warped.reshape(-1, self.size, self.size, 3).permute(0, 3, 1, 2)
        down, right = transform.vector
        match transform.border:
            case "crop":
                return self._window(canvas, self.room - down, self.room - right)
            case "zero":
                kept = self.reference(canvas)[:, :, : self.size - down, : self.size - right]
                return functional.pad(kept, (right, 0, down, 0))
            case "circular":
                return torch.roll(self.reference(canvas), (down, right), (2, 3))

    def _window(self, canvas: Tensor, top: int, left: int) -> Tensor:
        return canvas[:, :, top : top + self.size, left : left + self.size]

    def _table(self, warp: Warp, device: torch.device) -> Taps:
        """Return where in a canvas the pixels of the warped view come from. It is kept, since CUDA graphs read it."""
        if (warp, device) not in self._tables:
            before = warp.inverse.moved(centres(self.size, self.size, self.size), self.size) + self.room
            self._tables[warp, device] = Taps.at(before.reshape(-1, 2), self.side, self.side).to(device)
        return self._tables[warp, device]


@dataclass(frozen=True)
class Alignment:
    """How b = f(T(x)) is laid upon a = f(x): both are cut to ``height`` x ``width`` cells, and b undergoes T's inverse.

    ``offset`` (rows, columns) is where b's window begins: the shift in cells of the map, rounded down. a's begins at 0.
    ``mirrored`` is the axis along which the maps of a reflection are turned round.
    """

    height: int
    width: int
    offset: tuple[int, int] = (0, 0)
    roll: bool = False
    quarters: int = 0
    mirrored: int | None = None

    def of_reference(self, a: Tensor) -> Tensor:
        return a[:, : self.height, : self.width]

    def of_transformed(self, b: Tensor) -> Tensor:
        rows, columns = self.offset
        if self.roll:
            return torch.roll(b, (-rows, -columns), (1, 2))
        if self.mirrored is not None:
            return torch.flip(b, (self.mirrored,))
        window = b[:, rows:, columns:]
        # A rotation copies, one by nothing, too.
        return torch.rot90(window, -self.quarters, (1, 2)) if self.quarters else window


@dataclass(frozen=True, eq=False)
class WarpAlignment:
    """How b = f(W(x)) is compared with a = f(x) warped by W: over ``cells`` (V,), the numbers of those cells q of which
    W^-1 q lies in the hull of the cells' centres.

    ``there`` interpolates f(x) at W^-1 q of all cells, and ``back`` the outcome at W q of the cells of which both
    points lie in the hull, which are 1 in ``both`` (cells,): warped and warped back, f(x) loses what interpolation
    loses. ``back`` gives 0 at the other cells.
    """

    cells: Tensor
    there: Taps
    both: Tensor
    back: Taps

    @property
    def height(self) -> int:
        return len(self.cells)

    @property
    def width(self) -> int:
        return 1

    def of_reference(self, a: Tensor) -> Tensor:
        return self.chosen(self.there.of(a.flatten(1, 2)))

    def of_transformed(self, b: Tensor) -> Tensor:
        return self.chosen(b.flatten(1, 2))

    def chosen(self, maps: Tensor) -> Tensor:
        """Return the cells that are compared of ``maps`` (N, cells, K), as contiguous maps of one column."""
        images, cells, channels = maps.shape
        # Selecting rows is twice as fast on a CPU as selecting along the middle axis.
        rows = torch.arange(images, device=maps.device)[:, None] * cells + self.cells
        return functional.embedding(rows, maps.reshape(-1, channels))[:, :, None]


@lru_cache(maxsize=8)  # enough for all representations under one warp: those of one size share the tables
def _align_warp(warp: Warp, height: int, width: int, size: int, device: torch.device) -> WarpAlignment | str:
    cells = centres(height, width, size).reshape(-1, 2)
    before, after = (moved.moved(cells, size) * np.array([height, width]) / size for moved in (warp.inverse, warp))
    compared = _in_hull(before, height, width)
    if compared.sum() < LEAST_CELLS:
        left = f"{compared.sum()} of the {height} x {width} cells of the map have a place in it"
        return f"{left} before the {warp}, and it takes {LEAST_CELLS} to compare"
    both = torch.from_numpy(compared & _in_hull(after, height, width)).float()
    back = Taps.at(after, height, width)
    return WarpAlignment(
        torch.from_numpy(compared.nonzero()[0]).to(device),
        Taps.at(before, height, width).to(device),
        both.to(device),
        Taps(back.index, back.weight * both[:, None]).to(device),
    )


def _in_hull(positions: Points, height: int, width: int) -> NDArray[np.bool_]:
    """Tell which ``positions`` (P, 2), in cells, lie in the hull of the centres of a map's cells."""
    sides = np.array([height, width])
    inside: NDArray[np.bool_] = np.all(abs(positions - sides / 2) <= (sides - 1) / 2 + HULL, axis=1)
    return inside


def align(
    transform: Transform, height: int, width: int, size: int, device: torch.device | str = "cpu"
) -> Alignment | WarpAlignment | str:
    """Align maps of ``height`` x ``width`` cells for an input of ``size`` pixels; a string says why that is impossible.

    Comparing a with the inverse of T applied to b pairs the same cells as comparing T(a) with b. On a 1x1 map T is the
    identity, and the comparison measures invariance. What a warp is compared by is kept on the ``device``.

    >>> align(Shift(33), 7, 7, 224)
    Alignment(height=6, width=6, offset=(1, 1), roll=False, quarters=0, mirrored=None)
    >>> align(Shift(64, direction="right"), 7, 7, 224).offset
    (0, 2)
    >>> align(Rotation(90), 8, 4, 224)
    'a map of 8 x 4 cells does not fit upon itself when it is rotated'
    >>> align(Warp("rotation", 45.0), 2, 2, 224)
    '0 of the 2 x 2 cells of the map have a place in it before the warp by 45°, and it takes 4 to compare'
    """
    if (height, width) == (1, 1):
        return Alignment(1, 1)
    match transform:
        case Rotation():
            if height != width:
                return f"a map of {height} x {width} cells does not fit upon itself when it is rotated"
            return Alignment(height, width, quarters=transform.quarters)
        case Reflection(axis):
            return Alignment(height, width, mirrored=2 if axis == "horizontal" else 1)
        case Warp():
            return _align_warp(transform, height, width, size, torch.device(device))
        case Shift():
            down, right = transform.vector
            offset = (down * height // size, right * width // size)
            if transform.border == "circular":
                return Alignment(height, width, offset, roll=True)
            return Alignment(height - offset[0], width - offset[1], offset)


def is_whole(shift: Shift, height: int, width: int, size: int) -> bool:
    """Tell whether a shift is a whole number of cells of a map, so that no rounding enters the comparison.

    >>> [shift_px for shift_px in range(1, 33) if is_whole(Shift(shift_px), 14, 14, 224)]
    [16, 32]
    >>> [shift_px for shift_px in range(1, 33) if is_whole(Shift(shift_px, direction="down"), 28, 14, 224)]
    [8, 16, 24, 32]
    """
    down, right = shift.vector
    return (height, width) == (1, 1) or (down * height % size == 0 and right * width % size == 0)
