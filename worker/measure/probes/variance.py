"""The variance of a representation over transforms, by its variance over images.

This is the normalised variance of tmeasures (Quiroga, Torrents-Barrena, Lanzarini, Puig-Valls 2023), with variances in
place of their standard deviations. For a channel, with the identity among the k transforms of n images, and units
its cells, whose maps are *not* laid upon each other::

    V_t = mean over images and cells of the variance over transforms        (divided by k - 1)
    V_s = mean over transforms and cells of the variance over images        (divided by n - 1)

The value is the mean of V_t / V_s over the channels that vary over images: 0 for an invariant representation, and
about 1 for one that a transform changes as much as another image does.

Both variances add up by Welford's updates: the j-th value of a unit adds (j - 1) / j times its squared distance from
the mean of those before. These terms are the squares of orthogonal contrasts: none but the first is determined by
others, and each has the variance as its expectation. V_t's belong to one image, so V_t without a group of images is
exact. V_s's belong to the images that add them, in the order of the sample, and V_s without a group is taken to be the
mean of the other groups' terms. That differs from the variance over the other images by how far the mean of the
images before a group was from the mean of all, which matters less with every image; the alternative, the sums of each
unit by group, needs the memory of 32 times as many maps.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from zooaudit.contract import TransformName

from worker.depth import Representation
from worker.measure.forward import Receive
from worker.measure.groups import GROUPS
from worker.measure.probes.statistic import CONSTANT, NOT_FINITE, Statistic, ratios
from worker.measure.similarity import CONSTANT as LEAST_VARIATION
from worker.measure.transforms import Transform, Views


@dataclass(frozen=True)
class Variance:
    """The variance over so many ``transforms`` of the kind ``name``, and the identity."""

    name: TransformName
    transforms: int

    @property
    def views(self) -> int:
        """How many views of an image go through the model."""
        return 1 + self.transforms

    def __str__(self) -> str:
        return f"variance over {self.name}"


class VarianceSums:
    """The running sums of all ``representations``: 4 bytes for each unit and view, and one map for each image."""

    def __init__(
        self,
        key: Variance,
        transforms: Sequence[Transform],
        representations: Sequence[Representation],
        views: Views,
        device: torch.device,
    ) -> None:
        self._key, self._transforms, self._views = key, transforms, views
        self._units = [UnitSums(one, 1 + len(transforms), device) for one in representations]
        self._changed: dict[int, str] = {}
        self._terms = torch.zeros(GROUPS, dtype=torch.float64, device=device)
        self._images = 0

    def see(
        self, canvas: Tensor, _places: Tensor, members: Tensor, forward: Callable[[Tensor, Receive], Tensor]
    ) -> None:
        """Send the reference view of a ``canvas`` (N, 3, side, side), and one for each transform, through the model.

        ``members`` (G, N) are 1 where an image is in a group, else 0.
        """
        members, images = members.double(), len(canvas)
        for number, view in enumerate(self._all_views(canvas)):
            forward(view, partial(self._receive, number, members))
        later = torch.arange(self._images, self._images + images, device=members.device) > 0
        self._terms.add_(members @ later.double())
        self._images += images

    def _all_views(self, canvas: Tensor) -> Iterator[Tensor]:
        yield self._views.reference(canvas)
        for transform in self._transforms:
            yield self._views.transformed(canvas, transform)

    def _receive(self, number: int, members: Tensor, index: int, maps: Tensor) -> None:
        units = self._units[index]
        if index in self._changed:
            return
        if maps.shape[1:] != units.shape:
            before, after = (f"{height} x {width}" for height, width, _ in (units.shape, maps.shape[1:]))
            self._changed[index] = f"{self._transforms[number - 1]} makes {after} cells of its {before}"
            return
        units.see(number, maps, members, self._images)

    def statistics(self, images: Sequence[int]) -> dict[str, list[Statistic]]:
        """Return the variance of each representation, by the name of the transforms' kind.

        ``images`` counts the images of each group. There are deviations for the groups that have images.
        """
        counts, terms = np.asarray(images, dtype=np.float64), self._terms.cpu().numpy()
        return {
            self._key.name: [
                Statistic(None, self._changed[index]) if index in self._changed else units.statistic(counts, terms)
                for index, units in enumerate(self._units)
            ]
        }


class UnitSums:
    """The sums of one representation's units in each of ``views`` views.

    ``within`` and ``between`` (G, K) float64 are the sums of Welford's terms over transforms and over images, by group
    of images and channel.
    """

    def __init__(self, representation: Representation, views: int, device: torch.device) -> None:
        self.shape = torch.Size((representation.height, representation.width, representation.channels))
        self._means = torch.zeros(views, *self.shape, device=device)
        self._within, self._between = torch.zeros(
            2, GROUPS, representation.channels, dtype=torch.float64, device=device
        )
        self._mean_view = self._within_images = torch.empty(0)

    def see(self, number: int, maps: Tensor, members: Tensor, images: int) -> None:
        """Add the ``maps`` (N, h, w, K) of view ``number`` of a batch, after so many ``images``."""
        self._add_between(self._means[number], maps.float(), members, images)
        if number == 0:
            # A copy, because the model may go on to compute in place.
            self._mean_view = maps.to(torch.float32, copy=True)
            self._within_images = maps.new_zeros(len(maps), maps.shape[3], dtype=torch.float64)
            return
        change = maps.float() - self._mean_view
        self._mean_view.add_(change, alpha=1 / (number + 1))
        self._within_images.add_(change.square().sum((1, 2)), alpha=number / (number + 1))
        if number == len(self._means) - 1:
            self._within.add_(members @ self._within_images)
            self._mean_view = torch.empty(0)

    def _add_between(self, mean: Tensor, maps: Tensor, members: Tensor, images: int) -> None:
        """Add the terms of each image's distance from the mean of all before, and move the ``mean``."""
        if images == 0:
            mean.copy_(maps[0])
        before = torch.arange(images, images + len(maps), device=maps.device, dtype=maps.dtype)
        moved = maps - mean
        means = moved.cumsum(0).div_((before + 1)[:, None, None, None])
        mean.add_(means[-1])
        # The distance from the mean of those before is this one, times (before + 1) / before.
        terms = moved.sub_(means).square_().sum((1, 2)) * ((before + 1) / before.clamp(min=1))[:, None]
        self._between.add_(members @ terms.double())

    def statistic(self, images: NDArray[np.float64], terms: NDArray[np.float64]) -> Statistic:
        """Return the variance over transforms by that over images, averaged over the channels that vary over images.

        ``images`` and ``terms`` (G,) count the images of each group, and those that were not the first of all.
        """
        present = images > 0
        within, between = (each.cpu().numpy()[present] for each in (self._within, self._between))
        level = torch.stack([mean.double().square().sum((0, 1)) for mean in self._means]).sum(0).cpu().numpy()
        if not np.isfinite(within.sum(0) + between.sum(0) + level).all():
            return Statistic(None, NOT_FINITE)
        if terms.sum() < 1:
            return Statistic(None, "fewer than 2 images have no variance")
        # All images, and then all without each group. Rounding must not make a rest negative.
        within, between, images, terms = (
            np.concatenate([each.sum(0, keepdims=True), (each.sum(0) - each).clip(min=0.0)])
            for each in (within, between, images[present], terms[present])
        )
        varies = between > LEAST_VARIATION**2 * images[:, None] * level
        # Both are sums over the same cells.
        over_transforms = within / np.maximum(images, 1)[:, None] / (len(self._means) - 1)
        over_images = between / np.maximum(terms, 1)[:, None] / len(self._means)
        quotients = np.divide(over_transforms, over_images, out=np.zeros_like(within), where=varies)
        value, *without = ratios(quotients.sum(1), varies.sum(1).astype(np.float64))
        return (
            Statistic(None, CONSTANT) if np.isnan(value) else Statistic(float(value), None, np.array(without) - value)
        )
