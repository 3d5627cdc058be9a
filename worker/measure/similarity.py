"""Moments to scores: channel and layer equivariance of one block under one transform.

>>> from worker.measure.moments import centre
>>> a = torch.tensor([[0.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
>>> swapped = score(Moments.of(centre(a), centre(a.flip(1))), "correlation")
>>> round(swapped.channel, 6), round(swapped.layer, 6)
(0.0, 1.0)
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.measure.moments import Moments, Spread

Similarity = Literal["correlation", "cosine"]

CONSTANT = 1e-6
"""A channel whose standard deviation is below this share of its mean is constant: float32 tells no more."""

ROWS_AT_ONCE = 64
"""Rows of the (K, K) products that stay in a processor's cache from one operation to the next."""


@dataclass(frozen=True)
class Equivariance:
    """Channel and layer equivariance, in [0, 1], or None with the ``reason`` why they cannot be measured.

    ``own`` (K,) is the similarity of each channel with itself, NaN where it has none. ``deviations`` (2, G) are those
    of :func:`worker.measure.jackknife.deviations`, if they were computed.
    """

    channel: float | None
    layer: float | None
    reason: str | None = None
    own: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)
    deviations: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)


def score(moments: Moments, similarity: Similarity) -> Equivariance:
    """The mean over channels of ``max(0, s(k, k))`` and of ``max(0, max over k' of s(k, k'))``.

    ``s`` is Pearson's correlation of channel k of a with channel k' of b over all observations, or their cosine
    similarity (the same without centring). A channel counts in both means when it varies in a and in b (for the cosine:
    when it is not zero in a nor in b), so layer >= channel; it may be the partner k' when it varies in b.
    """
    if not (torch.isfinite(moments.a.square).all() and torch.isfinite(moments.b.square).all()):
        return Equivariance(None, None, "some activations are not finite")
    measurable = alive(moments.a, similarity) & alive(moments.b, similarity)
    if not measurable.any():
        return Equivariance(None, None, f"no channel varies over the {moments.a.count} positions compared")
    own = paired(moments.a, moments.b, moments.cross.diagonal(), similarity)
    best, _ = strongest(moments, similarity)
    each = torch.where(measurable, own, torch.nan).cpu().numpy()
    return Equivariance(float(own[measurable].mean()), float(best[measurable].mean()), own=each)


def alive(spread: Spread, similarity: Similarity) -> Tensor:
    """Tell which channels (K,) have a similarity with others."""
    return _norm2(spread, similarity) > 0 if similarity == "cosine" else ~constant(spread)


def constant(spread: Spread) -> Tensor:
    """Tell which channels (K,) vary no more than rounding lets a constant vary."""
    return spread.square <= spread.count * (CONSTANT * spread.mean).square()


def paired(a: Spread, b: Spread, cross: Tensor, similarity: Similarity) -> Tensor:
    """Compute the similarities, in [0, 1], of channels of a with channels of b, pair by pair.

    ``cross`` are the centred products of each pair. Shapes broadcast: (..., K). A pair without a similarity has 0.
    """
    if similarity == "cosine":
        cross = cross + a.count * a.mean * b.mean
    norms = (_norm2(a, similarity) * _norm2(b, similarity)).sqrt()
    return torch.where(norms > 0, cross / norms, 0.0).clamp(0.0, 1.0)


def strongest(moments: Moments, similarity: Similarity) -> tuple[Tensor, Tensor]:
    """Find each channel of a's largest similarity with any channel of b, (K,) in [0, 1], and that channel, (K,)."""
    a, b = moments.a, moments.b
    # Dividing by a's norm after the maximum spares a pass over the (K, K) products; 0 stands for "no similarity".
    weight_b = torch.where(alive(b, similarity), _norm2(b, similarity).rsqrt(), 0.0)
    mean_b = a.count * b.mean * weight_b
    best, partners = [], []
    for rows, mean_a in zip(torch.split(moments.cross, ROWS_AT_ONCE), torch.split(a.mean, ROWS_AT_ONCE), strict=True):
        weighted = rows * weight_b
        if similarity == "cosine":
            weighted.addr_(mean_a, mean_b)
        largest = weighted.max(1)
        best.append(largest.values)
        partners.append(largest.indices)
    norm_a = _norm2(a, similarity).sqrt()
    return torch.where(norm_a > 0, torch.cat(best) / norm_a, 0.0).clamp(0.0, 1.0), torch.cat(partners)


def _norm2(spread: Spread, similarity: Similarity) -> Tensor:
    return spread.square + spread.count * spread.mean.square() if similarity == "cosine" else spread.square
