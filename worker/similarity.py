"""Moments to scores: channel and layer equivariance of one block under one transform.

>>> from worker.moments import centre
>>> a = torch.tensor([[0.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
>>> swapped = score(Moments.of(centre(a), centre(a.flip(1))), "correlation")
>>> round(swapped.channel, 6), round(swapped.layer, 6)
(0.0, 1.0)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from worker.moments import Moments, Spread

CONSTANT = 1e-6
"""A channel whose standard deviation is below this share of its mean is constant: float32 tells no more."""

ROWS_AT_ONCE = 64
"""So many rows of the (K, K) products stay in a processor's cache from one operation to the next."""


@dataclass(frozen=True)
class Score:
    """Both kinds of equivariance, in [0, 1], or None with the reason why they cannot be measured."""

    channel: float | None
    layer: float | None
    reason: str | None = None


def score(moments: Moments, similarity: Literal["correlation", "cosine"]) -> Score:
    """The mean over channels of ``max(0, s(k, k))`` and of ``max(0, max over k' of s(k, k'))``.

    ``s`` is Pearson's correlation of channel k of a with channel k' of b over all observations, or their cosine
    similarity (the same without centring). A channel that has none with itself, because it is constant (for the cosine:
    zero) in a or in b, is left out of both means, which are thus over the same channels and layer >= channel; one
    that is constant in b is no candidate for the maximum either.
    """
    a, b, cross = moments.a, moments.b, moments.cross.double()
    if similarity == "cosine":
        cross = torch.addr(cross, a.mean, b.mean, alpha=a.count)
        square_a = a.square + a.count * a.mean.square()
        square_b = b.square + b.count * b.mean.square()
        alive_a, alive_b = square_a > 0, square_b > 0
    else:
        square_a, square_b = a.square, b.square
        alive_a, alive_b = ~constant(a), ~constant(b)
    if not (torch.isfinite(square_a).all() and torch.isfinite(square_b).all()):
        return Score(None, None, "some activations are not finite")
    both = alive_a & alive_b
    if not both.any():
        return Score(None, None, f"no channel varies over the {a.count} positions compared")

    # Dividing by a's norm after the maximum spares a pass over the (K, K) products; 0 stands for "no similarity".
    norm_a = square_a.sqrt()
    weight_b = torch.where(alive_b, square_b.rsqrt(), 0.0)
    own = cross.diagonal() * weight_b / norm_a
    best = torch.cat([(rows * weight_b).amax(1) for rows in torch.split(cross, ROWS_AT_ONCE)]) / norm_a
    return Score(_mean(own[both]), _mean(best[both]))


def constant(spread: Spread) -> Tensor:
    """Which channels (K,) do not vary beyond what rounding makes of a constant."""
    return spread.square <= spread.count * (CONSTANT * spread.mean).square()


def _mean(similarities: Tensor) -> float:
    return float(similarities.clamp(0.0, 1.0).mean())
