"""What is learned: the scores of the weights beyond those of the untrained architecture, on the same images."""

from collections.abc import Sequence

import numpy as np
from zooaudit.contract import PARTS, Baseline, Estimate, Learned, LearnedPart, LearnedScore

from worker.measure.outcome import Frame, Outcome, interval
from worker.measure.scores import Scores
from worker.measure.similarity import Score


def baseline(frame: Frame, scores: Scores, untrained: Sequence[Outcome], groups: Sequence[int]) -> Baseline:
    """``scores`` beside those of ``untrained``, the outcomes of the seeds on the same images in the same groups."""
    tables = [frame.table(outcome.results) for outcome in untrained]
    return Baseline(
        seeds=tuple(range(len(tables))),
        parts={
            name: LearnedPart(
                **{
                    transform: LearnedScore(
                        **{
                            score: _learned(
                                scores.parts[name][kind].mean,
                                [table.parts[name][kind].mean for table in tables],
                                score,
                                groups,
                            )
                            for score in ("channel", "layer")
                        }
                    )
                    for kind, transform in enumerate(("translation", "rotation"))
                }
            )
            for name in PARTS
        },
    )


def _learned(trained: Score, untrained: Sequence[Score], kind: str, groups: Sequence[int]) -> Learned:
    row = ("channel", "layer").index(kind)

    def estimate(
        value: float | None, scores: Sequence[Score], weights: Sequence[float], lowest: float = 0.0
    ) -> Estimate:
        if value is None:
            return Estimate(value=None, interval=None, reason=next(score.reason for score in scores if score.reason))
        known = [score.deviations for score in scores if score.deviations is not None]
        if len(known) < len(scores):
            return Estimate(value=value, interval=None)
        deviations = sum(weight * one[row] for weight, one in zip(weights, known, strict=True))
        return Estimate(value=value, interval=interval(value, np.asarray(deviations), groups, lowest))

    share = 1 / len(untrained)
    value: float | None = getattr(trained, kind)
    by_seed: tuple[float | None, ...] = tuple(getattr(score, kind) for score in untrained)
    measured = [one for one in by_seed if one is not None]
    base = sum(measured) * share if len(measured) == len(by_seed) else None
    difference = None if value is None or base is None else value - base
    return Learned(
        pretrained=estimate(value, [trained], [1.0]),
        untrained=estimate(base, untrained, [share] * len(untrained)),
        difference=estimate(difference, [trained, *untrained], [1.0, *[-share] * len(untrained)], -1.0),
        by_seed=by_seed,
    )
