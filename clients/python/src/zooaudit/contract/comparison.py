"""Several reports side by side, and how their scores go with accuracy."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from zooaudit.contract.base import Contract, Signed, omit_none
from zooaudit.contract.report import Border
from zooaudit.contract.scores import PartName, Score

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects


class SharedMethod(Contract):
    """What the compared audits have in common, without which their scores could not be compared."""

    protocol: str
    similarity: Literal["correlation", "cosine"]
    border: Border
    translations_px: tuple[int, ...]
    rotations_deg: tuple[int, ...]
    precision: Literal["float32", "tf32", "bfloat16"]
    tolerance: float | None
    dataset: str
    num_images: int
    seed: int


class ComparedPart(Contract):
    translation: Score
    rotation: Score


class ComparedAudit(Contract):
    """One row of the table. ``imagenet_top1`` is per cent: the zoo's figure, or what the request gives instead."""

    id: str
    model: str
    family: str
    weights: Annotated[str, Field(description="pretrained, untrained, or checkpoint:NAME@VERSION.")]
    parameters: int
    input_size: int
    imagenet_top1: float | None
    images: int
    parts: dict[PartName, ComparedPart]


class AccuracyRelation(Contract):
    """How one score goes with ImageNet top-1 accuracy over the ``models`` that have both.

    ``spearman`` is Spearman's rho with its 95 % ``interval`` (null at rho = ±1, which has none) and two-sided
    ``p_value``. The line ``intercept`` + ``slope`` x top-1, in per cent, is least squares; ``residuals``, by audit id,
    are what a score is above it: equivariance given accuracy. What is null has its ``reason``.
    """

    models: int
    spearman: Signed | None
    interval: tuple[Signed, Signed] | None
    p_value: Annotated[float, Field(ge=0, le=1)] | None
    slope: float | None
    intercept: float | None
    residuals: dict[str, float]
    reason: str | None = Field(default=None, exclude_if=omit_none)


class RelatedScores(Contract):
    channel: AccuracyRelation
    layer: AccuracyRelation


class RelatedPart(Contract):
    translation: RelatedScores
    rotation: RelatedScores


class Comparison(Contract):
    """Audits of one method on the same images, in the order asked for, and how their scores go with accuracy."""

    method: SharedMethod
    audits: tuple[ComparedAudit, ...]
    accuracy: dict[PartName, RelatedPart]

    def to_dataframe(self) -> "pandas.DataFrame":
        """Every score and interval in long form, a row for each audit, ``part`` and ``kind`` ("translation" or
        "rotation"); needs pandas.

        ``channel_residual`` and ``layer_residual`` are what a score is above the line over ``imagenet_top1``.
        """
        from zooaudit.views.frames import comparison_frame

        return comparison_frame(self)

    def accuracy_dataframe(self) -> "pandas.DataFrame":
        """How each score goes with accuracy, a row for each ``part``, ``kind`` and ``score`` ("channel" or "layer"):
        ``spearman`` with its interval ``low`` to ``high``, and the line; needs pandas."""
        from zooaudit.views.frames import accuracy_frame

        return accuracy_frame(self)

    def __repr__(self) -> str:
        from zooaudit.views.comparison_tables import comparison_tables
        from zooaudit.views.tables import plain

        return plain(comparison_tables(self)[:3])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from zooaudit.views.comparison_tables import comparison_tables
        from zooaudit.views.tables import html

        return html(comparison_tables(self))

    def plot(self, kind: Literal["accuracy", "parts"] = "accuracy") -> "plotly.graph_objects.Figure":
        """A figure: see :mod:`zooaudit.views.figures`. Needs ``zooaudit[plot]``."""
        from zooaudit.views import figures

        if kind not in ("accuracy", "parts"):
            raise ValueError(f"there is no figure {kind!r} of a comparison: accuracy, or parts")
        return figures.draw(figures.accuracy(self) if kind == "accuracy" else figures.parts(self.audits))
