"""Layer equivariance without the bias of choosing: each channel's partner is chosen on other images.

The largest of many similarities is too high by chance, since the same images choose the partner and are compared. Here
the partner p of channel k is the one that was best on all images before: chosen after the first quarter of the images,
and again after half of them. Channel k is compared with it on the images that follow, so the score is, as ever::

    mean over k of max(0, s(k, v))        v_i = (b_i[p] - mean of b[p]) / deviation of b[p]

over all images i after the first quarter. Chance raises nothing, but a partner chosen from few images may not be the
best one: ``layer`` is rather too high, this is rather too low, and the gap shrinks with more images.
Where every channel has one partner throughout, s is the similarity of the two channels on these images.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from zooaudit.contract import MIN_GROUPS

from worker.measure.moments import Moments, Spread
from worker.measure.similarity import Similarity, alive, norm2, paired
from worker.measure.sums import Sums

Values = NDArray[np.float64]


def held_out(sums: Sums, moments: Moments, similarity: Similarity, slot: int) -> tuple[Values, Values]:
    """Compute the held-out layer score (T,), and by how much it would differ without each group (T, G).

    ``slot`` is the place of ``similarity`` among those whose partners the sums keep. A deviation is NaN for groups of
    the first quarter. Both are NaN where fewer than MIN_GROUPS groups come after it, or where no channel varies.
    """
    late = sums.late(slot)
    value, moved = np.full(len(sums.cells), np.nan), np.full((len(sums.cells), len(late)), np.nan)
    if late.sum() < MIN_GROUPS:
        return value, moved
    sums = sums.only(late)
    a, b = sums.groups()
    v, products = _partners_values(sums, b, similarity, slot)
    whole_a, whole_v, whole_products = a.summed(), v.summed(), products.sum(1, keepdim=True)
    measurable = (alive(moments.a, similarity) & alive(moments.b, similarity))[:, None] & alive(whole_a, similarity)

    def score(a: Spread, v: Spread, products: Tensor) -> Tensor:
        return torch.where(measurable, paired(a, v, products, similarity), 0.0).sum(2) / measurable.sum(2)

    whole = score(whole_a, whole_v, whole_products)
    rest = score(whole_a - a, whole_v - v, whole_products - products)
    moved[:, late.numpy()] = (rest - whole).cpu().numpy()
    return whole[:, 0].cpu().numpy(), moved


def _partners_values(sums: Sums, b: Spread, similarity: Similarity, slot: int) -> tuple[Spread, Tensor]:
    """Sum, by group, the values v of the channels' partners, and their products with the channels: (T, G, K)."""
    partners = sums.partners[slot]
    whole = b.summed()
    origin = whole.offset if similarity == "correlation" else -whole.pivot.expand_as(whole.total)
    inverse = torch.where(alive(whole, similarity), norm2(whole, similarity).rsqrt(), 0.0)
    origin, inverse = (values.expand(partners.shape).gather(2, partners) for values in (origin, inverse))
    of_partner = b.pick(partners)
    total = of_partner.total - b.count * origin
    square = of_partner.square - origin * (of_partner.total + total)
    v = Spread(b.count, torch.zeros_like(b.pivot), total * inverse, square * inverse.square(), b.resolution)
    return v, (sums.pairs[1 + slot] - origin * sums.a[0]) * inverse
