"""How often the predicted class stays the same, by transform and in the mean."""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from zooaudit.contract import (
    KINDS,
    AngleRow,
    MirrorRow,
    ReflectionScore,
    RotationScore,
    ShiftRow,
    TransformName,
    TranslationScore,
    WarpRow,
    WarpScore,
)
from zooaudit.views.text import warp_amount


class Labelled(NamedTuple):
    """A transform as people write it, and its top-1 agreement."""

    label: str
    share: float
    interval: tuple[float, float] | None = None


Row = ShiftRow | AngleRow | MirrorRow | WarpRow


def label_of(row: Row, transform: TransformName) -> str:
    """Write the transform of a row as people do: "8 px", "90°", "horizontal", or of a warp its amount: "22.5°"."""
    match row:
        case ShiftRow():
            return f"{row.shift_px} px"
        case AngleRow():
            return f"{row.angle_deg}°"
        case MirrorRow():
            return row.axis
        case WarpRow():
            return warp_amount(KINDS[transform], row.amount)


def agreement_rows(
    score: TranslationScore | RotationScore | ReflectionScore | WarpScore, transform: TransformName
) -> list[Labelled]:
    """List the top-1 agreement under each transform that has one: "8 px" and 0.71, or "90°" and 0.4."""
    return [
        Labelled(label_of(row, transform), row.top1_agreement, row.top1_agreement_interval)
        for row in score.by_transform
        if row.top1_agreement is not None
    ]


def mean_agreement(score: TranslationScore | RotationScore | ReflectionScore | WarpScore) -> float | None:
    """Return the mean top-1 agreement. Reports from before it was kept have it in the rows of the transforms."""
    if score.top1_agreement is not None:
        return score.top1_agreement
    values = [row.top1_agreement for row in score.by_transform if row.top1_agreement is not None]
    return fmean(values) if values else None


def doublings(rows: Sequence[Labelled]) -> list[Labelled]:
    """Of many shifts, keep those of 1, 2, 4, 8, ... pixels, the first and the last, which tell what the others do."""
    if len(rows) <= 6:
        return list(rows)
    powers = {f"{2**power} px" for power in range(8)} | {rows[0].label, rows[-1].label}
    return [row for row in rows if row.label in powers]
