"""The local equivariance error: how fast f stops going along as an image begins to move (Gruver et al. 2023).

For a one-parameter warp T_t and a small step e, W_t the same warp of a feature map::

    L f(x) = [W_-e f(T_e x) - W_e f(T_-e x)] / 2e
    error  = sqrt(E|L f|^2 / E|f - mean f|^2)

over the images and the cells at which both maps have values; the mean is that of each channel over all of these. On a
map of one cell W is the identity. The error is the share of f that does not go along, for each px, degree or per cent
of growth, or for a shear by 1: 0 for an equivariant network, and not bounded by 1.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from zooaudit.contract import GENERATORS, Generator

from worker.depth import Representation
from worker.measure.forward import Receive
from worker.measure.moments import Spread
from worker.measure.probes.statistic import CONSTANT, NOT_FINITE, Statistic, ratios
from worker.measure.similarity import constant
from worker.measure.transforms import Views
from worker.measure.warps import HULL, LEAST_CELLS, Points, Taps, Warp, affine_moved, centres

SHIFTS: Mapping[Generator, tuple[float, float]] = {"translation_x": (0.0, 0.5), "translation_y": (0.5, 0.0)}
"""The steps e of translations, in px down and right."""
WARPS: Mapping[Generator, Warp] = {
    "rotation": Warp("rotation", 0.5),
    "scale": Warp("scale", 1.005),
    "shear": Warp("shear", 0.005),
}
"""The steps e of the other generators; the inverse of a step is the step by -e."""
STEPS = [Warp("translation", 0.5), *WARPS.values()]
STEPS += [step.inverse for step in STEPS]
"""Warps that need as much of the canvas around the view as the generators do."""
WIDTHS: Mapping[Generator, float] = dict.fromkeys(GENERATORS, 1.0) | {"shear": 0.01}
"""By what the difference is divided, 2e: in px, degrees and per cent; a shear has no unit."""


@dataclass(frozen=True)
class LocalError:
    """The local equivariance error for each of the ``GENERATORS``."""

    @property
    def views(self) -> int:
        """How many views of an image go through the model."""
        return 1 + 2 * len(GENERATORS)

    def __str__(self) -> str:
        return "local error"


def stepped(points: Points, generator: Generator, sign: int, size: int) -> Points:
    """Return T p of ``points`` of a view of ``size`` pixels, for the step by e or, with ``sign`` -1, by -e.

    >>> stepped(np.zeros(2), "translation_x", -1, 224).tolist()
    [0.0, -0.5]
    """
    if generator in SHIFTS:
        return affine_moved(points, np.eye(2), sign * np.array(SHIFTS[generator]), size)
    warp = WARPS[generator]
    return (warp if sign > 0 else warp.inverse).moved(points, size)


@dataclass(frozen=True)
class Comparison:
    """How maps of one size are compared for one generator: at ``cells`` (h, w) bool, over which ``forwards`` takes the
    maps of T_e x back, and ``backwards`` those of T_-e x. On a map of one cell both are None."""

    cells: NDArray[np.bool_]
    forwards: Taps | None = None
    backwards: Taps | None = None


def compared(
    generator: Generator, height: int, width: int, size: int, device: torch.device | str = "cpu"
) -> Comparison | str:
    """Compare maps of ``height`` x ``width`` cells of a view of ``size`` pixels at the cells whose places under both
    steps are within the hull of the cells' centres. A string says why that is impossible.

    >>> compared("translation_x", 2, 4, 224).cells.tolist()
    [[False, True, True, False], [False, True, True, False]]
    >>> compared("translation_y", 2, 4, 224)
    'only 0 cells of the map stay within it when it is warped'
    """
    if height == width == 1:
        return Comparison(np.ones((1, 1), dtype=bool))
    sides = np.array([height, width])
    places = [stepped(centres(height, width, size), generator, sign, size) * sides / size for sign in (1, -1)]
    within = [((place >= 0.5 - HULL) & (place <= sides - 0.5 + HULL)).all(-1) for place in places]
    cells: NDArray[np.bool_] = within[0] & within[1]
    if cells.sum() < LEAST_CELLS:
        return f"only {cells.sum()} cells of the map stay within it when it is warped"
    forwards, backwards = (Taps.at(place[cells], height, width).to(torch.device(device)) for place in places)
    return Comparison(cells, forwards, backwards)


def taken_back(maps: Tensor, taps: Taps | None) -> Tensor:
    """Interpolate ``maps`` (N, h, w, K) at the cells that are compared: (N, cells, K), at least float32."""
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32)).flatten(1, 2)
    return maps.clone() if taps is None else taps.of(maps)


class LocalErrorSums:
    """The running sums of a pass that moves the images of a sample by small steps."""

    def __init__(self, representations: Sequence[Representation], views: Views, device: torch.device) -> None:
        self._views, self._device = views, device
        shapes = [(representation.height, representation.width) for representation in representations]
        of_shape = {
            shape: {generator: compared(generator, *shape, views.size, device) for generator in GENERATORS}
            for shape in dict.fromkeys(shapes)
        }
        self._comparisons = [of_shape[shape] for shape in shapes]
        self._masks = {shape: _masks(row.values(), *shape).to(device) for shape, row in of_shape.items()}
        self._view_taps: dict[tuple[Generator, int], Taps] = {}
        self._pivots: list[Tensor] = []
        # At each representation, sums of f - pivot and of its square over the cells by generator, (2, 5, G, K).
        self._reference: list[Tensor] = []
        self._squares: Tensor | None = None

    def see(
        self, canvas: Tensor, _places: Tensor, members: Tensor, forward: Callable[[Tensor, Receive], Tensor]
    ) -> None:
        """Add a batch of images: one forward pass, and two for each generator.

        ``canvas`` is (N, 3, side, side), and ``members`` (G, N) is 1 where an image is in a group, else 0.
        """
        of_groups = members.double()

        def see_reference(index: int, maps: Tensor) -> None:
            self._see_reference(index, maps.float(), of_groups)

        forward(self._views.reference(canvas), see_reference)
        squares = [self._squared_change(generator, canvas, forward) for generator in GENERATORS]
        found = torch.stack(squares) @ of_groups.T
        self._squares = found if self._squares is None else self._squares + found

    def _see_reference(self, index: int, maps: Tensor, members: Tensor) -> None:
        if index == len(self._pivots):
            self._pivots.append(maps.mean((0, 1, 2)))
            shape = 2, len(GENERATORS), len(members), maps.shape[3]
            self._reference.append(torch.zeros(shape, dtype=torch.float64, device=maps.device))
        deviations = maps - self._pivots[index]
        masks = self._masks[maps.shape[1], maps.shape[2]]
        for total, terms in zip(self._reference[index], (deviations, deviations.square()), strict=True):
            of_images = (masks @ terms).sum(1)  # (N, generators, K): along the rows first, then down
            total += torch.einsum("gn,ntk->tgk", members, of_images.double())

    def _squared_change(
        self, generator: Generator, canvas: Tensor, forward: Callable[[Tensor, Receive], Tensor]
    ) -> Tensor:
        """Compute |L f(x)|^2 at each representation for each image, (R, N) float64."""
        found = torch.zeros(len(self._comparisons), len(canvas), dtype=torch.float64, device=canvas.device)
        taken: dict[int, Tensor] = {}

        def keep(index: int, maps: Tensor) -> None:
            comparison = self._comparisons[index][generator]
            if isinstance(comparison, Comparison):
                taken[index] = taken_back(maps, comparison.forwards)

        def compare(index: int, maps: Tensor) -> None:
            comparison = self._comparisons[index][generator]
            if isinstance(comparison, Comparison):
                change = taken.pop(index).sub_(taken_back(maps, comparison.backwards))
                found[index] = change.div_(WIDTHS[generator]).square_().sum((1, 2))

        forward(self._view(generator, 1, canvas), keep)
        forward(self._view(generator, -1, canvas), compare)
        return found

    def _view(self, generator: Generator, sign: int, canvas: Tensor) -> Tensor:
        """Return T x of the reference view, for a step by ``sign`` times e."""
        size, side = self._views.size, canvas.shape[2]
        if (generator, sign) not in self._view_taps:
            places = self._views.room + stepped(centres(size, size, size), generator, -sign, size)
            self._view_taps[generator, sign] = Taps.at(places.reshape(-1, 2), side, side).to(self._device)
        moved = self._view_taps[generator, sign].of(canvas.flatten(2).transpose(1, 2))
        return moved.transpose(1, 2).reshape(len(canvas), -1, size, size)

    def statistics(self, images: Sequence[int]) -> dict[str, list[Statistic]]:
        """Return the error at each representation by generator.

        ``images`` counts the images of each group. There are deviations for the groups that have images.
        """
        assert self._squares is not None
        present = torch.tensor(images) > 0
        count = torch.tensor(images, dtype=torch.float64)[present][:, None]
        squares = self._squares.cpu()[:, :, present].numpy()
        found: dict[str, list[Statistic]] = {generator: [] for generator in GENERATORS}
        for index, comparisons in enumerate(self._comparisons):
            sums, pivot = self._reference[index].cpu()[:, :, present], self._pivots[index].cpu().double()
            for row, (generator, comparison) in enumerate(comparisons.items()):
                if isinstance(comparison, str):
                    found[generator].append(Statistic(None, comparison))
                else:
                    spread = Spread(count * comparison.cells.sum(), pivot, *sums[:, row])
                    found[generator].append(_error(squares[row, index], spread))
        return found


def _masks(comparisons: Iterable[Comparison | str], height: int, width: int) -> Tensor:
    """Return the cells at which maps are compared, for each of T comparisons: (h, T, w) float32."""
    nowhere = np.zeros((height, width), dtype=bool)
    cells = [comparison.cells if isinstance(comparison, Comparison) else nowhere for comparison in comparisons]
    return torch.from_numpy(np.stack(cells, 1)).float()


def _error(squares: NDArray[np.float64], spread: Spread) -> Statistic:
    """Return the error from the sums of |L f|^2 by group, (G,), and the ``spread`` of f in each group, (G, K)."""
    whole = spread.summed()
    variation = float(whole.variation.sum())
    if not np.isfinite([variation, squares.sum()]).all():
        return Statistic(None, NOT_FINITE)
    if constant(whole).all():
        return Statistic(None, CONSTANT)
    error = float(squares.sum() / variation) ** 0.5
    rest = (squares.sum() - squares).clip(min=0.0)
    return Statistic(error, None, np.sqrt(ratios(rest, (whole - spread).variation.sum(1).numpy())) - error)
