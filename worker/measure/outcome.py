"""What measuring gives, and how it is seen: as tables of scores, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from zooaudit.contract import BORDERS, AuditRequest, Border

from worker.measure.forward import Shape, Subject
from worker.measure.jackknife import half_width
from worker.measure.moments import Spread
from worker.measure.scores import Results, Scores, tabulate
from worker.measure.similarity import Score, Similarity
from worker.measure.transforms import Transform


@dataclass(frozen=True)
class Outcome:
    """What measuring one model gave: scores, on which share of the images the top-1 class stayed, the spreads of the
    reference view's representations, how many images there were in each group, and which could not be decoded."""

    results: Results
    agreements: Mapping[Transform, float]
    reference: Sequence[Spread]
    groups: Sequence[int]
    skipped: tuple[str, ...]

    @property
    def images(self) -> int:
        return sum(self.groups)


@dataclass(frozen=True)
class Frame:
    """What the tables of one audit have in common."""

    request: AuditRequest
    subject: Subject
    plan: Sequence[Shape]
    size: int

    def borders(self) -> tuple[Border, ...]:
        """The borders asked for; that of ``parts`` and ``blocks`` first."""
        return BORDERS if self.request.border == "all" else (self.request.border,)

    def similarities(self) -> tuple[Similarity, ...]:
        """The similarities asked for; that of ``parts`` and ``blocks`` first."""
        return ("correlation", "cosine") if self.request.similarity == "both" else (self.request.similarity,)

    def table(self, results: Results, similarity: Similarity | None = None, border: Border | None = None) -> Scores:
        return tabulate(
            results,
            self.plan,
            self.subject.depth,
            self.size,
            similarity or self.similarities()[0],
            border or self.borders()[0],
        )


def intervals(score: Score, groups: Sequence[int]) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """The 95 % confidence intervals of the channel and the layer score, within [0, 1]."""
    if score.deviations is None or score.channel is None or score.layer is None:
        return None, None
    channel, layer = (
        interval(value, deviations, groups, 0.0)
        for value, deviations in zip((score.channel, score.layer), score.deviations, strict=True)
    )
    return channel, layer


def interval(
    value: float, deviations: NDArray[np.float64], groups: Sequence[int], lowest: float
) -> tuple[float, float] | None:
    half = half_width(deviations, groups)
    return None if half is None else (max(lowest, value - half), min(1.0, value + half))
