"""How stable a network is to smooth random deformations (Petrini, Favero, Geiger, Wyart 2021).

A deformation moves the content of an image by a field tau, a sum of sine waves that vanishes at the view's border::

    tau(u, v) = sum over i, j >= 1, i^2 + j^2 <= cutoff^2 of C_ij sin(i pi u) sin(j pi v)

for each axis, where u and v in [0, 1] say how far down and how far right a pixel's centre is, and C_ij is normal with
variance 1 / (i^2 + j^2). The field of each image is scaled so that the mean over the pixels of its length is the
displacement asked for, and (tau x)(q) = x(q - tau(q)). At every representation f, over images::

    D = E|f(tau x) - f(x)|^2 / E|f(x) - f(z)|^2,  z another image
    G = the same with x + noise in place of tau x; the noise of each image is as long as tau x - x
    R = D / G
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.depth import Representation
from worker.measure.forward import Receive
from worker.measure.probes.statistic import CONSTANT, NOT_FINITE, Statistic, of_ratio
from worker.measure.similarity import CONSTANT as RELATIVELY_CONSTANT
from worker.measure.transforms import Views
from worker.measure.warps import REACH, keys

ALONE = "one image has no other to be compared with"
DEAF = "the noise does not change the representation"
FIELD, NOISE = 0, 1
"""The third number of an image's seeds: that of its field, and that of its noise."""


@dataclass(frozen=True)
class Deformation:
    """Deformations by a mean length of each of ``displacements_px``, of sine waves with frequencies to ``cutoff``."""

    displacements_px: tuple[float, ...]
    cutoff: int

    @property
    def views(self) -> int:
        """How many views of an image go through the model."""
        return 1 + 2 * len(self.displacements_px)

    def __str__(self) -> str:
        """Return it as people read it.

        >>> print(Deformation((0.5, 1.0), 3))
        deformation by 0.5, 1 px
        """
        return f"deformation by {', '.join(f'{each:g}' for each in self.displacements_px)} px"


@dataclass(frozen=True)
class Fields:
    """A field for each of N images, on a view of ``size`` pixels.

    ``coefficients`` (N, 2, cutoff, cutoff) float64 are the C_ij of the field down and of that to the right, 0 beyond
    the cutoff.
    """

    coefficients: Tensor
    size: int

    @classmethod
    def drawn(cls, seed: int, places: Sequence[int], cutoff: int, size: int, device: torch.device) -> "Fields":
        """Draw the field of each image of a sample, by its place, from ``default_rng([seed, place, 0])``: for both axes
        the C_ij of all i and j to the cutoff, row by row, as standard normals that are then divided by the root of
        i^2 + j^2."""
        frequency = np.arange(1, cutoff + 1)
        squared = frequency[:, None] ** 2 + frequency**2
        scale = np.where(squared <= cutoff**2, squared**-0.5, 0.0)
        drawn = [np.random.default_rng([seed, place, FIELD]).standard_normal((2, cutoff, cutoff)) for place in places]
        return cls(_sent(np.stack(drawn) * scale, device), size)

    @cached_property
    def _frequencies(self) -> Tensor:
        """pi i for each i, (cutoff,): the waves' angular frequencies, for the whole view."""
        return torch.pi * torch.arange(1, self.coefficients.shape[2] + 1, device=self.coefficients.device).double()

    @cached_property
    def _unscaled(self) -> tuple[Tensor, Tensor]:
        """The fields (N, 2, size, size) float64, and the mean of the length of each, (N,)."""
        middles = (torch.arange(self.size, device=self.coefficients.device).double() + 0.5) / self.size
        sines = torch.sin(self._frequencies[:, None] * middles)
        fields = sines.T @ self.coefficients @ sines
        return fields, fields.square().sum(1).sqrt().mean((1, 2))

    @cached_property
    def of_mean_1(self) -> Tensor:
        """The fields (N, 2, size, size) float32 in px, down and right, scaled to a mean length of 1 px."""
        fields, lengths = self._unscaled
        return (fields / lengths[:, None, None, None]).float()

    @cached_property
    def squared_gradients(self) -> Tensor:
        """The mean over the pixels of the squared gradient of each field, scaled to a mean length of 1 px, (N,) in px
        by px: the squares of the four derivatives, summed.

        Over the centres of the pixels sine waves are orthogonal and their squares have a mean of 1/2, as over the
        whole view, so the mean follows from the coefficients.
        """
        squares = self._frequencies.square() / self.size**2
        of_wave = (squares[:, None] + squares) / 4
        return (self.coefficients.square() * of_wave).sum((1, 2, 3)) / self._unscaled[1].square()


def deformed(canvas: Tensor, field: Tensor, room: int) -> Tensor:
    """Deform the view of a ``canvas`` (N, 3, side, side) that begins ``room`` px from its top left corner.

    ``field`` (N, 2, size, size) float32 says in px how far down and right the content moves. Between pixels the canvas
    is interpolated by cubic convolution (:mod:`worker.measure.warps`), and where it ends its border pixels repeat.
    """
    images, colours, *sides = canvas.shape
    size = field.shape[2]
    pixels = canvas.flatten(2)
    first = torch.floor(-field)
    fractions = -field - first
    weights = [[keys(fraction - reach) for reach in REACH] for fraction in fractions.unbind(1)]
    pixel = torch.arange(room, room + size, device=canvas.device)
    begin = [first[:, 0].long() + pixel[:, None], first[:, 1].long() + pixel]
    rows, columns = (
        [(from_cell + reach).clamp_(0, side - 1) for reach in REACH]
        for from_cell, side in zip(begin, sides, strict=True)
    )
    view = torch.zeros(images, colours, size, size, dtype=canvas.dtype, device=canvas.device)
    # Tap by tap: the neighbours of all pixels at once would take sixteen times the memory of the view.
    for row, down in zip(rows, weights[0], strict=True):
        for column, right in zip(columns, weights[1], strict=True):
            index = (row * sides[1] + column).flatten(1)[:, None].expand(-1, colours, -1)
            view.addcmul_(pixels.gather(2, index).view_as(view), (down * right)[:, None])
    return view


def noise(seed: int, places: Sequence[int], size: int, device: torch.device) -> Tensor:
    """Draw isotropic noise of length 1 for a view of each image, (N, 3, size, size) float32: standard normals from
    ``default_rng([seed, place, 1])``, divided by their length."""
    drawn = [
        np.random.default_rng([seed, place, NOISE]).standard_normal((3, size, size), dtype=np.float32)
        for place in places
    ]
    normals = _sent(np.stack(drawn), device)
    return normals / _length(normals)


def _length(images: Tensor) -> Tensor:
    # In float32 a CPU adds the squares one after another: of a million pixels the sum is off by 1e-4.
    length: Tensor = torch.linalg.vector_norm(images, dim=(1, 2, 3), keepdim=True, dtype=torch.float64)
    return length.to(images.dtype)


def _sent(values: NDArray[np.floating], device: torch.device) -> Tensor:
    """Send values to the device without making the host wait for what the device is doing."""
    held = torch.from_numpy(values)
    return held if device.type == "cpu" else held.pin_memory().to(device, non_blocking=True)


class _Differences:
    """The sums over images at one representation from which E|f(x) - f(z)|^2 follows, about a pivot for each unit: a
    channel at a cell. The first batch gives the pivot."""

    def __init__(self) -> None:
        self._images = 0
        self._pivot = self._total = self._square = torch.empty(0)

    def see(self, maps: Tensor) -> None:
        """Add the ``maps`` (N, h, w, K) of some images."""
        if not self._images:
            self._pivot = maps.float().mean(0)
            self._total = torch.zeros_like(self._pivot, dtype=torch.float64)
            self._square = torch.zeros((), dtype=torch.float64, device=maps.device)
        self._images += len(maps)
        differences = maps.float() - self._pivot
        self._total += differences.sum(0)
        self._square += differences.square_().sum((1, 2, 3)).double().sum()

    def mean_square(self) -> float:
        """Compute E|f(x) - f(z)|^2 over all pairs of different images, in float64: 0 if f varies no more than rounding
        lets a constant vary."""
        between = self._square - self._total.square().sum() / self._images
        about_zero = (self._total + self._images * self._pivot.double()).square().sum() / self._images
        mean = 2 * between / (self._images - 1)
        return float(torch.where(between <= RELATIVELY_CONSTANT**2 * about_zero, 0.0, mean))


class DeformationSums:
    """The running sums of a pass that deforms the images of a sample, and adds noise to them.

    ``seed`` is that of the request. An image's field and its noise are the same at every displacement, but for their
    lengths.
    """

    def __init__(
        self, key: Deformation, representations: Sequence[Representation], views: Views, seed: int, device: torch.device
    ) -> None:
        self._key, self._views, self._seed, self._device = key, views, seed, device
        self._between = [_Differences() for _ in representations]
        self._gradients = torch.zeros((), dtype=torch.float64, device=device)
        # Of a deformed view, and of one with noise, for each displacement, representation and group.
        self._moved: Tensor | None = None
        self._maps: dict[int, Tensor] = {}

    def see(
        self, canvas: Tensor, places: Tensor, members: Tensor, forward: Callable[[Tensor, Receive], Tensor]
    ) -> None:
        """Add a batch of images: one forward pass, and two for each displacement.

        ``canvas`` is (N, 3, side, side), ``places`` (N,) int64 are the images' in the sample, and ``members`` (G, N) is
        1 where an image is in a group, else 0.
        """
        view, room, size = self._views.reference(canvas), self._views.room, self._views.size
        fields = Fields.drawn(self._seed, places.tolist(), self._key.cutoff, size, self._device)
        isotropic = noise(self._seed, places.tolist(), size, self._device)
        self._gradients += fields.squared_gradients.sum()
        forward(view, self._see_reference)
        moved = []
        for displacement in self._key.displacements_px:
            warped = deformed(canvas, displacement * fields.of_mean_1, room)
            noisy = isotropic * _length(warped - view) + view
            moved.append(torch.stack([self._differences(each, forward) for each in (warped, noisy)]))
        self._maps.clear()
        of_groups = torch.stack(moved) @ members.double().T
        self._moved = of_groups if self._moved is None else self._moved + of_groups

    def _see_reference(self, index: int, maps: Tensor) -> None:
        self._between[index].see(maps)
        self._maps[index] = maps.clone()  # The layers that follow may work in place.

    def _differences(self, view: Tensor, forward: Callable[[Tensor, Receive], Tensor]) -> Tensor:
        """Compute how far the maps of another ``view`` of the batch are from those of the reference view: |f(view) -
        f(x)|^2 at each representation for each image, (R, N) float64."""
        found = torch.zeros(len(self._between), len(view), dtype=torch.float64, device=view.device)

        def receive(index: int, maps: Tensor) -> None:
            found[index] = (maps.float() - self._maps[index].float()).square_().sum((1, 2, 3))

        forward(view, receive)
        return found

    def statistics(self, images: Sequence[int]) -> dict[str, list[Statistic]]:
        """Return, for each displacement, the RMS over pixels and images of the fields' gradient ("gradient/1"; one),
        and D, G and R at each representation ("deformation/1", "noise/1", "ratio/1").

        ``images`` counts the images of each group. R has deviations for the groups that have images.
        """
        assert self._moved is not None
        count = sum(images)
        gradient = float(self._gradients / count) ** 0.5
        moved = self._moved.cpu().numpy()[..., np.asarray(images) > 0]
        between = [each.mean_square() if count > 1 else None for each in self._between]
        found = {}
        for displacement, of_displacement in zip(self._key.displacements_px, moved, strict=True):
            rows = [
                _statistics(by_deformation, by_noise, count, mean_square)
                for by_deformation, by_noise, mean_square in zip(*of_displacement, between, strict=True)
            ]
            found[f"gradient/{displacement:g}"] = [Statistic(displacement * gradient)]
            for name, column in zip(("deformation", "noise", "ratio"), zip(*rows, strict=True), strict=True):
                found[f"{name}/{displacement:g}"] = list(column)
        return found


def _statistics(
    by_deformation: NDArray[np.float64], by_noise: NDArray[np.float64], images: int, between: float | None
) -> tuple[Statistic, Statistic, Statistic]:
    """Return D, G and R from sums by group, (G,), over ``images`` images; ``between`` is E|f(x) - f(z)|^2."""
    if between is None:
        reason = ALONE
    elif not np.isfinite([by_deformation.sum(), by_noise.sum(), between]).all():
        reason = NOT_FINITE
    elif between == 0:
        reason = CONSTANT
    else:
        d, g = (Statistic(float(sums.sum() / images / between)) for sums in (by_deformation, by_noise))
        return d, g, of_ratio(by_deformation, by_noise, DEAF)
    return Statistic(None, reason), Statistic(None, reason), Statistic(None, reason)
