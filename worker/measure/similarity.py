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
"""So many rows of the (K, K) products stay in a processor's cache from one operation to the next."""


@dataclass(frozen=True)
class Score:
    """Both kinds of equivariance, in [0, 1], or None with the reason why they cannot be measured.

    ``own``: the similarity of each channel with itself, (K,), NaN where it has none. ``deviations``: what
    :func:`worker.measure.jackknife.deviations` says, if it was asked.
    """

    channel: float | None
    layer: float | None
    reason: str | None = None
    own: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)
    deviations: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)


def score(moments: Moments, similarity: Similarity) -> Score:
    """The mean over channels of ``max(0, s(k, k))`` and of ``max(0, max over k' of s(k, k'))``.

    ``s`` is Pearson's correlation of channel k of a with channel k' of b over all observations, or their cosine
    similarity (the same without centring). A channel that has none with itself, because it is constant (for the cosine:
    zero) in a or in b, is left out of both means, which are thus over the same channels and layer >= channel; one
    that is constant in b is no candidate for the maximum either.
    """
    if not (torch.isfinite(moments.a.square).all() and torch.isfinite(moments.b.square).all()):
        return Score(None, None, "some activations are not finite")
    measurable = alive(moments.a, similarity) & alive(moments.b, similarity)
    if not measurable.any():
        return Score(None, None, f"no channel varies over the {moments.a.count} positions compared")
    own = paired(moments.a, moments.b, moments.cross.diagonal(), similarity)
    best, _ = strongest(moments, similarity)
    each = torch.where(measurable, own, torch.nan).cpu().numpy()
    return Score(float(own[measurable].mean()), float(best[measurable].mean()), own=each)


def alive(spread: Spread, similarity: Similarity) -> Tensor:
    """Which channels (K,) have a similarity with others."""
    return _norm2(spread, similarity) > 0 if similarity == "cosine" else ~constant(spread)


def constant(spread: Spread) -> Tensor:
    """Which channels (K,) do not vary beyond what rounding makes of a constant."""
    return spread.square <= spread.count * (CONSTANT * spread.mean).square()


def paired(a: Spread, b: Spread, cross: Tensor, similarity: Similarity) -> Tensor:
    """The similarities, in [0, 1], of channels of a with channels of b, pair by pair; ``cross`` are their centred
    products. Shapes broadcast: (..., K). 0 where there is none."""
    if similarity == "cosine":
        cross = cross + a.count * a.mean * b.mean
    norms = (_norm2(a, similarity) * _norm2(b, similarity)).sqrt()
    return torch.where(norms > 0, cross / norms, 0.0).clamp(0.0, 1.0)


def strongest(moments: Moments, similarity: Similarity) -> tuple[Tensor, Tensor]:
    """For each channel of a the largest similarity with any channel of b, (K,) in [0, 1], and which that is, (K,)."""
    a, b = moments.a, moments.b
    # Dividing by a's norm after the maximum spares a pass over the (K, K) products; 0 stands for "no similarity".
    weight_b = torch.where(alive(b, similarity), _norm2(b, similarity).rsqrt(), 0.0)
    mean_b = a.count * b.mean * weight_b
    best, partners = [], []
    for rows, mean_a in zip(torch.split(moments.cross, ROWS_AT_ONCE), torch.split(a.mean, ROWS_AT_ONCE), strict=True):
        weighted = rows * weight_b
        if similarity == "cosine":
            weighted.addr_(mean_a, mean_b)
        found = weighted.max(1)
        best.append(found.values)
        partners.append(found.indices)
    norm_a = _norm2(a, similarity).sqrt()
    return torch.where(norm_a > 0, torch.cat(best) / norm_a, 0.0).clamp(0.0, 1.0), torch.cat(partners)


def _norm2(spread: Spread, similarity: Similarity) -> Tensor:
    return spread.square + spread.count * spread.mean.square() if similarity == "cosine" else spread.square
