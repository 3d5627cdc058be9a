"""How sure a score is: the delete-a-group jackknife over groups of images.

The images come in random order and are counted off into groups. For each group the sums keep what it added to the
pairs of channels that make the scores, (k, k) and (k, k's best partner): O(K) numbers instead of (K, K). In the end
each group is taken out again; how far the score moves without it tells how far it would move with other images. With
deviations d_g = score without group g - score, group sizes m_g of n images and h_g = n / m_g, the pseudo-values
p_g = -(h_g - 1) d_g have the variance of the score, times h_g (Busing, Meijer and van der Leeden 1999)::

    variance = sum over g of (p_g - mean p)^2 / h_g / (G - 1)        interval = score +- t(0.975, G - 1) sqrt(variance)

The deviations of a mean of scores are the means of their deviations. Blocks and parts therefore get theirs by
averaging, and the correlation between transforms and between blocks, which share their images, is accounted for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student  # type: ignore[import-untyped]
from torch import Tensor

from worker.measure.moments import Moments, Spread
from worker.measure.similarity import Equivariance, Similarity, alive, paired, score, strongest

MAX_GROUPS = 32
MIN_GROUPS = 5
"""With fewer groups the variance is too uncertain, and there is no interval."""
CONFIDENCE = 0.95
BYTES_OF_GROUP = 40
"""Memory of one group per channel, with two similarities."""


def piece_size(num_images: int, batch_size: int) -> int:
    """Return how many images are added to the sums at a time: a batch, or a whole fraction of a batch if whole batches
    would give fewer than 8 pieces."""
    most = max(1, min(batch_size, num_images // 8))
    return next(size for size in range(most, 0, -1) if batch_size % size == 0)


@dataclass(frozen=True)
class Groups:
    """What each of G groups of images added to the moments of K channels.

    ``images``     (G, 1) int64: how many images
    ``positions``  (G, 1) float64: how many observations
    ``spreads``    (4, G, K) float32: mean and sum of squared deviations of a, then of b
    ``partners``   (1 + S, G, K) int32: for each channel of a, first the channel itself, then its best partner in b
                   under each of S similarities, or -1 if the partner was not known yet or changed within the group
    ``cross``      (1 + S, G, K) float32: the centred products of each channel of a with these partners
    """

    images: Tensor
    positions: Tensor
    spreads: Tensor
    cross: Tensor
    partners: Tensor

    @classmethod
    def empty(cls, rows: int, channels: int, similarities: int, device: torch.device | str = "cpu") -> "Groups":
        return cls(
            torch.zeros(rows, 1, dtype=torch.int64, device=device),
            torch.zeros(rows, 1, dtype=torch.float64, device=device),
            torch.zeros(4, rows, channels, device=device),
            torch.zeros(1 + similarities, rows, channels, device=device),
            torch.full((1 + similarities, rows, channels), -1, dtype=torch.int32, device=device),
        )

    def __getitem__(self, rows: slice) -> "Groups":
        return Groups(*(tensor[..., rows, :] for tensor in self._tensors()))

    def __setitem__(self, rows: slice, others: "Groups") -> None:
        for mine, theirs in zip(self._tensors(), others._tensors(), strict=True):
            mine[..., rows, :] = theirs

    def __add__(self, other: "Groups") -> "Groups":
        """Merge row by row, by the formula of :class:`worker.measure.moments.Moments`."""
        positions = self.positions + other.positions
        share = other.positions / positions
        weight = self.positions * share
        step_a, _, step_b, _ = other.spreads - self.spreads
        spreads = self.spreads + torch.stack(
            [
                share * step_a,
                other.spreads[1] + weight * step_a.square(),
                share * step_b,
                other.spreads[3] + weight * step_b.square(),
            ]
        )
        same = (self.partners == other.partners).all(-1, keepdim=True)
        partners = torch.where(same, self.partners, -1)
        cross = self.cross + other.cross + weight * step_a * _pick(step_b, partners)
        return Groups(self.images + other.images, positions, spreads, cross, partners)

    def _tensors(self) -> tuple[Tensor, ...]:
        return self.images, self.positions, self.spreads, self.cross, self.partners


def _group(images: int, piece: Moments, partners: Tensor) -> Groups:
    """Build the one group of a ``piece`` of ``images`` images, for the given ``partners`` (1 + S, K)."""
    spreads = torch.stack([piece.a.mean, piece.a.square, piece.b.mean, piece.b.square])
    cross = piece.cross.T.gather(0, partners.clamp(min=0).long())
    count = torch.full((1, 1), images, device=partners.device)
    return Groups(count, torch.full_like(count, piece.a.count), spreads[:, None], cross[:, None], partners[:, None])


def _pick(values: Tensor, partners: Tensor) -> Tensor:
    """Gather ``values`` (G, K) of the channels ``partners`` (1 + S, G, K); an unknown partner gives any value."""
    return values.expand(partners.shape).gather(-1, partners.clamp(min=0).long())


class Sums:
    """The running sums of one representation under one transform: the moments of all images, and the groups.

    There are at most MAX_GROUPS groups of equally many pieces, merged in pairs when there would be more; the last may
    have fewer pieces. The partners are chosen anew from the moments so far whenever the number of pieces is a power of
    two. Groups that merge thus have the same partners, and the partners of all groups after the first quarter of the
    images come from an eighth of them or more.

    All tensors that live as long as the sums are allocated with them and written in place. Small ones that came and
    went with each piece would leave holes in the heap between the large ones, into which no large one fits again.
    """

    def __init__(self, moments: Moments, similarities: Sequence[Similarity], rows: int = MAX_GROUPS) -> None:
        channels, device = len(moments.cross), moments.cross.device
        self.moments = moments
        self.similarities = similarities
        self._rows = Groups.empty(rows, channels, len(similarities), device)
        self._used = 0
        self._pieces = 0
        self._size = 1
        self._partners = torch.full((1 + len(similarities), channels), -1, dtype=torch.int32, device=device)
        self._partners[0] = torch.arange(channels)

    @classmethod
    def empty(cls, channels: int, similarities: Sequence[Similarity], device: torch.device | str = "cpu") -> "Sums":
        return cls(Moments.empty(channels, device), similarities)

    @property
    def groups(self) -> Groups:
        return self._rows[: self._used]

    def add(self, images: int, piece: Moments) -> None:
        """Add a ``piece``, the moments of ``images`` more images, in place."""
        self.moments += piece
        group = _group(images, piece, self._partners)
        last = slice(self._used - 1, self._used)
        if self._pieces % self._size:
            self._rows[last] = self._rows[last] + group
        else:
            self._make_room(MAX_GROUPS - 1)
            self._append(group)
        self._pieces += 1
        if self._pieces > 1 and self._pieces.bit_count() == 1:
            for row, similarity in zip(self._partners[1:], self.similarities, strict=True):
                row.copy_(strongest(self.moments, similarity)[1])

    def __add__(self, other: "Sums") -> "Sums":
        total = Sums(self.moments + other.moments, self.similarities, 2 * MAX_GROUPS)
        total._append(self.groups)
        total._append(other.groups)
        total._make_room(MAX_GROUPS)
        return total

    def _append(self, groups: Groups) -> None:
        end = self._used + len(groups.images)
        self._rows[self._used : end] = groups
        self._used = end

    def _make_room(self, most: int) -> None:
        while self._used > most:
            even = self._used // 2 * 2
            merged, odd = self._rows[0:even:2] + self._rows[1:even:2], self._rows[even : self._used]
            self._used = 0
            self._append(merged)
            self._append(odd)
            self._size *= 2

    def score(self, similarity: Similarity) -> Equivariance:
        """Score all images, with the deviations of the score."""
        whole = score(self.moments, similarity)
        if whole.channel is None:
            return whole
        slot = self.similarities.index(similarity)
        return replace(whole, deviations=deviations(self.moments, self.groups, similarity, slot))


def deviations(moments: Moments, groups: Groups, similarity: Similarity, slot: int) -> NDArray[np.float64]:
    """Compute by how much the channel and the layer score would differ without each group, (2, G) float64.

    ``slot`` is the place of ``similarity`` among those whose best partners the groups keep. The layer's deviation is
    NaN for groups in the first quarter of the images, whose partners were chosen from too few images.
    """
    before = groups.images.cumsum(0) - groups.images
    late = (4 * before >= groups.images.sum()) & (groups.partners[1 + slot] >= 0).all(1, keepdim=True)
    channel = _mean_without(moments, groups, 0, similarity)
    layer = torch.where(late[:, 0], _mean_without(moments, groups, 1 + slot, similarity), torch.nan)
    return torch.stack([channel, layer]).cpu().numpy()


def _mean_without(moments: Moments, groups: Groups, partner: int, similarity: Similarity) -> Tensor:
    """Compute by how much the mean similarity of channels with their partners would differ without each group, (G,)."""
    measurable = alive(moments.a, similarity) & alive(moments.b, similarity)
    mean_a, square_a, mean_b, square_b = groups.spreads
    pairs = groups.partners[partner]
    a, step_a = _without(moments.a, groups.positions, mean_a, square_a)
    b, step_b = _without(moments.b, groups.positions, mean_b, square_b)
    whole = moments.cross.T.gather(0, pairs.clamp(min=0).long())
    weight = groups.positions * moments.a.count / a.count
    cross = whole - groups.cross[partner] - weight * step_a * _pick(step_b, pairs)
    rest = paired(a, Spread(b.count, _pick(b.mean, pairs), _pick(b.square, pairs)), cross, similarity)
    b = Spread(moments.b.count, _pick(moments.b.mean, pairs), _pick(moments.b.square, pairs))
    return (rest - paired(moments.a, b, whole, similarity))[:, measurable].mean(1)


def _without(whole: Spread, count: Tensor, mean: Tensor, square: Tensor) -> tuple[Spread, Tensor]:
    """Take each group out of ``whole``, by the inverse of ``+``: return the spreads of the rest, with mean and square
    (G, K) and count (G, 1), and how far each group's mean is from that of the whole, (G, K).

    The groups have ``count`` (G, 1) positions and the given ``mean`` and ``square`` (G, K).
    """
    # A group that is the whole leaves nothing; 1 stands for 0 so that its row, which nobody reads, is finite.
    rest = (whole.count - count).clamp(min=1.0)
    step = mean - whole.mean
    left = whole.square - square - count * whole.count / rest * step.square()
    return Spread(rest, whole.mean - count / rest * step, left.clamp(min=0.0)), step  # type: ignore[arg-type]


def half_width(deviations: NDArray[np.float64], images: Sequence[int]) -> float | None:
    """Compute half of the 95 % confidence interval of a score; None with fewer than MIN_GROUPS known deviations.

    ``deviations`` (G,) are NaN for groups that have none; ``images`` is the number of images in each group.
    """
    shares = sum(images) / np.asarray(images, dtype=np.float64)
    known = np.isfinite(deviations)
    if known.sum() < MIN_GROUPS:
        return None
    values = (-(shares - 1) * deviations)[known]
    centre = np.average(values, weights=1 / shares[known])
    freedom = int(known.sum()) - 1
    variance = np.sum((values - centre) ** 2 / shares[known]) / freedom
    return float(student.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(variance))


Interval = tuple[float, float]


def intervals(score: Equivariance, groups: Sequence[int]) -> tuple[Interval | None, Interval | None]:
    """Compute the 95 % confidence intervals of a channel and a layer score over ``groups`` of images, in [0, 1]."""
    if score.deviations is None or score.channel is None or score.layer is None:
        return None, None
    channel, layer = (
        interval(value, deviations, groups, 0.0)
        for value, deviations in zip((score.channel, score.layer), score.deviations, strict=True)
    )
    return channel, layer


def interval(value: float, deviations: NDArray[np.float64], groups: Sequence[int], lowest: float) -> Interval | None:
    """Compute the 95 % confidence interval of ``value``, cut to [lowest, 1]; None if there are too few groups."""
    half = half_width(deviations, groups)
    return None if half is None else (max(lowest, value - half), min(1.0, value + half))
