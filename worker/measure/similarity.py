"""Moments to scores: channel and layer equivariance of one block under one transform.

>>> a = torch.tensor([[0.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
>>> swapped = score(Moments.of(a, a.flip(1)), "correlation")
>>> round(swapped.channel, 6), round(swapped.layer, 6)
(0.0, 1.0)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.measure.moments import Moments, Spread

Similarity = Literal["correlation", "cosine"]

CONSTANT = 1e-6
"""A channel whose standard deviation is below this share of its mean is constant: float32 tells no more."""

TIE = 1e-6
"""Similarities that differ by less than this share are equal, as those of copies of a channel are."""

AT_ONCE = {"cpu": 2**17, "cuda": 2**26}
"""How many products stay in a processor's cache from one operation to the next, or fill a GPU."""


@dataclass(frozen=True)
class Equivariance:
    """Channel and layer equivariance, in [0, 1], or None with the ``reason`` why they cannot be measured.

    ``layer_held_out`` is the layer equivariance of :mod:`worker.measure.held_out`, None where there are too few images.
    ``interpolation`` is what warping there and back leaves of a map, in [-1, 1]; None where it was not warped:
    :meth:`worker.measure.representation_sums.RepresentationSums.interpolation`.
    ``own`` (K,) is the similarity of each channel with itself, NaN where it has none. ``deviations`` (3, G) are those
    of :func:`worker.measure.jackknife.deviations`, if they were computed.
    """

    channel: float | None
    layer: float | None
    reason: str | None = None
    layer_held_out: float | None = None
    interpolation: float | None = None
    own: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)
    deviations: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)


def score(moments: Moments, similarity: Similarity) -> Equivariance:
    """The mean over channels of ``max(0, s(k, k))`` and of ``max(0, max over k' of s(k, k'))``.

    ``s`` is Pearson's correlation of channel k of a with channel k' of b over all observations, or their cosine
    similarity (the same without centring). A channel counts in both means when it varies in a and in b (for the cosine:
    when it is not zero in a nor in b), so layer >= channel; it may be the partner k' when it varies in b.
    """
    a, b = (
        replace(spread, count=torch.tensor([[spread.count]]), total=spread.total[None], square=spread.square[None])
        for spread in (moments.a, moments.b)
    )
    return scores(Moments(a, b, moments.products[None]), similarity)[0]


def scores(moments: Moments, similarity: Similarity) -> list[Equivariance]:
    """Compute the :func:`score` of each of T moments: spreads (T, K) with counts (T, 1), and products (T, K, K)."""
    finite = (moments.a.variation + moments.b.variation).isfinite().all(1)
    measurable = alive(moments.a, similarity) & alive(moments.b, similarity)
    own = paired(moments.a, moments.b, moments.products.diagonal(dim1=1, dim2=2), similarity)
    best = strongest(moments, similarity)
    channel, layer = ((torch.where(measurable, each, 0.0).sum(1) / measurable.sum(1)).tolist() for each in (own, best))
    of_channels = torch.where(measurable, own, torch.nan).cpu().numpy()
    positions = torch.as_tensor(moments.a.count).flatten().tolist()
    found = []
    for index, is_finite in enumerate(finite.tolist()):
        if not is_finite:
            found.append(Equivariance(None, None, "some activations are not finite"))
        elif np.isnan(of_channels[index]).all():
            reason = f"no channel varies over the {positions[index]:.0f} positions compared"
            if positions[index] == 1:
                reason = "one image has a single position here, over which nothing varies"
            found.append(Equivariance(None, None, reason))
        else:
            found.append(Equivariance(channel[index], layer[index], own=of_channels[index]))
    return found


def alive(spread: Spread, similarity: Similarity) -> Tensor:
    """Tell which channels (..., K) have a similarity with others."""
    if similarity == "correlation":
        return ~constant(spread)
    return norm2(spread, similarity) > spread.resolution * (spread.square + spread.count * spread.pivot.square())


def constant(spread: Spread) -> Tensor:
    """Tell which channels (..., K) vary no more than rounding lets a constant vary."""
    allowed = torch.maximum(spread.count * (CONSTANT * spread.mean).square(), spread.resolution * spread.square)
    return spread.variation <= allowed


def paired(a: Spread, b: Spread, products: Tensor, similarity: Similarity) -> Tensor:
    """Compute the similarities, in [0, 1], of channels of a with channels of b, pair by pair.

    ``products`` are the sums of the products of each pair, about the pivots of a and b. Shapes broadcast: (..., K).
    A pair without a similarity has 0.
    """
    cross = products - a.total * b.offset
    if similarity == "cosine":
        cross = cross + a.count * a.mean * b.mean
    norms = (norm2(a, similarity) * norm2(b, similarity)).sqrt()
    return torch.where(alive(a, similarity) & alive(b, similarity), cross / norms, 0.0).clamp(0.0, 1.0)


def strongest(moments: Moments, similarity: Similarity) -> Tensor:
    """Find each channel of a's largest similarity with any channel of b, (..., K) in [0, 1]."""
    best = torch.cat([block.amax(-1) for block in _weighted(moments, similarity)], -1)
    norm_a = norm2(moments.a, similarity).sqrt()
    return torch.where(alive(moments.a, similarity), best / norm_a, 0.0).clamp(0.0, 1.0)


def best_partners(moments: Moments, similarity: Similarity) -> Tensor:
    """Find the channel of b that is most similar to each channel of a, (..., K) int64; of equal ones, the first.

    Rounding, which differs with the batch size, decides nothing: similarities within TIE of each other are equal.
    """
    partners = []
    for block in _weighted(moments, similarity):
        largest = block.amax(-1, keepdim=True)
        partners.append((block >= largest - TIE * largest.abs()).byte().argmax(-1))
    return torch.cat(partners, -1)


def _weighted(moments: Moments, similarity: Similarity) -> Iterator[Tensor]:
    """Yield, for some channels of a after the other, (..., rows, K): their similarities with all channels of b times
    their own norms, which are divided by after the maximum; 0 stands for "no similarity"."""
    a, b = moments.a, moments.b
    weight_b = torch.where(alive(b, similarity), norm2(b, similarity).rsqrt(), 0.0)
    mean_b = a.count * b.mean * weight_b
    at_once = max(1, AT_ONCE[weight_b.device.type] // weight_b.numel())
    for first in range(0, weight_b.shape[-1], at_once):
        rows = slice(first, first + at_once)
        weighted = moments.centred(rows).mul_(weight_b[..., None, :])
        if similarity == "cosine":
            weighted += a.mean[..., rows, None] * mean_b[..., None, :]
        yield weighted


def norm2(spread: Spread, similarity: Similarity) -> Tensor:
    """Return the squared norms (..., K) of the channels: about their means, or for the cosine about 0."""
    return spread.variation + spread.count * spread.mean.square() if similarity == "cosine" else spread.variation
