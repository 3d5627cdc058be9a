"""How the scores of audits differ from those of one of them, the reference, measured on the same images.

The interval of a difference is paired: what two models have in common, because they saw the same images, cancels. Its
deviations are the differences of the two scores' deviations, group by group (:mod:`zooaudit.contract.jackknife`). The
p-value is that of Student's t test of no difference. Where several audits are set against the reference, the p-values
of each score are adjusted by Holm (1979, "A simple sequentially rejective multiple test procedure").
"""

from collections.abc import Mapping, Sequence

from zooaudit.contract import (
    CONFIDENCE,
    PARTS,
    Difference,
    Differences,
    DifferentAudit,
    DifferentPart,
    DifferentScores,
    PartName,
    Report,
    TransformName,
    only_known,
    standard_error,
)
from zooaudit.views.agreement import mean_agreement

COMPARED = ("channel", "layer", "layer_held_out", "top1_agreement")
ROUNDING = 1e-5
"""Scores that are closer than this are the same: float32 forward passes move them by this much between machines."""

Place = tuple[PartName, TransformName, str]
"""Which score: of a part, under the transforms of one name, by its own name."""


def differences(reports: Sequence[Report], reference: str) -> Differences:
    """Compute how each other report differs from the one of the audit ``reference``."""
    base = next(report for report in reports if report.id == reference)
    others = [report for report in reports if report.id != reference]
    by_place: dict[Place, list[Difference | None]] = {}
    for part in PARTS:
        for transform in base.method.transforms:
            for name in COMPARED:
                place = (part, transform, name)
                by_place[place] = _adjusted([_difference(report, base, place) for report in others])
    return Differences(
        reference=reference,
        audits=tuple(
            _of_audit(report.id, base.method.transforms, {place: row[index] for place, row in by_place.items()})
            for index, report in enumerate(others)
        ),
    )


def _of_audit(
    identifier: str, transforms: Sequence[TransformName], by_place: Mapping[Place, Difference | None]
) -> DifferentAudit:
    def scores(part: PartName, transform: TransformName) -> DifferentScores:
        return DifferentScores.model_validate(
            {name: found for name in COMPARED if (found := by_place[part, transform, name]) is not None}
        )

    shared = [part for part in PARTS if by_place[part, "translation", "channel"] is not None]
    return DifferentAudit(
        id=identifier,
        parts={
            part: DifferentPart(**{transform: scores(part, transform) for transform in transforms}) for part in shared
        },
    )


def _difference(report: Report, base: Report, place: Place) -> Difference | None:
    """Compute one difference, its p-value not adjusted; None if one of the two has no such part or score."""
    part, transform, name = place
    if part not in report.parts or part not in base.parts:
        return None
    scores = [getattr(one.parts[part], transform) for one in (report, base)]
    value, base_value = (
        mean_agreement(score) if name == "top1_agreement" else getattr(score, name) for score in scores
    )
    if value is None or base_value is None:
        if name == "top1_agreement":
            return None
        lacking = "Neither" if value is None and base_value is None else "Only one"
        missing = f"{lacking} of the two audits has such a score."
        reason = next((score.reason for score in scores if score.reason), missing)
        return Difference(value=None, interval=None, p_value=None, p_adjusted=None, differs=None, reason=reason)
    difference = value - base_value
    paired = _paired_deviations(report, base, place)
    found = paired if isinstance(paired, str) else _interval_and_p(difference, *paired)
    if isinstance(found, str):
        return Difference(value=difference, interval=None, p_value=None, p_adjusted=None, differs=None, reason=found)
    interval, p_value = found
    return Difference(value=difference, interval=interval, p_value=p_value, p_adjusted=None, differs=None)


def _paired_deviations(
    report: Report, base: Report, place: Place
) -> tuple[Sequence[float | None], Sequence[int]] | str:
    """Return the deviations of a difference and the images of their groups; or a sentence why there are none."""
    for one in (report, base):
        if one.deviations is None:
            return f"The report of {one.id} kept no deviations by group. Audit it anew, with another repetition."
    assert report.deviations is not None
    assert base.deviations is not None
    images = base.deviations.images
    if report.deviations.images != images or report.images.skipped != base.images.skipped:
        counts = f"{report.images.count} and {base.images.count}"
        return f"The two audits did not measure the same images ({counts}), so their scores do not pair."
    part, transform, name = place
    of_transform = [getattr(one.parts[part], transform) for one in (report.deviations, base.deviations)]
    # An imported report may have none for a transform that its parts have.
    deviations, base_deviations = (of_score and getattr(of_score, name) for of_score in of_transform)
    if deviations is None or base_deviations is None:
        return "One of the two scores has no deviations by group."
    pairs = zip(deviations, base_deviations, strict=True)
    paired: Sequence[float | None] = [None if a is None or b is None else a - b for a, b in pairs]
    return only_known(paired, images) if name == "layer_held_out" else (paired, images)


def _interval_and_p(
    difference: float, deviations: Sequence[float | None], images: Sequence[int]
) -> tuple[tuple[float, float], float] | str:
    """Compute the 95 % interval and the p-value of a difference; or a sentence why they cannot be computed."""
    found = standard_error(deviations, images)
    if found is None:
        return "The images are too few for an interval."

    from scipy.special import stdtr, stdtrit  # type: ignore[import-untyped]  # here: slow to import

    error, freedom = found
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    interval = max(-1.0, difference - half), min(1.0, difference + half)
    if abs(difference) <= ROUNDING:
        return interval, 1.0
    return interval, float(2 * stdtr(freedom, -abs(difference) / error)) if error else 0.0


def _adjusted(found: Sequence[Difference | None]) -> list[Difference | None]:
    """Adjust the p-values of one score over all audits, and decide which of them differ from the reference."""
    p_values = {index: one.p_value for index, one in enumerate(found) if one is not None and one.p_value is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return [
        one.model_copy(update={"p_adjusted": adjusted[index], "differs": adjusted[index] < 1 - CONFIDENCE})
        if one is not None and index in adjusted
        else one
        for index, one in enumerate(found)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that one false rejection among all of them is as improbable as the adjusted value says.

    The i-th smallest of n, from 0, is multiplied by n - i; none is smaller than one before it, nor larger than 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
