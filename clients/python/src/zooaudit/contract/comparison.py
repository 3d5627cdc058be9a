"""Several reports side by side, and how their scores relate to ImageNet accuracy."""

from typing import Annotated, Literal

from pydantic import Field

from zooaudit.contract.base import Contract, Signed, omit_default_direction, omit_empty, omit_none
from zooaudit.contract.report import Border, Estimate, Report, ReportHead
from zooaudit.contract.request import Deformations, Warps, transforms_named
from zooaudit.contract.scores import (
    KINDS,
    Aligned,
    Axis,
    ByTransform,
    Direction,
    PartName,
    Score,
    TransformName,
)
from zooaudit.contract.second_opinion import Consistency, SecondOpinion


class SharedMethod(Contract):
    """The settings that all compared audits share; scores under different settings cannot be compared."""

    protocol: str
    similarity: Literal["correlation", "cosine"]
    border: Border
    translations_px: tuple[int, ...]
    direction: Direction = Field(default="diagonal", exclude_if=omit_default_direction)
    rotations_deg: tuple[int, ...]
    reflections: tuple[Axis, ...] = Field(default=(), exclude_if=omit_empty)
    warps: tuple[Warps, ...] = Field(default=(), exclude_if=omit_empty)
    deformation: Deformations | None = Field(default=None, exclude_if=omit_none)
    local: bool = Field(default=False, exclude_if=omit_empty)
    consistency_draws: int = Field(default=0, exclude_if=omit_empty)
    variance: bool = Field(default=False, exclude_if=omit_empty)
    precision: Literal["float32", "tf32", "bfloat16"]
    tolerance: float | None
    dataset: str
    num_images: int
    seed: int

    @property
    def transforms(self) -> tuple[TransformName, ...]:
        """The transforms that all compared audits have scores of, be they null."""
        return transforms_named(self.reflections, self.warps)


class ComparedTranslation(Score):
    aligned: Aligned | None = Field(default=None, exclude_if=omit_none)


class ComparedWarp(Score):
    """``interpolation`` is that of :class:`WarpScore`: models lose unlike amounts to it, by the sizes of their maps."""

    interpolation: Signed | None = Field(default=None, exclude_if=omit_none)


class ComparedPart(Contract):
    translation: ComparedTranslation
    rotation: Score
    reflection: Score | None = Field(default=None, exclude_if=omit_none)
    warp_translation: ComparedWarp | None = Field(default=None, exclude_if=omit_none)
    warp_rotation: ComparedWarp | None = Field(default=None, exclude_if=omit_none)
    warp_scale: ComparedWarp | None = Field(default=None, exclude_if=omit_none)
    warp_shear: ComparedWarp | None = Field(default=None, exclude_if=omit_none)
    second_opinion: SecondOpinion | None = Field(default=None, exclude_if=omit_none)


class ComparedAudit(Contract):
    """One audit of the comparison. ``imagenet_top1``, in per cent, is the zoo's unless the request gives another."""

    id: str
    model: str
    family: str
    weights: Annotated[str, Field(description="pretrained, untrained, or checkpoint:NAME@VERSION.")]
    parameters: int
    input_size: int
    imagenet_top1: float | None
    images: int
    parts: dict[PartName, ComparedPart]
    consistency: Consistency | None = Field(default=None, exclude_if=omit_none)


def shared_method(report: Report | ReportHead) -> SharedMethod:
    """Return the part of the method that all compared reports must share.

    When a report has both similarities or all borders, its main parts are by the correlation and under border "crop".
    Canvas and resize are left out: they belong to each model's preprocessing.
    """
    method, images = report.method, report.images
    return SharedMethod(
        protocol=report.protocol,
        similarity="correlation" if method.similarity == "both" else method.similarity,
        border="crop" if method.border == "all" else method.border,
        translations_px=method.translations_px,
        direction=method.direction,
        rotations_deg=method.rotations_deg,
        reflections=method.reflections,
        warps=method.warps,
        deformation=method.deformation,
        local=method.local,
        consistency_draws=method.consistency_draws,
        variance=method.variance,
        precision=method.precision,
        tolerance=method.tolerance,
        dataset=images.dataset,
        num_images=images.requested or images.count + len(images.skipped),
        seed=images.seed,
    )


def compared_audit(report: Report | ReportHead, top1: float | None = None) -> ComparedAudit:
    """Return what a comparison shows of ``report``. ``top1``, in per cent, replaces the zoo's figure."""
    model = report.model
    return ComparedAudit(
        id=report.id,
        model=model.name,
        family=model.family,
        weights=model.weights.label,
        parameters=model.parameters,
        input_size=model.input_size,
        imagenet_top1=model.imagenet_top1 if top1 is None else top1,
        images=report.images.count,
        parts={
            name: ComparedPart(
                translation=ComparedTranslation(
                    **dict(_bare_score(part.translation)), aligned=part.translation.aligned
                ),
                rotation=_bare_score(part.rotation),
                reflection=None if part.reflection is None else _bare_score(part.reflection),
                **{
                    name: ComparedWarp(**dict(_bare_score(warp)), interpolation=warp.interpolation)
                    for name in KINDS
                    if (warp := getattr(part, name)) is not None
                },
                second_opinion=part.second_opinion,
            )
            for name, part in report.parts.items()
        },
        consistency=report.consistency,
    )


def _bare_score(score: Score) -> Score:
    """Copy the score without its rows by transform."""
    return Score(**{field: getattr(score, field) for field in Score.model_fields})


class AccuracyRelation(Contract):
    """How one score relates to ImageNet top-1 accuracy over the ``models`` that have both.

    ``spearman`` is Spearman's rho, with its 95 % ``interval`` (null at rho = ±1, where none exists) and its two-sided
    ``p_value``. The least-squares line is ``intercept`` + ``slope`` x top-1, in per cent. ``residuals`` says, by audit
    id, how far a score lies above that line: equivariance given accuracy. ``reason`` says why a value is null.
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


class RelatedPart(ByTransform[RelatedScores]):
    """One for each kind of transform."""


class Difference(Estimate):
    """A score of one audit less that of another on the same images, with its paired 95 % interval over images.

    ``p_value`` is that of Student's t test of no difference, ``p_adjusted`` the same by Holm (1979) over all audits
    that are set against the reference. ``differs`` tells whether p_adjusted is below 0.05; where it is not, the two
    are a tie. ``reason`` says why a value is null.
    """

    p_value: Annotated[float, Field(ge=0, le=1)] | None
    p_adjusted: Annotated[float, Field(ge=0, le=1)] | None
    differs: bool | None


class DifferentScores(Contract):
    """The differences of one part under one transform. Only Final has ``top1_agreement``."""

    channel: Difference
    layer: Difference
    layer_held_out: Difference
    top1_agreement: Difference | None = Field(default=None, exclude_if=omit_none)


class DifferentPart(ByTransform[DifferentScores]):
    """One for each kind of transform."""


class DifferentAudit(Contract):
    """The scores of the audit ``id`` less those of the reference, for the parts that both have."""

    id: str
    parts: dict[PartName, DifferentPart]


class Differences(Contract):
    """The difference of each other audit from the one with the id ``reference``."""

    reference: str
    audits: tuple[DifferentAudit, ...]


class Comparison(Contract):
    """Audits of one method on the same images, in the requested order, how their scores relate to accuracy, and how
    they differ from those of one audit, the reference."""

    method: SharedMethod
    audits: tuple[ComparedAudit, ...]
    accuracy: dict[PartName, RelatedPart]
    differences: Differences | None = Field(default=None, exclude_if=omit_none)
