"""The request for an audit, and the id that follows from it.

>>> request = AuditRequest(model="timm/resnet50.a1_in1k", num_images=100)
>>> request.rotations_deg
(90, 180, 270)
>>> audit_id(request) == audit_id(request.model_copy(update={"priority": "high"}))
True
>>> other_order = AuditRequest(model="timm/resnet50.a1_in1k", num_images=100, rotations_deg=[270, 180, 90])
>>> audit_id(request) == audit_id(other_order)
True
"""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from zooaudit.contract.base import Contract, omit_default_direction, omit_empty, omit_none
from zooaudit.contract.callbacks import CallbackUrl
from zooaudit.contract.mistakes import else_said
from zooaudit.contract.scores import ALL_TRANSFORMS, TRANSFORMS, WARPS, Axis, Direction, TransformName, WarpKind

PROTOCOL = "2"
"""Version of the measure. It enters every audit's id: another measure is another audit."""
FIRST_PROTOCOL = "1"
"""The version of what could be measured from the first, whose ids and reports stay what they are."""
MAX_SHIFT_PX = 128
MAX_IMAGES = 100_000

MAX_AMOUNTS = 36
"""Of one kind of warp."""
WARP_LIMITS: dict[WarpKind, tuple[float, float]] = {
    "translation": (-MAX_SHIFT_PX, MAX_SHIFT_PX),
    "rotation": (-180.0, 180.0),
    "scale": (0.8, 1.25),
    "shear": (-0.3, 0.3),
}

Priority = Literal["low", "normal", "high"]


def _is_normal(priority: str) -> bool:
    """Keep the default priority out of the JSON, which then is what it was before there were priorities."""
    return priority == "normal"


def _distinct_ascending(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("each value may be given only once")
    return tuple(sorted(values))


LEAST_GAP = 0.001
"""Amounts that differ by less are one, as people read them."""


def _apart_ascending(amounts: tuple[float, ...]) -> tuple[float, ...]:
    if not amounts:
        raise ValueError("give at least one value")
    ascending: tuple[float, ...] = _distinct_ascending(tuple(amount + 0.0 for amount in amounts))  # no -0.0
    if any(higher - lower < LEAST_GAP for lower, higher in pairwise(ascending)):
        raise ValueError(f"values must differ by {LEAST_GAP} or more")
    return ascending


class Warps(Contract):
    """Transforms that need interpolation, about the middle of the view: real shifts (px, down and right), rotations
    (degrees, counter-clockwise), scales (factors), shears (of x by y)."""

    kind: WarpKind
    amounts: Annotated[
        tuple[Annotated[float, Field(strict=True)], ...],
        Field(max_length=MAX_AMOUNTS, description="Each once.", json_schema_extra={"uniqueItems": True, "minItems": 1}),
    ]

    @field_validator("amounts")
    @classmethod
    def _apart_ascending(cls, amounts: tuple[float, ...]) -> tuple[float, ...]:
        return _apart_ascending(amounts)

    @model_validator(mode="after")
    def _within_limits(self) -> "Warps":
        low, high = WARP_LIMITS[self.kind]
        if not low <= min(self.amounts) <= max(self.amounts) <= high:
            raise ValueError(f"the amounts of {self.kind} are from {low:g} to {high:g}")
        if self.kind == "rotation" and low in self.amounts:
            raise ValueError(f"a rotation by {low:g} degrees is one by {high:g}: ask for that")
        return self


def by_kind(warps: tuple[Warps, ...]) -> tuple[Warps, ...]:
    """Sort warps by their kinds. Raises ValueError if a kind is there twice."""
    if len({each.kind for each in warps}) != len(warps):
        raise ValueError("each kind of warps may be given only once, with all of its amounts")
    return tuple(sorted(warps, key=lambda each: each.kind))


class Deformations(Contract):
    """Smooth random deformations: their mean displacements, and the highest frequency of their sine waves."""

    displacements_px: Annotated[
        tuple[Annotated[float, Field(gt=0, le=16, strict=True)], ...],
        Field(max_length=8, description="Each once.", json_schema_extra={"uniqueItems": True, "minItems": 1}),
    ] = (0.5, 1.0, 2.0, 4.0)
    cutoff: Annotated[int, Field(ge=2, le=16, strict=True)] = 3

    @field_validator("displacements_px")
    @classmethod
    def _apart_ascending(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return _apart_ascending(values)


class AuditRequest(Contract):
    """What to audit and how. Only ``model`` is required.

    Transforms are sets, kept in ascending order, so that the same question always has the same id.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "timm/resnext101_32x8d.tv_in1k"},
                {"model": "torchvision/vit_b_16", "weights": "untrained", "dataset": "synthetic", "num_images": 64},
            ]
        }
    )

    model: Annotated[
        str,
        Field(
            max_length=128,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$",
            description="timm/NAME[.TAG], torchvision/NAME, or own/NAME, which the operator has registered; a bare "
            "NAME means timm if timm has it, else torchvision, else one of the operator's own.",
        ),
        else_said("a model's name, such as timm/resnet50: letters, digits and the signs . _ -, and one / at most"),
    ]
    weights: Annotated[
        str,
        Field(
            max_length=128,
            pattern=r"^(pretrained|untrained|checkpoint:[A-Za-z0-9][A-Za-z0-9._-]*)$",
            description="pretrained (the weights that the zoo publishes), untrained (seed 0), or checkpoint:NAME.",
        ),
        else_said("pretrained, untrained or checkpoint:NAME, with a NAME of letters, digits and the signs . _ -"),
    ] = "pretrained"
    checkpoint_version: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=r"^[0-9a-f]+$",
            description="Version of the content of checkpoint:NAME, as in reports; by default the present one.",
        ),
        else_said("the version of a checkpoint, which is of hexadecimal digits in lower case"),
    ] = Field(default=None, exclude_if=omit_none)
    dataset: Annotated[
        str,
        Field(
            max_length=64,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            description="A data set that the operator has configured, or the built-in 'synthetic'.",
        ),
        else_said("the name of a data set, which is of letters, digits and the signs . _ -"),
    ] = "imagenet-val"
    num_images: Annotated[int, Field(ge=1, le=MAX_IMAGES, strict=True)] = 2000
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, strict=True, description="Chooses the sample of images.")] = 0
    translations_px: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_SHIFT_PX, strict=True)], ...],
        Field(
            max_length=MAX_SHIFT_PX,
            description="Shifts, in input pixels, each once.",
            json_schema_extra={"uniqueItems": True},
        ),
    ] = tuple(range(1, 33))
    direction: Annotated[
        Direction,
        Field(description="Where shifts move the content: right and down at once (diagonal), or only one of the two."),
    ] = Field(default="diagonal", exclude_if=omit_default_direction)
    rotations_deg: Annotated[
        tuple[Literal[90, 180, 270], ...],
        Field(
            max_length=3,
            description="Counter-clockwise rotations, in degrees, each once.",
            json_schema_extra={"uniqueItems": True},
        ),
    ] = (90, 180, 270)
    reflections: Annotated[
        tuple[Axis, ...],
        Field(
            max_length=2,
            description="Reflections, each once: horizontal (left to right), vertical (top to bottom).",
            json_schema_extra={"uniqueItems": True},
        ),
    ] = Field(default=(), exclude_if=omit_empty)
    warps: Annotated[
        tuple[Warps, ...],
        Field(max_length=len(WARP_LIMITS), description="Transforms that need interpolation; each kind once."),
    ] = Field(default=(), exclude_if=omit_empty)
    deformation: Annotated[
        Deformations | None, Field(description="Also measure how stable the network is to random deformations.")
    ] = Field(default=None, exclude_if=omit_none)
    local: Annotated[
        bool, Field(strict=True, description="Also measure the local equivariance error, of five generators.")
    ] = Field(default=False, exclude_if=omit_empty)
    consistency_draws: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            strict=True,
            description="Also measure the shift consistency, with so many pairs of windows of each image (usually 5).",
        ),
    ] = Field(default=0, exclude_if=omit_empty)
    variance: Annotated[
        bool,
        Field(strict=True, description="Also measure the variance over the transforms by the variance over images."),
    ] = Field(default=False, exclude_if=omit_empty)
    similarity: Annotated[
        Literal["correlation", "cosine", "both"],
        Field(description='How feature maps are compared; "both" adds the cosine to the correlation at no extra cost.'),
    ] = "correlation"
    border: Annotated[
        Literal["crop", "zero", "circular", "all"],
        Field(
            description="What fills the border of a shifted image: real pixels, zeros, or the opposite side; "
            '"all" gives the scores of the parts under each.'
        ),
    ] = "crop"
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"],
        Field(description="Precision of the forward passes; statistics are kept in float32 or better."),
    ] = "float32"
    tolerance: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Stop as soon as the 95 % confidence interval of every part's score is at most this wide; "
            "num_images is then an upper limit.",
        ),
    ] = None
    baseline: Annotated[
        bool, Field(strict=True, description="Also measure the untrained architecture on the same images.")
    ] = False
    baseline_seeds: Annotated[
        int, Field(ge=1, le=10, strict=True, description="Number of untrained initialisations, with seeds 0, 1, ...")
    ] = 1
    repetition: Annotated[
        int, Field(ge=0, le=9999, strict=True, description="Another number runs the same audit once more.")
    ] = 0
    priority: Annotated[
        Priority,
        Field(description="Where the audit waits: high before normal before low. It is no part of the audit's id."),
    ] = Field(default="normal", exclude_if=_is_normal)
    callback_url: Annotated[
        CallbackUrl | None,
        Field(
            description="Told of the audit's end by a signed POST. It is no part of the audit, which never shows it."
        ),
    ] = Field(default=None, exclude_if=omit_none)

    @field_validator("translations_px", "rotations_deg", "reflections")
    @classmethod
    def _distinct_ascending(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return _distinct_ascending(values)

    @field_validator("warps")
    @classmethod
    def _kinds_once(cls, warps: tuple[Warps, ...]) -> tuple[Warps, ...]:
        return by_kind(warps)

    @model_validator(mode="after")
    def _at_least_one_transform(self) -> "AuditRequest":
        if not (self.translations_px or self.rotations_deg or self.reflections or self.warps):
            raise ValueError("ask for at least one translation, rotation, reflection or warp")
        return self

    @model_validator(mode="after")
    def _direction_needs_shifts(self) -> "AuditRequest":
        if self.direction != "diagonal" and not self.translations_px:
            raise ValueError("direction goes with translations_px")
        return self

    @model_validator(mode="after")
    def _version_needs_a_checkpoint(self) -> "AuditRequest":
        if self.checkpoint_version is not None and not self.weights.startswith("checkpoint:"):
            raise ValueError("checkpoint_version goes with weights checkpoint:NAME")
        return self

    @model_validator(mode="after")
    def _baseline_needs_other_weights(self) -> "AuditRequest":
        if self.baseline and self.weights == "untrained":
            raise ValueError("the untrained architecture is its own baseline: ask for other weights, or for none")
        if self.baseline_seeds > 1 and not self.baseline:
            raise ValueError("baseline_seeds goes with baseline: true")
        return self


def protocol_of(request: AuditRequest) -> str:
    """Return the version of the measure that ``request`` needs: the first, unless it asks for what came later.

    >>> protocol_of(AuditRequest(model="timm/resnet50.a1_in1k"))
    '1'
    >>> protocol_of(AuditRequest(model="timm/resnet50.a1_in1k", reflections=["horizontal"]))
    '2'
    """
    later = (
        request.reflections,
        request.direction != "diagonal",
        request.warps,
        request.deformation,
        request.local,
        request.consistency_draws,
        request.variance,
    )
    return PROTOCOL if any(later) else FIRST_PROTOCOL


def audit_id(request: AuditRequest) -> str:
    """Return the content address of an audit: 32 hex digits of SHA-256 over the protocol and the canonical request.

    The priority and the callback are left out: they say when to measure and whom to tell, not what to measure.
    """
    canonical = f"{protocol_of(request)}\n{request.model_dump_json(exclude={'priority', 'callback_url'})}"
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def transforms_named(reflections: Sequence[Axis], warps: Sequence[Warps]) -> tuple[TransformName, ...]:
    """Return the transforms that a report has scores of, be they null, where these were asked for.

    >>> transforms_named((), [Warps(kind="rotation", amounts=(15, 30))])
    ('translation', 'rotation', 'warp_rotation')
    """
    kinds = {each.kind for each in warps}
    asked = {*TRANSFORMS, *(["reflection"] if reflections else []), *(WARPS[kind] for kind in kinds)}
    return tuple(name for name in ALL_TRANSFORMS if name in asked)
