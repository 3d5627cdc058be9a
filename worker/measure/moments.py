"""Sums over pairs of observations, from which every similarity is computed.

All sums are of deviations from a *pivot*, a value near each channel's mean, so they lose no digits to a large mean.
About one pivot everything is linear: sums of disjoint sets of observations add, and a part is taken out of the whole
by subtraction. :class:`Spread` and :class:`Moments` are commutative monoids: ``empty`` is the identity, and ``+``
moves the second operand to the pivot of the first, so updating, merging and sharding are one operation.

>>> a = torch.tensor([[0.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
>>> whole = Moments.of(a, a)
>>> parts = Moments.of(a[:1], a[:1]) + Moments.of(a[1:], a[1:])
>>> parts.centred()
tensor([[ 2., -1.],
        [-1.,  2.]], dtype=torch.float64)
>>> torch.allclose(whole.centred(), parts.centred())
True
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spread:
    """Sums over ``count`` observations of K channels, float64 (..., K)::

        total  = sum over i of (x_i - pivot)
        square = sum over i of (x_i - pivot)^2

    ``count`` is a number, or a tensor (..., 1) where each row of the sums is over other observations. ``resolution`` is
    the share of ``square`` that rounding may have made: 0 for sums in float64.
    """

    count: int | Tensor
    pivot: Tensor
    total: Tensor
    square: Tensor
    resolution: float = 0.0

    @classmethod
    def empty(cls, channels: int, device: torch.device | str = "cpu") -> "Spread":
        pivot, total, square = torch.zeros(3, channels, dtype=torch.float64, device=device)
        return cls(0, pivot, total, square)

    @classmethod
    def of(cls, observations: Tensor, pivot: Tensor | None = None) -> "Spread":
        """Sum ``observations`` (n, K) about ``pivot`` (K,), by default their mean."""
        pivot = (observations.mean(0) if pivot is None else pivot).double()
        deviations = observations - pivot
        return cls(len(observations), pivot, deviations.sum(0), deviations.square().sum(0))

    @cached_property
    def offset(self) -> Tensor:
        """How far the mean is from the pivot; 0 for no observations at all."""
        return self.total / (self.count.clamp(min=1) if isinstance(self.count, Tensor) else max(1, self.count))

    @cached_property
    def mean(self) -> Tensor:
        return self.pivot + self.offset

    @cached_property
    def variation(self) -> Tensor:
        """The sum of the squared deviations from the mean; rounding must not make it negative."""
        return (self.square - self.total * self.offset).clamp(min=0.0)

    def about(self, pivot: Tensor) -> "Spread":
        """Return the sums of the same observations about another ``pivot``."""
        step = self.pivot - pivot
        total = self.total + self.count * step
        return replace(self, pivot=pivot, total=total, square=self.square + step * (self.total + total))

    def __add__(self, other: "Spread") -> "Spread":
        if not isinstance(self.count, Tensor) and not self.count:
            return other
        other = other.about(self.pivot)
        count, total, square = self.count + other.count, self.total + other.total, self.square + other.square
        return replace(self, count=count, total=total, square=square)

    def __sub__(self, part: "Spread") -> "Spread":
        """Take ``part`` out of the whole. Its pivot must be the same, and its rows may be many."""
        count, total, square = self.count - part.count, self.total - part.total, self.square - part.square
        return replace(self, count=count, total=total, square=square)

    def pick(self, channels: Tensor) -> "Spread":
        """Return the spread of the given ``channels`` (..., G, K), row by row."""
        pivot, total, square = (
            values.expand(channels.shape).gather(-1, channels) for values in (self.pivot, self.total, self.square)
        )
        return replace(self, pivot=pivot, total=total, square=square)

    def summed(self) -> "Spread":
        """Add up the spreads (..., G, K) of disjoint groups of observations: (..., 1, K)."""
        count = torch.as_tensor(self.count).sum(-2, keepdim=True)
        total, square = (values.sum(-2, keepdim=True) for values in (self.total, self.square))
        return replace(self, count=count, total=total, square=square)


@dataclass(frozen=True)
class Moments:
    """The spreads of a and of b over n pairs of K-channel observations, and the products of the two, float64::

    products = sum over i of (a_i - pivot_a)(b_i - pivot_b)^T        (..., K, K)
    """

    a: Spread
    b: Spread
    products: Tensor

    @classmethod
    def empty(cls, channels: int, device: torch.device | str = "cpu") -> "Moments":
        """The moments of no observations at all."""
        a, b = Spread.empty(channels, device), Spread.empty(channels, device)
        return cls(a, b, torch.zeros(channels, channels, dtype=torch.float64, device=device))

    @classmethod
    def of(cls, a: Tensor, b: Tensor) -> "Moments":
        """Sum pairs of observations: row i of ``a`` (n, K) is paired with row i of ``b`` (n, K)."""
        spread_a, spread_b = Spread.of(a), Spread.of(b)
        return cls(spread_a, spread_b, (a - spread_a.pivot).T @ (b - spread_b.pivot))

    def about(self, pivot_a: Tensor, pivot_b: Tensor) -> "Moments":
        """Return the sums of the same pairs about other pivots."""
        a, b = self.a.about(pivot_a), self.b.about(pivot_b)
        moved = torch.outer(self.a.pivot - pivot_a, b.total) + torch.outer(self.a.total, self.b.pivot - pivot_b)
        return Moments(a, b, self.products + moved)

    def __add__(self, other: "Moments") -> "Moments":
        if not isinstance(self.a.count, Tensor) and not self.a.count:
            return other
        other = other.about(self.a.pivot, self.b.pivot)
        return Moments(self.a + other.a, self.b + other.b, self.products + other.products)

    def centred(self, channels: slice = slice(None)) -> Tensor:
        """Compute the products about the means: of the given ``channels`` of a with all channels of b."""
        total, offset = self.a.total[..., channels, None], self.b.offset[..., None, :]
        return torch.addcmul(self.products[..., channels, :], total, offset, value=-1)
