"""The deviations of the parts' scores by group of images, from which differences between audits get their intervals."""

import math
from collections.abc import Sequence

from zooaudit.contract import Deviations, PartDeviations, ScoreDeviations

from worker.measure.agreement import decides, mean_agreement
from worker.measure.jackknife import DEVIATIONS
from worker.measure.model_scores import ModelScores
from worker.measure.scores import Curve, ScoreTable


def deviations_of(table: ScoreTable, scores: ModelScores) -> Deviations:
    """Collect the deviations of the parts in ``table``, which tabulates ``scores``."""
    return Deviations(
        images=tuple(scores.groups),
        parts={
            name: PartDeviations(
                **{transform: _of_curve(curve, scores, name == "Final") for transform, curve in curves.items()}
            )
            for name, curves in table.parts.items()
        },
    )


def _of_curve(curve: Curve, scores: ModelScores, is_final: bool) -> ScoreDeviations:
    by_score = (
        dict.fromkeys(DEVIATIONS)
        if curve.mean.deviations is None
        else dict(zip(DEVIATIONS, curve.mean.deviations.tolist(), strict=True))
    )
    agreements = [scores.agreement(transform) for transform, score in curve.rows.items() if is_final and decides(score)]
    same = mean_agreement(agreements)
    return ScoreDeviations(
        channel=_known(by_score["channel"]),
        layer=_known(by_score["layer"]),
        layer_held_out=None if curve.mean.layer_held_out is None else _known(by_score["layer_held_out"]),
        top1_agreement=None if same is None else _known(same.deviations.tolist()),
    )


def _known(deviations: Sequence[float] | None) -> tuple[float | None, ...] | None:
    if deviations is None:
        return None
    return tuple(None if math.isnan(each) else each for each in deviations)
