"""The thesis's claims, the statistics that decide them, and what was measured."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field
from zooaudit.contract.base import Contract

from experiments.estimates import Estimate

Region = tuple[float | None, float | None]
"""The lowest and the highest number of a region, null where it has no end."""
POSITIVE: Region = (math.nextafter(0.0, 1.0), None)
NEGATIVE: Region = (None, math.nextafter(0.0, -1.0))
MARGIN = 0.05
"""By how much two scores may differ that the thesis calls similar, or without a visible difference."""
SIMILAR: Region = (-MARGIN, MARGIN)


class Verdict(StrEnum):
    HOLDS = "holds"
    DOES_NOT = "does not hold"
    UNDECIDED = "not decidable"


class Measured(Contract):
    """The statistic of a claim in one case, such as one part of the depth."""

    case: str
    estimate: Estimate


class Claim(Contract):
    """One claim: in each case that was ``measured``, the ``statistic`` lies in the ``region``, its ends included."""

    source: Annotated[str, Field(description="The section or figure of the thesis.")]
    sentence: Annotated[str, Field(description="What the thesis says, in our words.")]
    statistic: str
    region: Region
    measured: tuple[Measured, ...]
    verdict: Verdict


def claim(source: str, sentence: str, statistic: str, region: Region, measured: Mapping[str, Estimate]) -> Claim:
    """Make a claim of the statistic in each case, and decide it.

    It holds if it holds in every case, and does not if it does not in one; else the cases do not decide it.
    """
    verdicts = {decide(estimate, region) for estimate in measured.values()}
    if Verdict.DOES_NOT in verdicts:
        verdict = Verdict.DOES_NOT
    else:
        verdict = Verdict.HOLDS if verdicts == {Verdict.HOLDS} else Verdict.UNDECIDED
    return Claim(
        source=source,
        sentence=sentence,
        statistic=statistic,
        region=region,
        measured=tuple(Measured(case=case, estimate=estimate) for case, estimate in measured.items()),
        verdict=verdict,
    )


def decide(estimate: Estimate, region: Region) -> Verdict:
    """Decide whether a statistic lies in the region.

    It does if its whole interval lies there, and does not if its whole interval lies elsewhere. An interval across a
    border of the region, or no interval, decides nothing.

    >>> decide(Estimate(value=0.2, interval=(0.1, 0.3)), POSITIVE).value
    'holds'
    >>> decide(Estimate(value=0.0, interval=(-0.1, 0.1)), POSITIVE).value
    'not decidable'
    """
    if estimate.interval is None:
        return Verdict.UNDECIDED
    low, high = estimate.interval
    lowest, highest = (-math.inf if region[0] is None else region[0]), (math.inf if region[1] is None else region[1])
    if lowest <= low and high <= highest:
        return Verdict.HOLDS
    return Verdict.DOES_NOT if high < lowest or highest < low else Verdict.UNDECIDED
