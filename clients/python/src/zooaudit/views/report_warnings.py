"""What to beware of before the numbers of a report are quoted or compared, and what to do about it.

docs/method.md, "Reading a report", lists the conditions. Each function yields pairs of a term and a warning.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from zooaudit.contract import (
    KINDS,
    TERMS,
    AuditRequest,
    Magnitude,
    Part,
    PartName,
    Report,
    Score,
    SecondOpinion,
    TransformName,
    WarpScore,
)
from zooaudit.views.report_tables import was_asked
from zooaudit.views.tables import in_depth_order
from zooaudit.views.text import (
    counted,
    full_stop,
    joined,
    percent,
    printable,
    ranges,
    spoken,
    two_decimals,
    warp_amount,
)

Warnings = Iterator[tuple[str, str]]
DEFAULT_SHIFTS: tuple[int, ...] = AuditRequest.model_fields["translations_px"].default
DEFAULT_ANGLES: tuple[int, ...] = AuditRequest.model_fields["rotations_deg"].default
DEFAULT_IMAGES: int = AuditRequest.model_fields["num_images"].default
WIDE = 0.1
"""Intervals wider than this are wide: not even the first decimal of a score is sure."""
CHANCE = 0.1
"""Correlations by chance that are smaller than this do little to a mean."""
BIAS = 0.02
"""By how much chance may raise layer before it is worth a warning."""
DEAD_SHARE = 0.1
FEW_IMAGES = 100
"""Among fewer images, a channel that seldom responds is easily constant."""
ROUNDED = 0.05
"""What rounding may have taken from a score is worth a warning where the score lacks more than this to 1."""
RULE_OF_THREE = 3
"""What none of n images does, up to 3 / n of all images do, with 95 % confidence."""
BLURRED = 0.9
"""A lower interpolation means that a score's distance from 1 may be that of interpolation."""
STEEP = 0.5
"""A root mean square of the gradient of deformations from which on some of them fold the image."""
NAMED_AMOUNTS = 6
PUBLISHED_ON = ("imagenet-val", 32)
"""The images and the largest offset, in px, of the published shift consistencies."""
NAMED = 5
"""Of more places, this many are named, and the others counted."""
FEW_CHANGES = 0.01
"""A smaller share of images that may change their class is not worth a warning."""
UNDER: dict[TransformName, str] = {
    "translation": "under shifts",
    "rotation": "under rotation",
    "reflection": "under reflection",
    **{transform: f"under {spoken(transform)}" for transform in KINDS},
}


def warnings_of(report: Report) -> list[tuple[str, str]]:
    """List all warnings, those first that concern the meaning of every number."""
    checks = (
        _what_was_measured,
        _missing,
        _missing_opinions,
        _uncertain,
        _no_class_changed,
        _raised_by_chance,
        _other_transforms,
        _rounded,
        _partly_warped,
        _interpolated,
        _folded,
        _unlike_published,
        _how_measured,
    )
    return [warning for check in checks for warning in check(report)]


def _what_was_measured(report: Report) -> Warnings:
    if report.model.weights.kind == "untrained":
        yield (
            "untrained",
            "Untrained weights. These scores are the architecture’s own equivariance, not that of a trained model, and "
            "the classes that it predicts mean nothing; audit pretrained weights to learn about that.",
        )
    if report.images.dataset == "synthetic":
        yield (
            "images",
            "The images are synthetic, not photographs: repeat the audit on a data set of photographs before you quote "
            "a score.",
        )
    if report.method.similarity == "cosine":
        yield (
            "cosine",
            "Cosine similarity follows the mean of the activations, so these scores may say more about that than about "
            "equivariance; audit by correlation, or by both.",
        )


def _missing(report: Report) -> Warnings:
    reasons: dict[str, list[str]] = {}
    for name, part in in_depth_order(report.parts):
        for transform in report.method.transforms:
            score: Score = getattr(part, transform)
            if score.channel is None and was_asked(report.method, transform):
                reason = printable(score.reason or "").strip() or "none is given"
                reasons.setdefault(reason, []).append(f"{name} under {spoken(transform)}")
    for reason, where in reasons.items():
        yield "part", full_stop(f"No score for {_some(where)}; read the other parts without it. The reason: {reason}")


def _missing_opinions(report: Report) -> Warnings:
    found: dict[tuple[str, str], list[str]] = {}
    for name, part in in_depth_order(report.parts):
        for term, what, reason in _reasons(part.second_opinion or SecondOpinion()):
            found.setdefault((term, printable(reason)), []).append(f"{name} ({what})")
    if report.consistency and report.consistency.value is None:
        found["shift-consistency", printable(report.consistency.reason or "none is given")] = ["the model"]
    for (term, reason), where in found.items():
        yield term, full_stop(f"No {TERMS[term].word} for {_some(where)}. The reason: {reason}")


def _some(places: list[str]) -> str:
    """Name a few places, and count the others.

    >>> _some(list("abcdef")), _some(list("abcdefgh"))
    ('a, b, c, d, e and f', 'a, b, c, d, e and 3 others')
    """
    return joined(places if len(places) <= NAMED + 1 else [*places[:NAMED], f"{len(places) - NAMED} others"])


def _reasons(opinion: SecondOpinion) -> Iterator[tuple[str, str, str]]:
    """Yield the term of each measure that there is not, what it would be of, and why there is none."""
    for row in opinion.deformation:
        if row.ratio is None:
            yield "deformation-stability", f"{row.displacement_px:g} px", row.reason or "none is given"
    magnitudes: tuple[tuple[str, dict[Any, Magnitude]], ...] = (
        ("local-equivariance-error", opinion.local_error),
        ("transformational-variance", opinion.variance),
    )
    for term, by_name in magnitudes:
        for name, magnitude in by_name.items():
            if magnitude.value is None:
                yield term, spoken(name), magnitude.reason or "none is given"


def _uncertain(report: Report) -> Warnings:
    images = report.images
    scores = _channel_and_layer(report)
    measured = [(where, interval) for where, value, interval in scores if value is not None]
    known = [(interval[1] - interval[0], where, interval) for where, interval in measured if interval]
    if measured and not known:
        yield (
            "interval",
            f"{counted(images.count, 'image')} {'is' if images.count == 1 else 'are'} too few for confidence "
            f"intervals, so nobody knows how sure these scores are; measure {DEFAULT_IMAGES} images.",
        )
    elif known and (widest := max(known))[0] > WIDE:
        _, where, (low, high) = widest
        yield (
            "interval",
            f"The intervals are wide: that of {where} goes from {two_decimals(low)} to {two_decimals(high)}. "
            f"Measure more than {counted(images.count, 'image')}, or ask for a tolerance.",
        )


def _no_class_changed(report: Report) -> Warnings:
    """Warn that where n images all keep their class, some of the others may not: as many as the interval says, or in
    older reports, whose interval has no width, 3 / n."""
    final, count = report.parts.get("Final"), report.images.count
    scores = [(transform, getattr(final, transform)) for transform in report.method.transforms if final]
    kept = [(UNDER[name], score.top1_agreement_interval) for name, score in scores if score.top1_agreement == 1]
    if report.consistency and report.consistency.value == 1:
        kept.append(("between two windows", report.consistency.interval))
    where = [(place, interval) for place, interval in kept if interval]
    lowest = min((interval[0] for _, interval in where), default=1.0)
    changing = 1 - lowest if lowest < 1 else min(1.0, RULE_OF_THREE / max(count, 1))
    if where and changing > FEW_CHANGES:
        is_old = ", and ±0.000 says no more than that" if lowest == 1 else ""
        yield (
            "top1-agreement",
            f"None of {counted(count, 'image')} changes its class {' or '.join(place for place, _ in where)}{is_old}: "
            f"among other images, up to {percent(changing)} may.",
        )


def _channel_and_layer(report: Report) -> list[tuple[str, float | None, tuple[float, float] | None]]:
    """List the channel and the layer score of each part with its interval, and what it is in words."""
    return [
        (f"{name} {kind} under {spoken(transform)}", getattr(score, kind), getattr(score, f"{kind}_interval"))
        for name, part in in_depth_order(report.parts)
        for transform in report.method.transforms
        for score in (getattr(part, transform),)
        for kind in ("channel", "layer")
    ]


def _raised_by_chance(report: Report) -> Warnings:
    """Warn where layer at Pool or Final is raised by the best of many chance correlations.

    It is raised by no more than it lies above channel, however far held out, with partners from few images, lies below.
    """
    found = []
    is_held_out_better = False
    last: tuple[PartName, ...] = ("Pool", "Final")
    for name in last:
        for transform in report.method.transforms:
            score: Score | None = getattr(report.parts.get(name), transform, None)
            if score is None or score.layer is None or score.channel is None or score.layer - score.channel <= BIAS:
                continue
            where = f"{name} under {spoken(transform)}"
            if score.layer_held_out is not None:
                if score.layer - score.layer_held_out > BIAS:
                    is_held_out_better |= score.layer_held_out > score.channel
                    found.append(
                        f"{where} ({two_decimals(score.layer)}, held out {two_decimals(score.layer_held_out)})"
                    )
            elif _chance(report, name) > CHANCE:
                found.append(f"{where} ({two_decimals(score.layer)})")
    if found:
        yield (
            "layer-held-out",
            f"With {counted(report.images.count, 'image')}, chance raises layer at {joined(found)}: the best of so "
            f"many channels also picks chance. Read channel {'or layer held out ' if is_held_out_better else ''}there, "
            "or measure more images.",
        )


def _chance(report: Report, name: PartName) -> float:
    """Estimate the largest of K correlations over n images that chance makes; K is the part's number of channels."""
    channels = max((block.channels for block in report.blocks if block.part == name), default=1)
    return math.sqrt(2 * math.log(max(channels, 1)) / max(report.images.count, 1))


def _other_transforms(report: Report) -> Warnings:
    method = report.method
    if not method.translations_px:
        yield "translation", "No shifts were measured; audit with shifts of 1 to 32 px to learn about translation."
    elif method.translations_px != DEFAULT_SHIFTS:
        shifts = ranges(method.translations_px).replace(",", ", ")
        yield (
            "translation",
            f"The mean is over {'a shift' if len(method.translations_px) == 1 else 'shifts'} of {shifts} px only, "
            f"which is not comparable with the usual one over {ranges(DEFAULT_SHIFTS)} px; compare it only with "
            "audits of the same shifts, or measure all of them.",
        )
    if method.direction != "diagonal":
        yield (
            "translation",
            f"The shifts go {method.direction} only, which is another quantity than the usual diagonal ones, in both "
            "directions at once; compare them only with audits of the same direction.",
        )
    if not method.rotations_deg:
        yield "rotation", "No rotations were measured; audit with 90, 180 and 270 degrees to learn about rotation."
    elif method.rotations_deg != DEFAULT_ANGLES:
        angles, usual = (joined([f"{angle}°" for angle in of]) for of in (method.rotations_deg, DEFAULT_ANGLES))
        yield (
            "rotation",
            f"The mean is over {'a rotation' if len(method.rotations_deg) == 1 else 'rotations'} by {angles} only, "
            f"which is not comparable with the usual one over {usual}; compare it only with audits of the same "
            "rotations, or measure all of them.",
        )


def _rounded(report: Report) -> Warnings:
    """Warn where more than half of what a mean lacks to 1 is lost by rounding shifts down to whole cells, and where all
    shifts are rounded, so that nobody can tell."""
    found, unknown = [], list[PartName]()
    for name, part in in_depth_order(report.parts):
        mean, aligned = part.translation.channel, part.translation.aligned
        if mean is None or aligned is None:
            continue
        if aligned.channel is None:
            if mean < 1 - ROUNDED:
                unknown.append(name)
            continue
        gain = aligned.channel - mean
        if gain > 0.05 and gain > (1 - mean) / 2:
            found.append(f"{name} ({two_decimals(mean)}, aligned {two_decimals(aligned.channel)})")
    if found:
        yield (
            "aligned",
            f"Rounding shifts down to whole cells lowers the mean of {joined(found)} more than the network does: read "
            "aligned there.",
        )
    if unknown:
        cells = {report.model.input_size / max(block.height, 1) for block in report.blocks if block.part in unknown}
        largest = max(cells, default=0.5)
        such = f", such as {largest:g} px" if largest.is_integer() and largest <= max(DEFAULT_SHIFTS) else ""
        yield (
            "aligned",
            f"No shift is a whole number of cells of the maps in {joined(unknown)}. All are rounded down there, "
            "which lowers these scores, nobody knows how much, and is not the network’s doing: measure a shift "
            f"that is{such}, and read aligned.",
        )


def _partly_warped(report: Report) -> Warnings:
    """Warn where the mean over warps lacks those for which the map of a block is too small."""
    for transform in KINDS:
        lacking: dict[PartName, set[float]] = {}
        for block in report.blocks:
            score: WarpScore | None = getattr(block, transform)
            if score and score.channel is not None:
                missing = {row.amount for row in score.by_transform if row.channel is None}
                if missing:
                    lacking.setdefault(block.part, set()).update(missing)
        if lacking:
            amounts = sorted(set().union(*lacking.values()))
            named = joined([warp_amount(KINDS[transform], amount) for amount in amounts[:NAMED_AMOUNTS]])
            more = f" and {len(amounts) - NAMED_AMOUNTS} more" if len(amounts) > NAMED_AMOUNTS else ""
            yield (
                "warp",
                f"Some maps in {joined(list(lacking))} are too small for {spoken(transform)} by {named}{more}: their "
                "mean is over the other amounts, and does not compare with that of other blocks. Read single amounts.",
            )


def _interpolated(report: Report) -> Warnings:
    """Warn where interpolation alone takes away so much that a score says little about the network."""
    found = []
    for transform in KINDS:
        scores: list[tuple[PartName, WarpScore | None]] = [
            (name, getattr(part, transform)) for name, part in in_depth_order(report.parts)
        ]
        blurred = [
            f"{name} ({two_decimals(score.interpolation)})"
            for name, score in scores
            if score and score.channel is not None and score.interpolation is not None and score.interpolation < BLURRED
        ]
        if blurred:
            found.append(f"{joined(blurred)} under {spoken(transform)}")
    if found:
        yield (
            "interpolation",
            f"Interpolation alone takes much away of maps at {', and '.join(found)}: what a score lacks to 1 there may "
            "be lost to interpolation, not to the network. Read it against interpolation, or where maps are larger.",
        )


def _folded(report: Report) -> Warnings:
    """Warn where deformations are so steep that they fold images and reach beyond the canvas."""
    opinion = next((part.second_opinion for part in report.parts.values() if part.second_opinion), None)
    steep = [row for row in (opinion.deformation if opinion else ()) if row.gradient > STEEP]
    if steep:
        sizes = joined([f"{row.displacement_px:g} px (gradient {two_decimals(row.gradient)})" for row in steep])
        yield (
            "deformation-stability",
            f"Deformations by {sizes} are steep for images of {report.model.input_size} px: where the gradient is near "
            "1, they fold the image, and repeat pixels at its border. Ask for smaller ones, or a smaller cutoff.",
        )


def _unlike_published(report: Report) -> Warnings:
    found = report.consistency
    if found and found.published is not None and (report.images.dataset, found.offset_px) != PUBLISHED_ON:
        dataset, offset_px = PUBLISHED_ON
        yield (
            "shift-consistency",
            f"The published shift consistency is of {dataset} with offsets up to {offset_px} px, this one of "
            f"{printable(report.images.dataset)} with offsets up to {found.offset_px} px: they are not comparable.",
        )


def _how_measured(report: Report) -> Warnings:
    images, method = report.images, report.method
    if method.precision != "float32":
        yield (
            "precision",
            f"The forward passes ran in {method.precision}, which rounds more than float32; compare these scores only "
            "with others of the same precision, or measure in float32."
            f"{' The local error, which is of small steps, may be mostly rounding.' if method.local else ''}",
        )
    if images.skipped:
        verb = "was" if len(images.skipped) == 1 else "were"
        yield (
            "images",
            f"{counted(len(images.skipped), 'image')} could not be decoded and {verb} left out; mend the data set "
            "before you compare with audits of all images.",
        )
    if images.stopped == "tolerance":
        requested = f" of {images.requested}" if images.requested else ""
        yield (
            "tolerance",
            f"The audit ended after {images.count}{requested} images, when its intervals were narrow enough; ask "
            "for it without a tolerance to compare it with audits of all images.",
        )
    unscored = {name for name, part in report.parts.items() if not any(_channels(part, method.transforms))}
    dead = [
        block
        for block in report.blocks
        if block.dead_channels > DEAD_SHARE * block.channels and block.part not in unscored
    ]
    if dead:
        worst = max(dead, key=lambda block: block.dead_channels / block.channels)
        verb = "has" if len(dead) == 1 else "have"
        advice = ""
        if images.count < FEW_IMAGES:
            advice = "; among so few images, channels that seldom respond look dead, too"
        elif worst.dead_channels > worst.channels / 2 and report.model.weights.kind != "untrained":
            advice = "; check the weights"
        yield (
            "dead-channels",
            f"{counted(len(dead), 'block')} of {len(report.blocks)} {verb} many dead channels "
            f"({worst.dead_channels} of {worst.channels} in {printable(worst.name)}): the scores "
            f"there are over the others only{advice}.",
        )


def _channels(part: Part, transforms: Sequence[TransformName]) -> Iterator[bool]:
    """Tell of each of ``transforms`` whether the part has a score under it."""
    return (getattr(part, transform).channel is not None for transform in transforms)
