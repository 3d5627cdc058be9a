"""How much a score follows the magnitude of the activations (the thesis's Figure 5), by either similarity."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from zooaudit.contract import Activation, ActivationCheck

from worker.measure.outcome import Frame, Outcome
from worker.measure.scores import Scores


def activation(
    magnitude: NDArray[np.float64], scores: Sequence[Sequence[NDArray[np.float64] | None]]
) -> ActivationCheck:
    """The rank correlations of ``scores`` (by similarity: of translation, of rotation) with ``magnitude``."""
    (translation, rotation), (cosine_translation, cosine_rotation) = scores
    return ActivationCheck(
        translation=Activation(
            correlation=_spearman(magnitude, translation), cosine=_spearman(magnitude, cosine_translation)
        ),
        rotation=Activation(correlation=_spearman(magnitude, rotation), cosine=_spearman(magnitude, cosine_rotation)),
    )


def over_depth(frame: Frame, scores: Scores, cosine: Scores, outcome: Outcome) -> ActivationCheck:
    """As :func:`activation`, of the blocks' scores with their mean activations."""
    depth = range(len(frame.subject.depth.blocks))
    magnitude = np.array([float(outcome.reference[index].mean.abs().mean()) for index in depth])
    channel = [
        [np.array([table.blocks[index][kind].mean.channel for index in depth], dtype=np.float64) for kind in (0, 1)]
        for table in (scores, cosine)
    ]
    return activation(magnitude, channel)


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64] | None) -> float | None:
    """Spearman's rank correlation over the pairs that both have; None for fewer than 3, or where one is constant."""
    if y is None:
        return None
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.clip(spearmanr(x, y).statistic, -1.0, 1.0))
