"""What a probe found of a representation: a ratio of sums over images, and how it would move with other images."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

CONSTANT = "the representation is the same for all images"
NOT_FINITE = "the representation holds infinite values, or values that are no numbers"


@dataclass(frozen=True)
class Statistic:
    """A number, or the ``reason`` why there is none.

    ``deviations`` (G,) say by how much it would differ without each group of images; they are NaN for groups without
    which there would be no number, and None where the statistic has no interval.
    """

    value: float | None
    reason: str | None = None
    deviations: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)


def of_ratio(numerators: NDArray[np.float64], denominators: NDArray[np.float64], constant: str = CONSTANT) -> Statistic:
    """Divide the sum of the numerators by that of the denominators; both are given by group of images, (G,).

    ``constant`` is the reason of a ratio whose denominator is 0.

    >>> found = of_ratio(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    >>> found.value, found.deviations.tolist()
    (1.0, [0.5, -0.5])
    >>> of_ratio(np.array([1.0, 2.0]), np.array([0.0, 0.0])).reason
    'the representation is the same for all images'
    """
    above, below = numerators.sum(), denominators.sum()
    if not np.isfinite(above) or not np.isfinite(below):
        return Statistic(None, NOT_FINITE)
    if below <= 0:
        return Statistic(None, constant)
    value = float(above / below)
    return Statistic(value, None, ratios(above - numerators, below - denominators) - value)


def ratios(numerators: NDArray[np.float64], denominators: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide sums over all images but a group's, (G,), by others: NaN where the denominator is 0."""
    divided: NDArray[np.float64] = np.full_like(denominators, np.nan)
    return np.divide(numerators, denominators, out=divided, where=denominators > 0)


def mean(statistics: Iterable[Statistic], absent: str = "there is nothing to average") -> Statistic:
    """Average the statistics that are known, as of blocks, and their deviations. If none is, the mean is null with the
    first one's reason, or with ``absent`` where none has one.

    >>> mean([Statistic(1.0), Statistic(None, "too few cells"), Statistic(2.0)])
    Statistic(value=1.5, reason=None)
    >>> mean([]).reason
    'there is nothing to average'
    """
    statistics = list(statistics)
    known = [(each.value, each.deviations) for each in statistics if each.value is not None]
    if not known:
        return Statistic(None, next((each.reason for each in statistics if each.reason), absent))
    moved = [each for _, each in known if each is not None]
    same_groups = len(moved) == len(known) and len({len(each) for each in moved}) == 1
    return Statistic(fmean(value for value, _ in known), None, np.mean(moved, axis=0) if same_groups else None)
