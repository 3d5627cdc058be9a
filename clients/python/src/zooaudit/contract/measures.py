"""Whether measures agree: the rank correlation of any two, over the depth of one network or over models."""

from typing import Annotated, Literal

from pydantic import Field

from zooaudit.contract.base import Contract, Count, Signed, omit_none

Level = Literal["blocks", "depth", "Early", "Middle", "Late", "Pool", "Final"]
"""Where measures are held against each other: at the blocks of one audit; or over models, by their means over Early,
Middle and Late ("depth") or at one part."""


class Measure(Contract):
    """One way to measure a network: ``name`` tells it apart in code, ``label`` is for people, and ``term`` explains it,
    a key of TERMS.

    ``lower_is_better`` is true of errors, of R and of variance, which are lower for the more equivariant network. They
    are turned around before they are correlated, so that a rho of +1 means for any two measures that they agree.
    """

    name: str
    label: str
    term: str
    lower_is_better: bool


class MeasurePair(Contract):
    """Spearman's rho of two measures, by name, over the ``n`` blocks or models that have both.

    ``rho`` is +1 where both put these in the same order of equivariance, whichever of them is ``lower_is_better``.
    ``reason`` says why rho or its 95 % ``interval`` is null: with fewer than 4, where a measure is the same for all,
    and for the interval at rho = ±1.
    """

    first: str
    second: str
    rho: Signed | None
    interval: tuple[Signed, Signed] | None
    n: Count
    reason: str | None = Field(default=None, exclude_if=omit_none)


class MeasureMatrix(Contract):
    """The correlations of all measures at one level, each pair once, in the order of the measures.

    ``points`` counts the blocks or models of the level. A measure that none of them has is left out. ``summary`` says
    in a line what the matrix says.
    """

    level: Level
    points: Count
    measures: tuple[Measure, ...]
    pairs: tuple[MeasurePair, ...]
    summary: str


class MeasureAgreement(Contract):
    """Whether measures agree ``over`` the blocks of one audit, Early to Late, or over the models of several.

    An audit has one matrix, at the level "blocks". A comparison has one for each part, and before them that of each
    model's mean over Early, Middle and Late, "depth". ``notes`` say how to read them: the blocks of one network are
    not independent of each other, nor are the models of one family, so the intervals are too narrow.
    """

    over: Literal["blocks", "models"]
    audits: tuple[str, ...]
    models: Annotated[tuple[str, ...], Field(description="The models' names, in the order of the audits.")]
    matrices: tuple[MeasureMatrix, ...]
    notes: tuple[str, ...]
