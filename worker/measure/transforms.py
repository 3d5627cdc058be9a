"""The transforms T: how they act on an image, and how the feature maps of both views are laid upon each other.

Images and canvases are (N, 3, height, width), feature maps (N, h, w, K). All shifts are diagonal, down and right;
rotations are counter-clockwise.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Border = Literal["crop", "zero", "circular"]


@dataclass(frozen=True)
class Shift:
    """A diagonal shift by ``shift_px``. ``border`` says what enters the view: real pixels of the canvas ("crop"),
    zeros, or the view's other side ("circular")."""

    shift_px: int
    border: Border = "crop"

    def __str__(self) -> str:
        """Return the shift as people read it.

        >>> print(Shift(4), Shift(4, "zero"), sep=", ")
        4 px, 4 px zero
        """
        return f"{self.shift_px} px" + ("" if self.border == "crop" else f" {self.border}")


@dataclass(frozen=True)
class Rotation:
    """A rotation by ``angle_deg``, a multiple of 90."""

    angle_deg: int

    def __str__(self) -> str:
        return f"{self.angle_deg}°"

    @property
    def quarters(self) -> int:
        return self.angle_deg // 90


Transform = Shift | Rotation


@dataclass(frozen=True)
class Views:
    """The views, of ``size`` pixels, of a canvas of ``size + room`` pixels; ``room`` is the largest shift asked for.

    The reference view and the rotated views are the same for all borders.
    """

    size: int
    room: int

    def reference(self, canvas: Tensor) -> Tensor:
        """Return x_0 = canvas[room : room + size] on both axes, the view with which every other one is compared."""
        return self._window(canvas, self.room)

    def transformed(self, canvas: Tensor, transform: Transform) -> Tensor:
        """Return T(x_0). Under border "crop" a shifted view is another window of the canvas, so every pixel is real."""
        match transform:
            case Rotation():
                return torch.rot90(self.reference(canvas), transform.quarters, (2, 3))
            case Shift(shift, "crop"):
                return self._window(canvas, self.room - shift)
            case Shift(shift, "zero"):
                kept = self.reference(canvas)[:, :, : self.size - shift, : self.size - shift]
                return functional.pad(kept, (shift, 0, shift, 0))
            case Shift(shift):
                return torch.roll(self.reference(canvas), (shift, shift), (2, 3))

    def _window(self, canvas: Tensor, start: int) -> Tensor:
        return canvas[:, :, start : start + self.size, start : start + self.size]


@dataclass(frozen=True)
class Alignment:
    """How b = f(T(x)) is laid upon a = f(x): both are cut to ``height`` x ``width`` cells, and b undergoes T's inverse.

    ``offset`` (rows, columns) is where b's window begins: the shift in cells of the map, rounded down. a's begins at 0.
    """

    height: int
    width: int
    offset: tuple[int, int] = (0, 0)
    roll: bool = False
    quarters: int = 0

    def of_reference(self, a: Tensor) -> Tensor:
        return a[:, : self.height, : self.width]

    def of_transformed(self, b: Tensor) -> Tensor:
        rows, columns = self.offset
        if self.roll:
            return torch.roll(b, (-rows, -columns), (1, 2))
        window = b[:, rows:, columns:]
        # A rotation copies, one by nothing, too.
        return torch.rot90(window, -self.quarters, (1, 2)) if self.quarters else window


def align(transform: Transform, height: int, width: int, size: int) -> Alignment | str:
    """Align maps of ``height`` x ``width`` cells for an input of ``size`` pixels; a string says why that is impossible.

    Comparing a with the inverse of T applied to b pairs the same cells as comparing T(a) with b. On a 1x1 map T is the
    identity, and the comparison measures invariance.

    >>> align(Shift(33), 7, 7, 224)
    Alignment(height=6, width=6, offset=(1, 1), roll=False, quarters=0)
    >>> align(Rotation(90), 8, 4, 224)
    'a map of 8 x 4 cells does not fit upon itself when it is rotated'
    """
    if (height, width) == (1, 1):
        return Alignment(1, 1)
    match transform:
        case Rotation():
            if height != width:
                return f"a map of {height} x {width} cells does not fit upon itself when it is rotated"
            return Alignment(height, width, quarters=transform.quarters)
        case Shift(shift, border):
            offset = (shift * height // size, shift * width // size)
            if border == "circular":
                return Alignment(height, width, offset, roll=True)
            return Alignment(height - offset[0], width - offset[1], offset)


def is_whole(shift_px: int, height: int, width: int, size: int) -> bool:
    """Tell whether a shift is a whole number of cells of a map, so that no rounding enters the comparison.

    >>> [shift for shift in range(1, 33) if is_whole(shift, 14, 14, 224)]
    [16, 32]
    """
    return (height, width) == (1, 1) or (shift_px * height % size == 0 and shift_px * width % size == 0)
