"""Scores: of a transform, of a representation, of a part of the depth."""

from typing import Literal

from pydantic import Field

from zooaudit.contract.base import Contract, Unit, omit_none

PartName = Literal["Early", "Middle", "Late", "Pool", "Final"]
PARTS: tuple[PartName, ...] = ("Early", "Middle", "Late", "Pool", "Final")


class Score(Contract):
    """Channel and layer equivariance, each with its 95 % confidence interval over images; an interval is null where
    there are too few images for one."""

    channel: Unit | None
    channel_interval: tuple[Unit, Unit] | None = None
    layer: Unit | None
    layer_interval: tuple[Unit, Unit] | None = None
    reason: str | None = Field(default=None, exclude_if=omit_none)


class ShiftRow(Contract):
    """Scores under one diagonal shift. ``top1_agreement`` is given at Final only."""

    shift_px: int
    channel: Unit | None
    layer: Unit | None
    reason: str | None = Field(default=None, exclude_if=omit_none)
    top1_agreement: Unit | None = Field(default=None, exclude_if=omit_none)


class AngleRow(Contract):
    """Scores under one counter-clockwise rotation. ``top1_agreement`` is given at Final only."""

    angle_deg: int
    channel: Unit | None
    layer: Unit | None
    reason: str | None = Field(default=None, exclude_if=omit_none)
    top1_agreement: Unit | None = Field(default=None, exclude_if=omit_none)


class Aligned(Contract):
    """Mean over those shifts that are a whole number of a block's cells. ``shifts`` is how many there were: at a block
    of the shifts asked for, at a part over all of its blocks."""

    channel: Unit | None
    layer: Unit | None
    shifts: int
    reason: str | None = Field(default=None, exclude_if=omit_none)


class TranslationScore(Score):
    aligned: Aligned | None = None
    by_transform: tuple[ShiftRow, ...]


class RotationScore(Score):
    by_transform: tuple[AngleRow, ...]


class Part(Contract):
    """A fifth of the report: mean over the part's blocks."""

    blocks: int
    translation: TranslationScore
    rotation: RotationScore
