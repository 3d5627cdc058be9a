"""What a pass has summed of one representation: over all images, and over each group of them, under each transform."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from worker.measure.moments import Moments, Spread


@dataclass(frozen=True)
class Sums:
    """The sums over pairs of maps of K channels, under T transforms, by all G groups, about one pivot, float64.

    ``images``    how many images each group has; it may have none
    ``cells``     how many cells are compared under each transform
    ``pivot``     (K,)
    ``resolution``  as in :class:`worker.measure.moments.Spread`
    ``a``         (2, T, G, K): the sums of the deviations from the pivot, and of their squares, of the reference view
    ``b``         (2, T, G, K): the same of the transformed view
    ``pairs``     (1 + S, T, G, K): the sums of the products of each channel of a with a channel of b: with itself, and
                  with its best partner under each of S similarities
    ``partners``  (S, T, G, K) int64: these partners; -1 where none was known yet
    ``products``  (T, K, K): the sums over all groups of the products of all channels of a with all of b
    """

    images: Sequence[int]
    cells: Sequence[int]
    pivot: Tensor
    resolution: float
    a: Tensor
    b: Tensor
    pairs: Tensor
    partners: Tensor
    products: Tensor

    def late(self, slot: int) -> Tensor:
        """Tell which groups (G,) come after the first quarter of the images and know their partners.

        Partners that were chosen from fewer images are no good. ``slot`` is the place of a similarity in ``partners``.
        """
        images = np.asarray(self.images)
        late = torch.from_numpy((4 * (images.cumsum() - images) >= images.sum()) & (images > 0))
        return late & (self.partners[slot] >= 0).all(2).all(0).cpu()

    def only(self, groups: Tensor) -> "Sums":
        """Return the sums of the given ``groups``, (G,) bool; the products stay those of all groups."""
        a, b, pairs, partners = (values[:, :, groups] for values in (self.a, self.b, self.pairs, self.partners))
        images = np.asarray(self.images)[groups.numpy()].tolist()
        return replace(self, images=images, a=a, b=b, pairs=pairs, partners=partners)

    def groups(self) -> tuple[Spread, Spread]:
        """Return the spreads of a and of b in each group, (T, G, K)."""
        images = torch.tensor(self.images, dtype=torch.float64).to(self.pivot.device, non_blocking=True)
        count = images[:, None] * self._cells()[:, :, None]
        return self._spread(count, self.a), self._spread(count, self.b)

    def moments(self) -> Moments:
        """Return the moments over all groups: spreads (T, K), products (T, K, K)."""
        count = sum(self.images) * self._cells()
        return Moments(self._spread(count, self.a.sum(2)), self._spread(count, self.b.sum(2)), self.products)

    def _spread(self, count: Tensor, sums: Tensor) -> Spread:
        total, square = sums
        return Spread(count, self.pivot, total, square, self.resolution)

    def _cells(self) -> Tensor:
        cells = torch.tensor(self.cells, dtype=torch.float64).to(self.pivot.device, non_blocking=True)
        return cells[:, None]
