"""The scores of one transform, of one block, and of one part of the depth."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field

from zooaudit.contract.base import Contract, Count, Signed, Unit, omit_none
from zooaudit.contract.second_opinion import SecondOpinion

PartName = Literal["Early", "Middle", "Late", "Pool", "Final"]
PARTS: tuple[PartName, ...] = ("Early", "Middle", "Late", "Pool", "Final")
TransformName = Literal[
    "translation", "rotation", "reflection", "warp_translation", "warp_rotation", "warp_scale", "warp_shear"
]
TRANSFORMS: tuple[TransformName, ...] = ("translation", "rotation")
"""The transforms that every report has scores of, be they null. The others are there where they were asked for."""
WarpKind = Literal["translation", "rotation", "scale", "shear"]
WARPS: dict[WarpKind, TransformName] = {
    "translation": "warp_translation",
    "rotation": "warp_rotation",
    "scale": "warp_scale",
    "shear": "warp_shear",
}
"""The names of the warps of each kind among the transforms."""
KINDS: dict[TransformName, WarpKind] = {name: kind for kind, name in WARPS.items()}
"""The kind of the warps with each of these names."""
ALL_TRANSFORMS: tuple[TransformName, ...] = (*TRANSFORMS, "reflection", *WARPS.values())
Direction = Literal["diagonal", "right", "down"]
"""Where the content of an image goes when it is shifted; "diagonal" is right and down by the same amount."""
Axis = Literal["horizontal", "vertical"]
"""How an image is reflected: left to right ("horizontal"), or top to bottom."""
ScoreName = Literal["channel", "layer"]
SCORES: tuple[ScoreName, ...] = ("channel", "layer")


HeldOut = Annotated[
    Unit | None,
    Field(
        description="As layer, but each channel's partner is chosen on other images than those it is compared on, so "
        "that chance raises nothing; absent where the images are too few, and in reports from before it was measured."
    ),
]


Each = TypeVar("Each")


class ByTransform(Contract, Generic[Each]):
    """Something of each kind of transform. What was not asked for is absent, but for shifts and rotations, which are
    null then."""

    translation: Each
    rotation: Each
    reflection: Each | None = Field(default=None, exclude_if=omit_none)
    warp_translation: Each | None = Field(default=None, exclude_if=omit_none)
    warp_rotation: Each | None = Field(default=None, exclude_if=omit_none)
    warp_scale: Each | None = Field(default=None, exclude_if=omit_none)
    warp_shear: Each | None = Field(default=None, exclude_if=omit_none)


class Score(Contract):
    """Channel and layer equivariance, each with its 95 % confidence interval over images; an interval is null where
    the images are too few for one. Only Final has ``top1_agreement``, the mean over the transforms."""

    channel: Unit | None
    channel_interval: tuple[Unit, Unit] | None = None
    layer: Unit | None
    layer_interval: tuple[Unit, Unit] | None = None
    layer_held_out: HeldOut = Field(default=None, exclude_if=omit_none)
    layer_held_out_interval: tuple[Unit, Unit] | None = Field(default=None, exclude_if=omit_none)
    top1_agreement: Unit | None = Field(default=None, exclude_if=omit_none)
    top1_agreement_interval: tuple[Unit, Unit] | None = Field(default=None, exclude_if=omit_none)
    reason: str | None = Field(default=None, exclude_if=omit_none)


class ShiftRow(Contract):
    """The scores under one shift. Only Final has ``top1_agreement``."""

    shift_px: int
    channel: Unit | None
    layer: Unit | None
    layer_held_out: HeldOut = Field(default=None, exclude_if=omit_none)
    reason: str | None = Field(default=None, exclude_if=omit_none)
    top1_agreement: Unit | None = Field(default=None, exclude_if=omit_none)
    top1_agreement_interval: tuple[Unit, Unit] | None = Field(default=None, exclude_if=omit_none)


class AngleRow(Contract):
    """The scores under one counter-clockwise rotation. Only Final has ``top1_agreement``."""

    angle_deg: int
    channel: Unit | None
    layer: Unit | None
    layer_held_out: HeldOut = Field(default=None, exclude_if=omit_none)
    reason: str | None = Field(default=None, exclude_if=omit_none)
    top1_agreement: Unit | None = Field(default=None, exclude_if=omit_none)
    top1_agreement_interval: tuple[Unit, Unit] | None = Field(default=None, exclude_if=omit_none)


class MirrorRow(Contract):
    """The scores under one reflection. Only Final has ``top1_agreement``."""

    axis: Axis
    channel: Unit | None
    layer: Unit | None
    layer_held_out: HeldOut = Field(default=None, exclude_if=omit_none)
    reason: str | None = Field(default=None, exclude_if=omit_none)
    top1_agreement: Unit | None = Field(default=None, exclude_if=omit_none)
    top1_agreement_interval: tuple[Unit, Unit] | None = Field(default=None, exclude_if=omit_none)


class WarpRow(Contract):
    """The scores under one warp. Only Final has ``top1_agreement``.

    ``amount``         in pixels or degrees, or a factor of scale, or of shear
    ``interpolation``  the mean over channels of the correlation of the map with itself, warped and warped back: what
                       it lacks to 1 is lost to interpolation, whatever the network does
    """

    amount: float
    channel: Unit | None
    layer: Unit | None
    layer_held_out: HeldOut = Field(default=None, exclude_if=omit_none)
    interpolation: Signed | None = None
    reason: str | None = Field(default=None, exclude_if=omit_none)
    top1_agreement: Unit | None = Field(default=None, exclude_if=omit_none)
    top1_agreement_interval: tuple[Unit, Unit] | None = Field(default=None, exclude_if=omit_none)


class Aligned(Contract):
    """The mean over those shifts that are a whole number of a block's cells. ``shifts`` counts them: for a block among
    the requested shifts, for a part over all of its blocks."""

    channel: Unit | None
    layer: Unit | None
    shifts: Count
    reason: str | None = Field(default=None, exclude_if=omit_none)


class TranslationScore(Score):
    aligned: Aligned | None = None
    by_transform: tuple[ShiftRow, ...]


class RotationScore(Score):
    by_transform: tuple[AngleRow, ...]


class ReflectionScore(Score):
    by_transform: tuple[MirrorRow, ...]


class WarpScore(Score):
    """``interpolation`` is the mean over the warps, as in :class:`WarpRow`."""

    interpolation: Signed | None = None
    by_transform: tuple[WarpRow, ...]


class Part(Contract):
    """The scores of one of the five parts of the depth: the mean over its blocks. ``reflection``, the warps and
    ``second_opinion`` are absent unless they were asked for."""

    blocks: Count
    translation: TranslationScore
    rotation: RotationScore
    reflection: ReflectionScore | None = Field(default=None, exclude_if=omit_none)
    warp_translation: WarpScore | None = Field(default=None, exclude_if=omit_none)
    warp_rotation: WarpScore | None = Field(default=None, exclude_if=omit_none)
    warp_scale: WarpScore | None = Field(default=None, exclude_if=omit_none)
    warp_shear: WarpScore | None = Field(default=None, exclude_if=omit_none)
    second_opinion: SecondOpinion | None = Field(default=None, exclude_if=omit_none)
