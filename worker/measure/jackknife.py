"""How sure a score is: the delete-a-group jackknife over groups of images (:mod:`zooaudit.contract.jackknife`).

For each group (:mod:`worker.measure.groups`) the sums keep what it added to the pairs of channels that make the scores,
(k, k) and (k, k's best partner): O(K) numbers instead of (K, K). In the end each group is taken out again; how far the
score moves without it tells how far it would move with other images.

The deviations of a mean of scores are the means of their deviations. Blocks and parts therefore get theirs by
averaging, and the correlation between transforms and between blocks, which share their images, is accounted for.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta  # type: ignore[import-untyped]
from scipy.stats import t as student
from torch import Tensor
from zooaudit.contract import CONFIDENCE, only_known, standard_error

from worker.measure.held_out import held_out
from worker.measure.moments import Moments, Spread
from worker.measure.similarity import Equivariance, Similarity, alive, paired, scores
from worker.measure.sums import Sums

FEW = 10
"""Where fewer images of a sample change their class, or fewer keep it, the jackknife's interval is too narrow."""
DEVIATIONS = ("channel", "layer", "layer_held_out")
"""Which score each row of the deviations belongs to."""


def scored(sums: Sums, similarities: Sequence[Similarity]) -> list[dict[Similarity, Equivariance]]:
    """Score all images under each transform, by each of ``similarities``, with the deviations of each score.

    ``similarities`` are those whose partners the sums keep, in their order.
    """
    moments = sums.moments()
    found: list[dict[Similarity, Equivariance]] = [{} for _ in sums.cells]
    for slot, similarity in enumerate(similarities):
        unbiased, of_unbiased = held_out(sums, moments, similarity, slot)
        moved = np.concatenate([deviations(sums, moments, similarity, slot), of_unbiased[:, None]], 1)
        present = moved[:, :, np.asarray(sums.images) > 0]
        every = zip(found, scores(moments, similarity), unbiased.tolist(), present, strict=True)
        for row, score, value, of_score in every:
            if score.channel is not None:
                score = replace(score, layer_held_out=None if math.isnan(value) else value, deviations=of_score)
            row[similarity] = score
    return found


def deviations(sums: Sums, moments: Moments, similarity: Similarity, slot: int) -> NDArray[np.float64]:
    """Compute by how much the channel and the layer scores would differ without each group, (T, 2, G) float64.

    ``slot`` is the place of ``similarity`` among those whose partners the sums keep. The layer's deviation is NaN for
    groups in the first quarter of the images, whose partners were chosen from too few images.
    """
    late = sums.late(slot).to(sums.partners.device)
    own = torch.arange(sums.products.shape[1], device=late.device).expand(sums.pairs.shape[1:])
    channel = _mean_without(sums, moments, own, sums.pairs[0], similarity)
    layer = _mean_without(sums, moments, sums.partners[slot].clamp(min=0), sums.pairs[1 + slot], similarity)
    return torch.stack([channel, torch.where(late, layer, torch.nan)], 1).cpu().numpy()


def _mean_without(sums: Sums, moments: Moments, partners: Tensor, pairs: Tensor, similarity: Similarity) -> Tensor:
    """Compute by how much the mean similarity of channels with ``partners`` would differ without each group, (T, G).

    ``pairs`` are the products of these pairs in each group; both are (T, G, K).
    """
    measurable = (alive(moments.a, similarity) & alive(moments.b, similarity))[:, None]
    whole_a, whole_b = _beside_groups(moments.a), _beside_groups(moments.b)
    group_a, group_b = sums.groups()
    of_pairs = moments.products.transpose(1, 2).gather(1, partners)
    rest = paired(whole_a - group_a, (whole_b - group_b).pick(partners), of_pairs - pairs, similarity)
    whole = paired(whole_a, whole_b.pick(partners), of_pairs, similarity)
    return torch.where(measurable, rest - whole, 0.0).sum(2) / measurable.sum(2)


def _beside_groups(whole: Spread) -> Spread:
    """Return a spread (T, K) as (T, 1, K), to be set beside those of groups, (T, G, K)."""
    count = torch.as_tensor(whole.count)[:, None]
    return replace(whole, count=count, total=whole.total[:, None], square=whole.square[:, None])


def half_width(deviations: NDArray[np.float64], images: Sequence[int], held_out: bool = False) -> float | None:
    """Compute half of the 95 % confidence interval of a score; None with fewer than MIN_GROUPS known deviations.

    ``deviations`` (G,) are NaN for groups that have none; ``images`` is the number of images in each group. A
    ``held_out`` score is measured only on the groups that have one.
    """
    known: Sequence[float | None] = [None if math.isnan(each) else each for each in deviations.tolist()]
    known, images = only_known(known, images) if held_out else (known, images)
    found = standard_error(known, images)
    if found is None:
        return None
    error, freedom = found
    return float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error


Interval = tuple[float, float]


def intervals(score: Equivariance, groups: Sequence[int]) -> dict[str, Interval | None]:
    """Compute the 95 % confidence intervals of the scores over ``groups`` of images, in [0, 1], by name."""
    if score.deviations is None:
        return dict.fromkeys(DEVIATIONS)
    values = (score.channel, score.layer, score.layer_held_out)
    return {
        name: None if value is None else interval(value, deviations, groups, held_out=name == "layer_held_out")
        for name, value, deviations in zip(DEVIATIONS, values, score.deviations, strict=True)
    }


def interval(
    value: float, deviations: NDArray[np.float64], groups: Sequence[int], lowest: float = 0.0, held_out: bool = False
) -> Interval | None:
    """Compute the 95 % confidence interval of ``value``, cut to [lowest, 1]; None if there are too few groups."""
    half = half_width(deviations, groups, held_out)
    return None if half is None else (max(lowest, value - half), min(1.0, value + half))


def share_interval(
    share: float, deviations: NDArray[np.float64], groups: Sequence[int], transforms: int
) -> Interval | None:
    """Compute the 95 % confidence interval of a ``share`` of images, the mean over so many ``transforms``.

    It is :func:`exact` under one transform, and where few images change, or few keep, their class: a sample in which
    none does has no spread, and says nothing of how far others would move it. None without images.
    """
    images = sum(groups)
    few = images * min(share, 1 - share) < FEW
    found = None if few or transforms == 1 else interval(share, deviations, groups)
    return found or exact(share, images)


def exact(share: float, images: int) -> Interval | None:
    """Compute the 95 % interval of Clopper and Pearson (1934) of a share of ``images``; None without any.

    The mean of several shares of the same images spreads no more than a single one; it may be of a fraction of them.

    >>> [round(end, 3) for end in exact(1.0, 48)], [round(end, 3) for end in exact(0.5, 4)]
    ([0.926, 1.0], [0.068, 0.932])
    """
    if not images:
        return None
    kept, tail = round(share * images, 9), (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, kept, images - kept + 1)) if kept > 0 else 0.0
    high = float(beta.ppf(1 - tail, kept + 1, images - kept)) if kept < images else 1.0
    return low, high
