"""How much a score follows the magnitude of the activations (the thesis's Figure 5), by either similarity."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from zooaudit.contract import Activation, ActivationCheck, TransformName

from worker.measure.experiment import Experiment
from worker.measure.moments import Spread
from worker.measure.scores import Curves, ScoreTable

Array = NDArray[np.float64]


def over_channels(spread: Spread, correlation: Curves, cosine: Curves) -> ActivationCheck:
    """Correlate a block's scores by channel with the channels' mean activations in the reference view, ``spread``."""
    magnitude = spread.mean.abs().cpu().numpy()
    return ActivationCheck(
        **{
            transform: _activation(magnitude, curve.mean.own, cosine[transform].mean.own)
            for transform, curve in correlation.items()
        }
    )


def over_depth(
    experiment: Experiment, correlation: ScoreTable, cosine: ScoreTable, reference_spreads: Sequence[Spread]
) -> ActivationCheck:
    """Correlate the blocks' channel equivariance with their mean activations in the reference view.

    ``reference_spreads`` has these activations, for each representation.
    """
    blocks = [
        index
        for index, representation in enumerate(experiment.representations)
        if representation.part not in ("Pool", "Final")
    ]

    magnitude = np.array([float(reference_spreads[index].mean.abs().mean()) for index in blocks])

    def over_blocks(table: ScoreTable, transform: TransformName) -> Array:
        curves = [table.blocks[index][transform] for index in blocks]
        return np.array([curve.mean.channel for curve in curves], dtype=np.float64)

    return ActivationCheck(
        **{
            transform: _activation(magnitude, over_blocks(correlation, transform), over_blocks(cosine, transform))
            for transform in correlation.parts["Final"]
        }
    )


def _activation(magnitude: Array, correlation: Array | None, cosine: Array | None) -> Activation:
    """Correlate the ``magnitude`` of the activations with two scores: by the correlation, and by the cosine."""
    return Activation(correlation=_spearman(magnitude, correlation), cosine=_spearman(magnitude, cosine))


def _spearman(x: Array, y: Array | None) -> float | None:
    """Compute Spearman's rank correlation over the pairs that both have; None for fewer than 3, or where one of the two
    is constant."""
    if y is None:
        return None
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.clip(spearmanr(x, y).statistic, -1.0, 1.0))
