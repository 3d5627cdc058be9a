"""Top-1 agreement: how often the model keeps its answer, ``argmax f(T x) = argmax f(x_0)``."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.measure.similarity import Equivariance


@dataclass(frozen=True)
class Agreement:
    """The share of the images on which the top-1 class stayed the same.

    ``deviations`` (G,) say by how much the share would differ without each group of images.
    """

    share: float
    deviations: NDArray[np.float64]


def agreement(same: Sequence[int], images: Sequence[int]) -> Agreement:
    """Compute the agreement from how many images of each group kept their class, and how many each group has.

    >>> found = agreement([4, 2], [4, 4])
    >>> found.share, found.deviations.tolist()
    (0.75, [-0.25, 0.25])
    """
    kept, counts = np.asarray(same, dtype=np.float64), np.asarray(images, dtype=np.float64)
    share = kept.sum() / counts.sum()
    others = counts.sum() - counts
    without = np.divide(kept.sum() - kept, others, out=np.full(len(counts), np.nan), where=others > 0)
    return Agreement(float(share), without - share)


def decides(final: Equivariance) -> bool:
    """Tell whether a model whose output scores ``final`` decides anything: logits that never vary give every image the
    same class, and their agreement would mean nothing."""
    return final.channel is not None


def mean_agreement(agreements: Sequence[Agreement]) -> Agreement | None:
    """Average agreements under several transforms, on the same images; None if there are none."""
    if not agreements:
        return None
    deviations = np.mean([each.deviations for each in agreements], axis=0)
    return Agreement(float(np.mean([each.share for each in agreements])), deviations)
