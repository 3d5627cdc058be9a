"""How sure a score is: the delete-a-group jackknife over groups of images.

For each group (:mod:`worker.measure.groups`) the sums keep what it added to the pairs of channels that make the scores,
(k, k) and (k, k's best partner): O(K) numbers instead of (K, K). In the end each group is taken out again; how far the
score moves without it tells how far it would move with other images. With deviations d_g = score without group g
- score, group sizes m_g of n images and h_g = n / m_g, the pseudo-values p_g = -(h_g - 1) d_g have the variance of the
score, times h_g (Busing, Meijer and van der Leeden 1999)::

    variance = sum over g of (p_g - mean p)^2 / h_g / (G - 1)        interval = score +- t(0.975, G - 1) sqrt(variance)

The deviations of a mean of scores are the means of their deviations. Blocks and parts therefore get theirs by
averaging, and the correlation between transforms and between blocks, which share their images, is accounted for.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student  # type: ignore[import-untyped]
from torch import Tensor

from worker.measure.moments import Moments, Spread
from worker.measure.similarity import Equivariance, Similarity, alive, paired, score
from worker.measure.sums import Sums

MIN_GROUPS = 5
"""With fewer groups the variance is too uncertain, and there is no interval."""
CONFIDENCE = 0.95


def scored(sums: Sums, similarities: Sequence[Similarity]) -> dict[Similarity, Equivariance]:
    """Score all images by each of ``similarities``, in the order of the sums' partners, with the deviations."""
    moments = sums.moments()
    scores: dict[Similarity, Equivariance] = {}
    for slot, similarity in enumerate(similarities, 1):
        whole = score(moments, similarity)
        if whole.channel is not None:
            whole = replace(whole, deviations=deviations(sums, moments, similarity, slot))
        scores[similarity] = whole
    return scores


def deviations(sums: Sums, moments: Moments, similarity: Similarity, slot: int) -> NDArray[np.float64]:
    """Compute by how much the channel and the layer score would differ without each group, (2, G) float64.

    ``slot`` is the place of the partners under ``similarity``. The layer's deviation is NaN for groups in the first
    quarter of the images, whose partners were chosen from too few images.
    """
    images = np.asarray(sums.images)
    late = torch.from_numpy(4 * (images.cumsum() - images) >= images.sum()).to(sums.partners.device)
    late &= (sums.partners[slot] >= 0).all(1)
    channel = _mean_without(sums, moments, 0, similarity)
    layer = torch.where(late, _mean_without(sums, moments, slot, similarity), torch.nan)
    return torch.stack([channel, layer]).cpu().numpy()


def _mean_without(sums: Sums, moments: Moments, slot: int, similarity: Similarity) -> Tensor:
    """Compute by how much the mean similarity of channels with their partners would differ without each group, (G,)."""
    measurable = alive(moments.a, similarity) & alive(moments.b, similarity)
    partners = sums.partners[slot].clamp(min=0)
    of_pairs = moments.products.T.gather(0, partners)
    group_a, group_b = sums.groups()
    rest = paired(moments.a - group_a, _pick(moments.b - group_b, partners), of_pairs - sums.pairs[slot], similarity)
    whole = paired(moments.a, _pick(moments.b, partners), of_pairs, similarity)
    return (rest - whole)[:, measurable].mean(1)


def _pick(spread: Spread, channels: Tensor) -> Spread:
    """Return the spread of the given ``channels`` (G, K), row by row."""
    pivot, total, square = (
        values.expand(channels.shape).gather(1, channels) for values in (spread.pivot, spread.total, spread.square)
    )
    return Spread(spread.count, pivot, total, square)


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
