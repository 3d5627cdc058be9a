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
from worker.measure.similarity import Equivariance, Similarity, alive, paired, scores
from worker.measure.sums import Sums

MIN_GROUPS = 5
"""With fewer groups the variance is too uncertain, and there is no interval."""
CONFIDENCE = 0.95


def scored(sums: Sums, similarities: Sequence[Similarity]) -> list[dict[Similarity, Equivariance]]:
    """Score all images under each transform, by each of ``similarities``, with the deviations of each score.

    ``similarities`` are those whose partners the sums keep, in their order.
    """
    moments = sums.moments()
    found: list[dict[Similarity, Equivariance]] = [{} for _ in sums.cells]
    for slot, similarity in enumerate(similarities):
        every = zip(found, scores(moments, similarity), deviations(sums, moments, similarity, slot), strict=True)
        for row, score, moved in every:
            row[similarity] = score if score.channel is None else replace(score, deviations=moved)
    return found


def deviations(sums: Sums, moments: Moments, similarity: Similarity, slot: int) -> NDArray[np.float64]:
    """Compute by how much the channel and the layer scores would differ without each group, (T, 2, G) float64.

    Groups without images are left out. ``slot`` is the place of ``similarity`` among those whose partners the sums
    keep. The layer's deviation is NaN for groups in the first quarter of the images, whose partners were chosen from
    too few images.
    """
    images = np.asarray(sums.images)
    late = torch.from_numpy(4 * (images.cumsum() - images) >= images.sum()).to(sums.partners.device)
    own = torch.arange(sums.products.shape[1], device=late.device).expand(sums.pairs.shape[1:])
    channel = _mean_without(sums, moments, own, sums.pairs[0], similarity)
    partners = sums.partners[slot]
    layer = _mean_without(sums, moments, partners.clamp(min=0), sums.pairs[1 + slot], similarity)
    layer = torch.where(late & (partners >= 0).all(2), layer, torch.nan)
    return torch.stack([channel, layer], 1).cpu().numpy()[:, :, images > 0]


def _mean_without(sums: Sums, moments: Moments, partners: Tensor, pairs: Tensor, similarity: Similarity) -> Tensor:
    """Compute by how much the mean similarity of channels with ``partners`` would differ without each group, (T, G).

    ``pairs`` are the products of these pairs in each group; both are (T, G, K).
    """
    measurable = (alive(moments.a, similarity) & alive(moments.b, similarity))[:, None]
    whole_a, whole_b = _beside_groups(moments.a), _beside_groups(moments.b)
    group_a, group_b = sums.groups()
    of_pairs = moments.products.transpose(1, 2).gather(1, partners)
    rest = paired(whole_a - group_a, _pick(whole_b - group_b, partners), of_pairs - pairs, similarity)
    whole = paired(whole_a, _pick(whole_b, partners), of_pairs, similarity)
    return torch.where(measurable, rest - whole, 0.0).sum(2) / measurable.sum(2)


def _beside_groups(whole: Spread) -> Spread:
    """Return a spread (T, K) as (T, 1, K), to be set beside those of groups, (T, G, K)."""
    count = torch.as_tensor(whole.count)[:, None]
    return replace(whole, count=count, total=whole.total[:, None], square=whole.square[:, None])


def _pick(spread: Spread, channels: Tensor) -> Spread:
    """Return the spread of the given ``channels`` (T, G, K), row by row."""
    pivot, total, square = (
        values.expand(channels.shape).gather(2, channels) for values in (spread.pivot, spread.total, spread.square)
    )
    return replace(spread, pivot=pivot, total=total, square=square)


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
