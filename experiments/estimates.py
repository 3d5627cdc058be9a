"""What several networks of one kind score together: the mean over their seeds, and how sure it is.

>>> estimate = over_seeds([0.50, 0.52, 0.54], [0.01, 0.01, 0.01])
>>> f"{estimate.value:.2f} within {estimate.interval[0]:.2f} and {estimate.interval[1]:.2f}"
'0.52 within 0.47 and 0.57'
"""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

from pydantic import Field
from scipy.stats import t as student  # type: ignore[import-untyped]
from scipy.stats import ttest_ind
from zooaudit.contract import PartName, Report, Score, ScoreName, TransformName
from zooaudit.contract.base import Contract, omit_none

CONFIDENCE = 0.95


class Estimate(Contract):
    """A number with its 95 % confidence interval, each null where it is not known, with the ``reason``."""

    value: float | None
    interval: tuple[float, float] | None
    reason: str | None = Field(default=None, exclude_if=omit_none)


Value = tuple[float | None, float | None]
"""A number of one network, and half of the width of its interval over images; None where it is not known."""


def score(reports: Sequence[Report], part: PartName, transform: TransformName, name: ScoreName) -> Estimate:
    """Estimate the score of one part from the reports of networks that differ by their seeds only."""
    return as_score(_over_seeds(_part(report, part, transform, name) for report in reports))


def block_score(reports: Sequence[Report], block: int, transform: TransformName, name: ScoreName) -> Estimate:
    """Estimate the score of one block."""
    return as_score(_over_seeds(_value(getattr(report.blocks[block], transform), name) for report in reports))


def layer_minus_channel(reports: Sequence[Report], part: PartName, transform: TransformName) -> Estimate:
    """Estimate by how much layer equivariance exceeds channel equivariance."""
    return _over_seeds(_excess(report, part, transform) for report in reports)


def between_parts(
    reports: Sequence[Report], first: PartName, second: PartName, transform: TransformName, name: ScoreName
) -> Estimate:
    """Estimate by how much the part ``first`` scores higher than the part ``second`` of the same networks."""
    return _over_seeds(
        _minus(*(_part(report, part, transform, name) for part in (first, second))) for report in reports
    )


def excess_lost(reports: Sequence[Report], first: PartName, second: PartName, transform: TransformName) -> Estimate:
    """Estimate by how much more layer exceeds channel equivariance in the part ``first`` than in ``second``."""
    return _over_seeds(_minus(*(_excess(report, part, transform) for part in (first, second))) for report in reports)


def difference(
    first: Sequence[Report], second: Sequence[Report], part: PartName, transform: TransformName, name: ScoreName
) -> Estimate:
    """Estimate by how much the networks of ``first`` score higher than those of ``second``, seed by seed."""
    return _over_seeds(
        _minus(*(_part(report, part, transform, name) for report in both)) for both in zip(first, second, strict=True)
    )


def means_difference(
    first: Sequence[Report], second: Sequence[Report], part: PartName, transform: TransformName, name: ScoreName
) -> Estimate:
    """Estimate by how much the mean over the models of ``first`` is higher than the mean over those of ``second``.

    The interval is Welch's over the models, widened by those over images as in :func:`over_seeds`.
    """
    values = [[_part(report, part, transform, name) for report in group] for group in (first, second)]
    scores = [[score for score, _ in group if score is not None] for group in values]
    if any(len(known) < len(group) for known, group in zip(scores, values, strict=True)):
        return Estimate(value=None, interval=None, reason="a model has no such score")
    if any(len(group) < 2 for group in scores):
        return Estimate(value=None, interval=None, reason="two models of each kind are needed")
    middle = fmean(scores[0]) - fmean(scores[1])
    halves = [[half for _, half in group if half is not None] for group in values]
    if not all(halves):
        return Estimate(value=middle, interval=None, reason="too few images give no interval")
    welch = ttest_ind(*scores, equal_var=False).confidence_interval(CONFIDENCE) if any(map(stdev, scores)) else None
    half = math.hypot((welch.high - welch.low) / 2 if welch else 0.0, *map(fmean, halves))
    return Estimate(value=middle, interval=(middle - half, middle + half))


def over_seeds(values: Sequence[float | None], halves: Sequence[float | None] = ()) -> Estimate:
    """Estimate the mean over seeds from the value of each seed and half of the width of its interval over images.

    All seeds see the same images, so the error from the choice of images does not shrink with the number of seeds. The
    half width is sqrt(s^2 + h^2), where s is Student's for the mean of the n seeds, t(n - 1) stdev / sqrt(n), and h is
    the mean of ``halves``. A single seed has the interval over images only.
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return Estimate(value=None, interval=None, reason="a network has no such score")
    mean, count = fmean(known), len(known)
    images = [half for half in halves if half is not None]
    if len(images) < len(halves) or (count == 1 and not images):
        return Estimate(value=mean, interval=None, reason="one network, or too few images, give no interval")
    of_seeds = student.ppf((1 + CONFIDENCE) / 2, count - 1) * stdev(known) / math.sqrt(count) if count > 1 else 0.0
    half = math.hypot(of_seeds, fmean(images) if images else 0.0)
    return Estimate(value=mean, interval=(mean - half, mean + half))


def mean_of(values: Iterable[float | None]) -> float | None:
    """Average what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _over_seeds(values: Iterable[Value]) -> Estimate:
    of_seeds = list(values)
    return over_seeds([value for value, _ in of_seeds], [half for _, half in of_seeds])


def as_score(estimate: Estimate) -> Estimate:
    """Cut off what of the interval no score can be."""
    if estimate.interval is None:
        return estimate
    low, high = estimate.interval
    return estimate.model_copy(update={"interval": (max(0.0, low), min(1.0, high))})


def _part(report: Report, part: PartName, transform: TransformName, name: ScoreName) -> Value:
    return _value(getattr(report.parts[part], transform), name)


def _excess(report: Report, part: PartName, transform: TransformName) -> Value:
    return _minus(_part(report, part, transform, "layer"), _part(report, part, transform, "channel"))


def _value(score: Score, name: ScoreName) -> Value:
    interval = score.channel_interval if name == "channel" else score.layer_interval
    value = score.channel if name == "channel" else score.layer
    return value, None if interval is None else (interval[1] - interval[0]) / 2


def _minus(first: Value, second: Value) -> Value:
    """Subtract two scores. The interval is that of independent ones, which is wide for scores of the same images."""
    value = None if first[0] is None or second[0] is None else first[0] - second[0]
    half = None if first[1] is None or second[1] is None else math.hypot(first[1], second[1])
    return value, half
