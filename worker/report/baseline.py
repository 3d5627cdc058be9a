"""What the weights have learned: their scores beyond those of the untrained architecture, on the same images."""

from collections.abc import Sequence

import numpy as np
from zooaudit.contract import PARTS, AuditRequest, Baseline, Estimate, Learned, LearnedPart, LearnedScore, ScoreName

from worker.measure.experiment import Experiment
from worker.measure.jackknife import interval
from worker.measure.model_scores import ModelScores
from worker.measure.scores import ScoreTable
from worker.measure.similarity import Equivariance
from worker.report import second_opinion

ROW: dict[ScoreName, int] = {"channel": 0, "layer": 1}
"""Which row of the deviations belongs to which score."""


def baseline(
    request: AuditRequest,
    experiment: Experiment,
    trained: ScoreTable,
    untrained: Sequence[ModelScores],
    groups: Sequence[int],
) -> Baseline:
    """Set the ``trained`` scores beside those of the ``untrained`` seeds, on the same images in the same ``groups``."""
    tables = [experiment.table(scores.results) for scores in untrained]
    found = second_opinion.findings(untrained)
    opinions = second_opinion.of_parts(found, request, experiment) if found else {}
    return Baseline(
        seeds=tuple(range(len(tables))),
        parts={
            name: LearnedPart(
                **{
                    transform: _score(curve.mean, [table.parts[name][transform].mean for table in tables], groups)
                    for transform, curve in trained.parts[name].items()
                }
            )
            for name in PARTS
        },
        second_opinion={part: opinion for part, opinion in opinions.items() if opinion} or None,
        consistency=second_opinion.consistency(found, request, experiment, None) if found else None,
    )


def _score(trained: Equivariance, untrained: Sequence[Equivariance], groups: Sequence[int]) -> LearnedScore:
    return LearnedScore(
        channel=_learned(trained, untrained, "channel", groups), layer=_learned(trained, untrained, "layer", groups)
    )


def _learned(
    trained: Equivariance, untrained: Sequence[Equivariance], name: ScoreName, groups: Sequence[int]
) -> Learned:
    """Estimate one score of the trained weights, of the untrained mean over seeds, and the difference of the two."""

    def estimate(
        value: float | None, scores: Sequence[Equivariance], weights: Sequence[float], lowest: float = 0.0
    ) -> Estimate:
        """Give ``value``, the sum of ``scores`` times ``weights``, its interval: deviations add like the scores do."""
        if value is None:
            return Estimate(value=None, interval=None, reason=next(score.reason for score in scores if score.reason))
        known = [score.deviations for score in scores if score.deviations is not None]
        if len(known) < len(scores):
            return Estimate(value=value, interval=None)
        deviations = sum(weight * one[ROW[name]] for weight, one in zip(weights, known, strict=True))
        return Estimate(value=value, interval=interval(value, np.asarray(deviations), groups, lowest))

    share = 1 / len(untrained)
    value: float | None = getattr(trained, name)
    by_seed: tuple[float | None, ...] = tuple(getattr(score, name) for score in untrained)
    measured = [one for one in by_seed if one is not None]
    base = sum(measured) * share if len(measured) == len(by_seed) else None
    difference = None if value is None or base is None else value - base
    return Learned(
        pretrained=estimate(value, [trained], [1.0]),
        untrained=estimate(base, untrained, [share] * len(untrained)),
        difference=estimate(difference, [trained, *untrained], [1.0, *[-share] * len(untrained)], -1.0),
        by_seed=by_seed,
    )
