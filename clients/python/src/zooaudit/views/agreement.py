"""How often the predicted class stays the same, by transform and in the mean."""

from collections.abc import Sequence
from statistics import fmean

from zooaudit.contract import AngleRow, MirrorRow, ReflectionScore, RotationScore, ShiftRow, TranslationScore

Labelled = tuple[str, float]
"""A transform as people write it, and its top-1 agreement."""


def label_of(row: ShiftRow | AngleRow | MirrorRow) -> str:
    """Write the transform of a row as people do: "8 px", "90°" or "horizontal"."""
    match row:
        case ShiftRow():
            return f"{row.shift_px} px"
        case AngleRow():
            return f"{row.angle_deg}°"
        case MirrorRow():
            return row.axis


def agreement_rows(score: TranslationScore | RotationScore | ReflectionScore) -> list[Labelled]:
    """List the top-1 agreement under each transform that has one: ("8 px", 0.71), or ("90°", 0.4)."""
    return [(label_of(row), row.top1_agreement) for row in score.by_transform if row.top1_agreement is not None]


def mean_agreement(score: TranslationScore | RotationScore | ReflectionScore) -> float | None:
    """Return the mean top-1 agreement. Reports from before it was kept have it in the rows of the transforms."""
    if score.top1_agreement is not None:
        return score.top1_agreement
    values = [value for _, value in agreement_rows(score)]
    return fmean(values) if values else None


def doublings(rows: Sequence[Labelled]) -> list[Labelled]:
    """Of many shifts, keep those of 1, 2, 4, 8, ... pixels, the first and the last, which tell what the others do."""
    if len(rows) <= 6:
        return list(rows)
    powers = {f"{2**power} px" for power in range(8)} | {rows[0][0], rows[-1][0]}
    return [row for row in rows if row[0] in powers]
