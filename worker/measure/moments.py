"""Streaming statistics of pairs of feature maps: the sums from which every similarity is computed.

:class:`Spread` and :class:`Moments` are commutative monoids: ``empty`` is the identity and ``+`` merges what was seen
in two disjoint sets of observations by the formula of Chan, Golub and LeVeque (1979), so that updating, merging and
sharding are one operation, and a merge gives what one pass over both sets would have given.

>>> a = torch.tensor([[0.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
>>> whole = Moments.of(centre(a), centre(a))
>>> parts = Moments.of(centre(a[:1]), centre(a[:1])) + Moments.of(centre(a[1:]), centre(a[1:]))
>>> parts.cross
tensor([[ 2., -1.],
        [-1.,  2.]], dtype=torch.float64)
>>> torch.allclose(whole.cross.double(), parts.cross)
True
"""

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

SLICE = 4096
"""Rows of observations that are summed in float32; the sums of these slices are added in float64."""

NARROW = 16
"""Products of fewer channels are made in float64: BLAS adds their rows one after another, and float32 would drift."""


@dataclass(frozen=True)
class Centred:
    """Observations as deviations from a pivot, which is their mean in float32, so that products lose no digits to it.

    ``values`` (n, K) float32, ``pivot`` (K,) float32; ``total`` and ``square`` (K,) float64 are the sums of the
    deviations, nearly zero, and of their squares.
    """

    values: Tensor
    pivot: Tensor
    total: Tensor
    square: Tensor


def centre(observations: Tensor) -> Centred:
    """Centre ``observations`` (..., K) of any floating dtype and any strides; the channels are the last axis."""
    pivot = observations.mean(tuple(range(observations.ndim - 1)), dtype=torch.float32)
    values = torch.sub(observations, pivot).reshape(-1, observations.shape[-1])
    slices = torch.split(values, SLICE)
    total = torch.stack([rows.sum(0) for rows in slices]).double().sum(0)
    square = torch.stack([rows.square().sum(0) for rows in slices]).double().sum(0)
    return Centred(values, pivot, total, square)


@dataclass(frozen=True)
class Spread:
    """Mean of each of K channels over ``count`` observations, and sum of squared deviations from it, float64 (K,)."""

    count: int
    mean: Tensor
    square: Tensor

    @classmethod
    def empty(cls, channels: int, device: torch.device | str = "cpu") -> "Spread":
        mean, square = torch.zeros(2, channels, dtype=torch.float64, device=device)
        return cls(0, mean, square)

    @classmethod
    def of(cls, batch: Centred) -> "Spread":
        count = batch.values.shape[0]
        # Rounding must not make a sum of squares negative.
        square = (batch.square - batch.total.square() / count).clamp(min=0.0)
        return cls(count, batch.pivot.double() + batch.total / count, square)

    def copy(self) -> "Spread":
        return Spread(self.count, self.mean.clone(), self.square.clone())

    def __add__(self, other: "Spread") -> "Spread":
        total = self.copy()
        total += other
        return total

    def __iadd__(self, other: "Spread") -> "Spread":
        count = self.count + other.count
        if not count:
            return self
        share = other.count / count
        step = other.mean - self.mean
        self.mean.add_(step, alpha=share)
        self.square.add_(other.square).add_(step.square_(), alpha=self.count * share)
        return Spread(count, self.mean, self.square)


@dataclass(frozen=True)
class Moments:
    """The spread of a and of b over n pairs of K-channel observations, and their cross products::

        cross = sum over i of (a_i - mean_a)(b_i - mean_b)^T              (K, K)
        cross(x + y) = cross(x) + cross(y) + n_x n_y / (n_x + n_y) (mean_a(y) - mean_a(x))(mean_b(y) - mean_b(x))^T

    ``cross`` is float32 for one batch and float64 for a sum. ``x += y`` adds in place, without a second (K, K) tensor.
    """

    a: Spread
    b: Spread
    cross: Tensor

    @classmethod
    def empty(cls, channels: int, device: torch.device | str = "cpu") -> "Moments":
        """The moments of no observations at all."""
        a, b = Spread.empty(channels, device), Spread.empty(channels, device)
        return cls(a, b, torch.zeros(channels, channels, dtype=torch.float64, device=device))

    @classmethod
    def of(cls, a: Centred, b: Centred) -> "Moments":
        """The moments of one batch: row i of ``a`` is paired with row i of ``b``."""
        wide = torch.float64 if a.values.shape[1] < NARROW else torch.float32
        slices = zip(torch.split(a.values.to(wide), SLICE), torch.split(b.values.to(wide), SLICE), strict=True)
        cross = reduce(_sum64, (torch.mm(rows_a.T, rows_b) for rows_a, rows_b in slices))
        cross.addr_(a.total.to(cross.dtype), b.total.to(cross.dtype), alpha=-1.0 / len(a.values))
        return cls(Spread.of(a), Spread.of(b), cross)

    def __add__(self, other: "Moments") -> "Moments":
        total = Moments(self.a.copy(), self.b.copy(), self.cross.to(torch.float64, copy=True))
        total += other
        return total

    def __iadd__(self, other: "Moments") -> "Moments":
        self.cross.add_(other.cross)
        if self.a.count and other.a.count:
            steps = (other.a.mean - self.a.mean, other.b.mean - self.b.mean)
            self.cross.addr_(*steps, alpha=self.a.count * (other.a.count / (self.a.count + other.a.count)))
        a, b = self.a, self.b
        a += other.a
        b += other.b
        return Moments(a, b, self.cross)


def _sum64(total: Tensor, more: Tensor) -> Tensor:
    return total.double().add_(more)
