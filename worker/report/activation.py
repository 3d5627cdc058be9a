"""How much a score follows the magnitude of the activations (the thesis's Figure 5), by either similarity."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from zooaudit.contract import Activation, ActivationCheck

from worker.measure.experiment import Experiment
from worker.measure.moments import Spread
from worker.measure.scores import Curves, ScoreTable

Array = NDArray[np.float64]


def over_channels(spread: Spread, correlation: Curves, cosine: Curves) -> ActivationCheck:
    """Correlate a block's scores by channel with the channels' mean activations in the reference view, ``spread``."""
    return _check(
        spread.mean.abs().cpu().numpy(),
        (correlation.translation.mean.own, cosine.translation.mean.own),
        (correlation.rotation.mean.own, cosine.rotation.mean.own),
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

    def translation(table: ScoreTable) -> Array:
        return np.array([table.blocks[index].translation.mean.channel for index in blocks], dtype=np.float64)

    def rotation(table: ScoreTable) -> Array:
        return np.array([table.blocks[index].rotation.mean.channel for index in blocks], dtype=np.float64)

    return _check(
        np.array([float(reference_spreads[index].mean.abs().mean()) for index in blocks]),
        (translation(correlation), translation(cosine)),
        (rotation(correlation), rotation(cosine)),
    )


def _check(
    magnitude: Array, translation: tuple[Array | None, Array | None], rotation: tuple[Array | None, Array | None]
) -> ActivationCheck:
    """Correlate the ``magnitude`` of the activations with two scores each: by the correlation, and by the cosine."""

    def activation(scores: tuple[Array | None, Array | None]) -> Activation:
        correlation, cosine = scores
        return Activation(correlation=_spearman(magnitude, correlation), cosine=_spearman(magnitude, cosine))

    return ActivationCheck(translation=activation(translation), rotation=activation(rotation))


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
