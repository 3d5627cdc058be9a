"""How sure a score is: the delete-a-group jackknife over groups of images.

The images come in random order, and every so many of them are a group. What a group added to the sums is kept for the
pairs of channels that make the scores, (k, k) and (k, k's best partner): O(K) numbers instead of (K, K). In the end
each group is taken out again, and how far the score moves without it tells how far it would move with other images:
with deviations d_g = score without group g - score, group sizes m_g of n images and h_g = n / m_g, the pseudo-values
p_g = -(h_g - 1) d_g have the variance of the score, times h_g (Busing, Meijer and van der Leeden 1999)::

    variance = sum over g of (p_g - mean p)^2 / h_g / (G - 1)        interval = score +- t(0.975, G - 1) sqrt(variance)

Deviations of a mean of scores are the means of their deviations, so blocks and parts get theirs by averaging, and what
transforms and blocks have in common, the images, is accounted for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student  # type: ignore[import-untyped]
from torch import Tensor

from worker.moments import Moments, Spread
from worker.similarity import Score, Similarity, alive, paired, score, strongest

MAX_GROUPS = 32
MIN_GROUPS = 5
"""Fewer tell too little of a variance: there is no interval then."""
CONFIDENCE = 0.95
BYTES_OF_GROUP = 24
"""Per channel: six float32 vectors."""


def pieces_of(num_images: int, batch_size: int) -> int:
    """How many images are added to the sums at a time: a batch, or a whole fraction of one where there would be fewer
    than 8 pieces."""
    most = max(1, min(batch_size, num_images // 8))
    return next(size for size in range(most, 0, -1) if batch_size % size == 0)


@dataclass(frozen=True)
class Group:
    """What ``images`` images added to the moments: spreads of a and b, the centred products of each channel with
    itself, ``own`` (K,), and with its partners, ``best`` (S, K), ``partners`` (S, K) under S similarities; or None
    where those were not known yet, or not the same for all of its images. In float32."""

    images: int
    a: Spread
    b: Spread
    own: Tensor
    best: Tensor | None = None
    partners: Tensor | None = None

    @classmethod
    def of(cls, images: int, piece: Moments, partners: Tensor | None) -> "Group":
        own = piece.cross.diagonal().clone()
        best = None if partners is None else piece.cross.T.gather(0, partners)
        return cls(images, _narrow(piece.a), _narrow(piece.b), own, best, partners)

    def __add__(self, other: "Group") -> "Group":
        a, b = self.a + other.a, self.b + other.b
        weight = self.a.count * (other.a.count / a.count)
        step_a, step_b = weight * (other.a.mean - self.a.mean), other.b.mean - self.b.mean
        own = self.own + other.own + step_a * step_b
        if self.best is None or other.best is None or self.partners is not other.partners:
            return Group(self.images + other.images, a, b, own)
        best = self.best + other.best + step_a * step_b[self.partners]
        return Group(self.images + other.images, a, b, own, best, self.partners)


class Sums:
    """The running sums of one representation under one transform: the moments of all images, and the groups.

    There are at most MAX_GROUPS groups of equally many pieces, merged in pairs when there are more; the last may have
    fewer. Partners are those of the moments so far whenever the number of pieces is a power of two, so that groups
    which merge have the same, and all groups after the first quarter of the images have partners from an eighth or
    more.
    """

    def __init__(self, moments: Moments, similarities: Sequence[Similarity]) -> None:
        self.moments = moments
        self.similarities = similarities
        self.groups: list[Group] = []
        self._pieces = 0
        self._size = 1
        self._partners: Tensor | None = None

    @classmethod
    def empty(cls, channels: int, similarities: Sequence[Similarity], device: torch.device | str = "cpu") -> "Sums":
        return cls(Moments.empty(channels, device), similarities)

    def add(self, images: int, piece: Moments) -> None:
        """Add the moments of so many more images, in place."""
        self.moments += piece
        group = Group.of(images, piece, self._partners)
        if self._pieces % self._size:
            self.groups[-1] += group
        else:
            self._make_room(MAX_GROUPS - 1)
            self.groups.append(group)
        self._pieces += 1
        if self._pieces > 1 and self._pieces.bit_count() == 1:
            found = [strongest(self.moments, similarity)[1] for similarity in self.similarities]
            self._partners = torch.stack(found)

    def __add__(self, other: "Sums") -> "Sums":
        total = Sums(self.moments + other.moments, self.similarities)
        total.groups = [*self.groups, *other.groups]
        total._make_room(MAX_GROUPS)
        return total

    def _make_room(self, most: int) -> None:
        while len(self.groups) > most:
            pairs = [self.groups[index : index + 2] for index in range(0, len(self.groups), 2)]
            self.groups = [reduce(add, pair) for pair in pairs]
            self._size *= 2

    def score(self, similarity: Similarity) -> Score:
        """The score of all images, with its deviations."""
        found = score(self.moments, similarity)
        if found.channel is None:
            return found
        slot = self.similarities.index(similarity)
        return replace(found, deviations=deviations(self.moments, self.groups, similarity, slot))


def deviations(moments: Moments, groups: Sequence[Group], similarity: Similarity, slot: int) -> NDArray[np.float64]:
    """By how much the channel and the layer score would differ without each group, (2, G) float64. ``slot`` is the row
    of ``partners`` for this similarity. NaN for the layer of groups of the first quarter of the images, whose
    partners were found too early."""
    measurable = alive(moments.a, similarity) & alive(moments.b, similarity)
    channels = torch.arange(len(measurable), device=measurable.device).expand(len(groups), -1)
    own = torch.stack([group.own for group in groups])
    channel = _mean_without(moments, groups, own, channels, similarity, measurable)

    images = [group.images for group in groups]
    late = [group.best is not None and 4 * sum(images[:index]) >= sum(images) for index, group in enumerate(groups)]
    chosen = [group for group, is_late in zip(groups, late, strict=True) if is_late]
    layer = torch.full_like(channel, torch.nan)
    if chosen:
        best = torch.stack([group.best[slot] for group in chosen if group.best is not None])
        pairs = torch.stack([group.partners[slot] for group in chosen if group.partners is not None])
        layer[torch.tensor(late)] = _mean_without(moments, chosen, best, pairs, similarity, measurable)
    return torch.stack([channel, layer]).cpu().numpy()


def _mean_without(
    moments: Moments, groups: Sequence[Group], cross: Tensor, pairs: Tensor, similarity: Similarity, measurable: Tensor
) -> Tensor:
    """By how much the mean similarity of channels k and ``pairs`` (G, K) would differ without each group, whose
    products of these pairs are ``cross`` (G, K)."""
    a, step_a = _without(moments.a, [group.a for group in groups])
    b, step_b = _without(moments.b, [group.b for group in groups])
    b, step_b = Spread(b.count, b.mean.gather(1, pairs), b.square.gather(1, pairs)), step_b.gather(1, pairs)
    whole = moments.cross.T.gather(0, pairs)
    removed = moments.a.count - a.count
    rest = paired(a, b, whole - cross - removed * moments.a.count / a.count * step_a * step_b, similarity)
    pick = Spread(moments.b.count, moments.b.mean[pairs], moments.b.square[pairs])
    return (rest - paired(moments.a, pick, whole, similarity))[:, measurable].mean(1)


def _without(whole: Spread, parts: Sequence[Spread]) -> tuple[Spread, Tensor]:
    """The spreads of what is left of ``whole`` without each of ``parts``, (G, K) and the count (G, 1), by the inverse
    of ``+``; and how far the mean of each is from that of the whole."""
    count = torch.tensor([[part.count] for part in parts], dtype=torch.float64, device=whole.mean.device)
    # A part that is the whole leaves nothing; 1 stands for 0 so that its row, which nobody reads, is finite.
    rest = (whole.count - count).clamp(min=1.0)
    step = torch.stack([part.mean for part in parts]) - whole.mean
    square = whole.square - torch.stack([part.square for part in parts]) - count * whole.count / rest * step.square()
    return Spread(rest, whole.mean - count / rest * step, square.clamp(min=0.0)), step  # type: ignore[arg-type]


def half_width(deviations: NDArray[np.float64], images: Sequence[int]) -> float | None:
    """Half of the 95 % confidence interval of a score with these deviations, NaN where a group has none, over groups
    of so many ``images``; None when there are too few."""
    shares = sum(images) / np.asarray(images, dtype=np.float64)
    known = np.isfinite(deviations)
    if known.sum() < MIN_GROUPS:
        return None
    values = (-(shares - 1) * deviations)[known]
    centre = np.average(values, weights=1 / shares[known])
    freedom = int(known.sum()) - 1
    variance = np.sum((values - centre) ** 2 / shares[known]) / freedom
    return float(student.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(variance))


def _narrow(spread: Spread) -> Spread:
    return Spread(spread.count, spread.mean.float(), spread.square.float())
