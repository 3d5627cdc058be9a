"""What a pass has summed of one representation under one transform: over all images, and over each group of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.measure.moments import Moments, Spread


@dataclass(frozen=True)
class Sums:
    """The sums over pairs of maps of ``cells`` cells and K channels, by G groups of images, about one pivot, float64.

    ``images``    how many images each group has
    ``a``         (2, G, K): the sums of the deviations from the pivot, and of their squares, of the reference view
    ``b``         (2, G, K): the same of the transformed view
    ``pairs``     (1 + S, G, K): the sums of the products of each channel of a with a channel of b: with itself, and
                  with its best partner under each of S similarities
    ``partners``  (1 + S, G, K) int64: these channels of b; -1 where no partner was known yet
    ``products``  (K, K): the sums over all groups of the products of all channels of a with all of b
    """

    images: Sequence[int]
    cells: int
    pivot: Tensor
    a: Tensor
    b: Tensor
    pairs: Tensor
    partners: Tensor
    products: Tensor

    def groups(self) -> tuple[Spread, Spread]:
        """Return the spreads of a and of b in each group, (G, K)."""
        count = torch.tensor(self.images, dtype=torch.float64, device=self.pivot.device)[:, None] * self.cells
        return Spread(count, self.pivot, *self.a), Spread(count, self.pivot, *self.b)

    def moments(self) -> Moments:
        """Return the moments over all groups."""
        count = sum(self.images) * self.cells
        return Moments(
            Spread(count, self.pivot, *self.a.sum(1)), Spread(count, self.pivot, *self.b.sum(1)), self.products
        )
