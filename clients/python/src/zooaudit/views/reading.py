"""A report in words: sentences made from its numbers. docs/method.md, "Reading a report", has the rules."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from statistics import fmean

from zooaudit.contract import (
    ALL_TRANSFORMS,
    KINDS,
    TERMS,
    WARPS,
    DeformationRow,
    Estimate,
    PartName,
    Reading,
    Report,
    Score,
    SecondOpinion,
    Statement,
    TransformName,
    Warps,
)
from zooaudit.views.agreement import agreement_rows
from zooaudit.views.report_tables import warp_amounts
from zooaudit.views.report_warnings import UNDER, warnings_of
from zooaudit.views.second_opinion_tables import Measure, magnitude_of
from zooaudit.views.tables import Table, in_depth_order
from zooaudit.views.text import joined, percent, printable, spoken, two_decimals

DEPTH: tuple[PartName, ...] = ("Early", "Middle", "Late")
SCALE = ((0.8, "closely"), (0.5, "largely"), (0.2, "partly"))
"""From each score on, how far features follow; below all of these, hardly."""
NOTABLE = 0.05
"""A gap between layer and channel that is smaller is not worth a clause."""
VERBS: dict[TransformName, str] = {
    "translation": "move",
    "rotation": "turn",
    "reflection": "flip",
    "warp_translation": "move",
    "warp_rotation": "turn",
    "warp_scale": "grow and shrink",
    "warp_shear": "slant",
}
MOVED: dict[TransformName, str] = {
    "translation": "shifted",
    "rotation": "turned",
    "reflection": "flipped",
    "warp_translation": "shifted",
    "warp_rotation": "turned",
    "warp_scale": "scaled",
    "warp_shear": "sheared",
}
COPIES: dict[TransformName, str] = {"rotation": "turned", "reflection": "mirrored", "warp_rotation": "turned"}
"""What copies of one filter are that keep a feature in another channel when the image is transformed."""
FLIPS = {"horizontal": "left to right", "vertical": "top to bottom"}
MODERATE_PX = 1.0
"""Of several deformations, the one whose displacement is nearest to this is put into words."""
Interval = tuple[float, float] | None
Named = tuple[PartName, Score, float]
"""A part, its scores under one transform, and its channel score."""


def reading(report: Report) -> Reading:
    """Say in sentences what the numbers of a report tell, and warn of what its reader should know."""
    sentences = [
        ("translation", _moving(report, "translation")),
        ("rotation", _moving(report, "rotation")),
        ("reflection", _moving(report, "reflection") if report.method.reflections else ""),
        *(("warp", _warped(report, warps)) for warps in report.method.warps),
        ("top1-agreement", _same_class(report)),
        ("shift-consistency", _consistent(report)),
        ("deformation-stability", _stable(report)),
        ("local-equivariance-error", _local(report)),
        ("transformational-variance", _varying(report)),
        ("learned", _learned(report)),
    ]
    told = [(term, text) for term, text in sentences if text]
    nothing = [("equivariance", "This report has no score that could be put into words.")]
    return Reading(
        sentences=tuple(_statement(term, text) for term, text in told or nothing),
        warnings=tuple(_statement(term, text) for term, text in warnings_of(report)),
    )


def reading_table(report: Report) -> Table:
    """Show the reading of a report, as a table that has nothing but notes."""
    read = reading(report)
    warnings = [f"Beware: {warning.text}" for warning in read.warnings]
    title = f"{printable(report.model.name)} ({printable(report.model.weights.label)} weights) in words"
    return Table((), (), title, notes=[*(sentence.text for sentence in read.sentences), *warnings])


def _statement(term: str, text: str) -> Statement:
    return Statement(text=text, term=term, anchor=TERMS[term].anchor)


def _warped(report: Report, warps: Warps) -> str:
    """Say of warps what is said of other transforms, and what interpolation alone leaves of maps."""
    transform = WARPS[warps.kind]
    text = _moving(report, transform, f"by {warp_amounts(warps)}")
    left = [
        f"{two_decimals(found)} in {name}"
        for name, part in in_depth_order(report.parts)
        if name in DEPTH and (found := getattr(part, transform).interpolation) is not None
    ]
    if not text:
        return ""
    if not left:  # as where a warp leaves no cell on the map both there and back
        return f"{text} What interpolation alone leaves of maps could not be measured."
    return f"{text} Interpolation alone leaves {joined(left)} of maps: what is lost to it is not the network’s."


def _moving(report: Report, transform: TransformName, how: str = "") -> str:
    """Say how far features move with the image by depth, and how far pooled ones and the output stay the same. ``how``
    the image is transformed stands behind the verb."""
    named: list[Named] = [
        (name, score, score.channel)
        for name, part in in_depth_order(report.parts)
        for score in (getattr(part, transform),)
        if score.channel is not None
    ]
    depth = [entry for entry in named if entry[0] in DEPTH]
    last = [entry for entry in named if entry[0] not in DEPTH]
    clauses = []
    if depth:
        whose = "the untrained network’s" if report.model.weights.kind == "untrained" else "its"
        comparison = _against_shifts(report) if transform == "rotation" else ""
        clauses.append(f"{whose} features {_by_depth(depth, VERBS[transform])}{comparison}")
        if transform in COPIES:
            clauses += _copies(depth, COPIES[transform])
    if last:
        clauses.append(_staying(last))
    direction = "" if transform != "translation" or report.method.direction == "diagonal" else report.method.direction
    moved = f"{MOVED[transform]} {direction or how}".strip()
    return f"When the image is {moved}, {'; '.join(clauses)}." if clauses else ""


def _by_depth(depth: Sequence[Named], verb: str) -> str:
    """Write "move with it in Early (0.93) and Middle (0.90), largely in Late (0.71), less with depth"."""
    (word, group), *others = _worded_groups(depth)
    adverb = "" if word == SCALE[0][1] else f"{word} "
    if others or len(group) < len(DEPTH):
        text = f"{adverb}{verb} with it in {_listed(group)}"
    else:
        where = "at any depth" if word == "hardly" else "at every depth"
        text = (
            f"{adverb}{verb} with it {where} ({', '.join(f'{name} {two_decimals(value)}' for name, _, value in group)})"
        )
    text += "".join(f", {word} in {_listed(group)}" for word, group in others)
    steps = {deep > shallow for (_, one, shallow), (_, other, deep) in combinations(depth, 2) if _are_apart(one, other)}
    if len(steps) == 1 and _are_apart(depth[0][1], depth[-1][1]):
        text += ", more with depth" if steps.pop() else ", less with depth"
    return text


def _worded_groups(depth: Sequence[Named]) -> list[tuple[str, list[Named]]]:
    """Group neighbouring parts whose adverb is the same, or whose intervals overlap; these get that of their mean."""
    groups = [[depth[0]]]
    for before, after in pairwise(depth):
        intervals = before[1].channel_interval, after[1].channel_interval
        overlap = None not in intervals and not _apart(*intervals)
        if overlap or _word(before[2]) == _word(after[2]):
            groups[-1].append(after)
        else:
            groups.append([after])
    worded = [(_word(fmean(value for *_, value in group)), group) for group in groups]
    merged = worded[:1]
    for word, group in worded[1:]:  # the means of two groups may have one adverb
        if word == merged[-1][0]:
            merged[-1] = (word, [*merged[-1][1], *group])
        else:
            merged.append((word, group))
    return merged


def _word(value: float) -> str:
    """Give the adverb of a score as it is shown, with two decimals."""
    return next((word for least, word in SCALE if round(value, 2) >= least), "hardly")


def _listed(group: Sequence[Named]) -> str:
    return joined([f"{name} ({two_decimals(value)})" for name, _, value in group])


def _against_shifts(report: Report) -> str:
    """Say whether all parts turn less, or all more, than they move under shifts, beyond their intervals."""
    less = set()
    for name in DEPTH:
        if part := report.parts.get(name):
            shifted, turned = part.translation, part.rotation
            if shifted.channel is None or turned.channel is None:
                continue
            if not _apart(shifted.channel_interval, turned.channel_interval):
                return ""
            less.add(turned.channel < shifted.channel)
    if len(less) != 1:
        return ""
    return f", at every depth {'less' if less.pop() else 'more'} than they move under shifts"


def _copies(depth: Sequence[Named], what: str) -> list[str]:
    """Say in which part layer exceeds channel most: there features are kept in other channels, as turned or mirrored
    copies (``what``)."""
    gaps = [
        (score.layer - value, name, score.layer, value)
        for name, score, value in depth
        if score.layer is not None and _apart(score.channel_interval, score.layer_interval)
    ]
    gap, name, layer, channel = max(gaps, default=(0.0, "", 0.0, 0.0))
    if gap < NOTABLE:
        return []
    scores = f"layer {two_decimals(layer)}, channel {two_decimals(channel)}"
    return [f"in {name} some are there in other channels, as {what} copies of filters make them ({scores})"]


def _staying(last: Sequence[Named]) -> str:
    """Write "the pooled features largely stay the same (Pool 0.70), the output partly (Final 0.45)"."""
    whats = {"Pool": "the pooled features", "Final": "the output"}
    groups = _worded_groups(last)
    texts = []
    for place, (word, group) in enumerate(groups):
        what = " and ".join(whats[name] for name, *_ in group)
        scores = ", ".join(f"{name} {two_decimals(value)}" for name, _, value in group)
        verb = "stays" if [name for name, *_ in group] == ["Final"] else "stay"
        adverb = "" if word == SCALE[0][1] else f" {word}"
        texts.append(f"{what} {word} ({scores})" if place else f"{what}{adverb} {verb} the same ({scores})")
    return ", ".join(texts)


def _same_class(report: Report) -> str:
    """Say for how many of the images the class stays the same, under the first and the last shift, each rotation, each
    reflection, and the first and the last warp of each kind."""
    final = report.parts.get("Final")
    shifts = agreement_rows(final.translation, "translation") if final else []
    angles = agreement_rows(final.rotation, "rotation") if final else []
    mirrors = agreement_rows(final.reflection, "reflection") if final and final.reflection else []
    warped = [
        (kind, rows)
        for transform, kind in KINDS.items()
        if final and (score := getattr(final, transform)) and (rows := agreement_rows(score, transform))
    ]
    of_images = f"of the {report.images.count} images" if report.images.count != 1 else "of the one image"
    clauses = []
    if shifts:
        ends = [shifts[0], shifts[-1]] if len(shifts) > 1 else shifts
        (first, value, _), *rest = ends
        clauses.append(
            f"for {percent(value)} {of_images} at a shift of {first}"
            + "".join(f" and for {percent(value)} at {label}" for label, value, _ in rest)
        )
    if angles:
        shares, labels = joined([percent(row.share) for row in angles]), joined([row.label for row in angles])
        clauses.append(f"for {shares} {'' if shifts else f'{of_images} '}at a rotation by {labels}")
    if mirrors:
        first = "" if clauses else f"{of_images} "
        of_flips = [f"for {percent(value)} {first}when it is flipped {FLIPS[label]}" for label, value, _ in mirrors]
        clauses.append(" and ".join(of_flips))
    for kind, rows in warped:
        (first, value, _), *rest = [rows[0], rows[-1]] if len(rows) > 1 else rows
        clauses.append(
            f"for {percent(value)} {'' if clauses else f'{of_images} '}at a warp ({kind}) by {first}"
            + "".join(f" and for {percent(value)} by {label}" for label, value, _ in rest)
        )
    return f"The predicted class stays the same {', and '.join(clauses)}." if clauses else ""


def _consistent(report: Report) -> str:
    """Say how often two windows of an image are of one class, and what is published of that."""
    found = report.consistency
    if found is None or found.value is None:
        return ""
    published = ""
    if found.published is not None:
        published = f"; published of these weights, on all validation images, is {100 * found.published:.2f} %"
    return (
        f"Two windows of one image, chosen at random up to {found.offset_px} px apart, have the same class for "
        f"{percent(found.value)} of the pairs, {found.draws} of each image{published}."
    )


def _opinions(report: Report) -> list[tuple[PartName, SecondOpinion]]:
    return [(name, part.second_opinion) for name, part in in_depth_order(report.parts) if part.second_opinion]


def _stable(report: Report) -> str:
    """Say in which parts deformations move features less, and in which more, than noise, beyond the intervals of R."""
    sides: dict[str, list[str]] = {}
    displacement = 0.0
    for name, opinion in _opinions(report):
        measured = [row for row in opinion.deformation if row.ratio is not None]
        if measured:
            row = min(measured, key=lambda row: abs(row.displacement_px - MODERATE_PX))
            displacement = row.displacement_px
            place = f"{'in' if name in DEPTH else 'at'} {name} (R {two_decimals(row.ratio or 0.0)})"
            sides.setdefault(_side(row), []).append(place)
    clauses = [f"{side} {joined(places)}" for side, places in sides.items()]
    if not clauses:
        return ""
    return (
        f"Smooth deformations of the image by {displacement:g} px in the mean move its features, against noise that "
        f"changes the image as much, {'; '.join(clauses)}."
    )


def _side(row: DeformationRow) -> str:
    """Tell on which side of 1 the ratio is, as far as its interval lets one tell."""
    if row.ratio_interval is None:
        return "by a ratio without an interval"
    low, high = row.ratio_interval
    return "less" if high < 1 else "more" if low > 1 else "no differently beyond the interval"


def _local(report: Report) -> str:
    """Say how much of the features does not go along with small shifts and rotations."""
    changes = (("translation_x", "under a shift by one pixel"), ("rotation", "under a rotation by one degree"))
    clauses = [f"{found} {change}" for name, change in changes if (found := _magnitudes(report, "local_error", name))]
    if not clauses:
        return ""
    return (
        "What features change by beside moving with the image, relative to how much they vary, is "
        f"{'; and '.join(clauses)}. 0 would be equivariant."
    )


def _varying(report: Report) -> str:
    """Say how much features vary over the transforms of each kind, by how much they vary over images."""
    clauses = [
        f"{found} over {'shifts' if transform == 'translation' else f'{spoken(transform)}s'}"
        for transform in ALL_TRANSFORMS
        if (found := _magnitudes(report, "variance", transform))
    ]
    if not clauses:
        return ""
    return (
        f"The variance of features, relative to that over images, is {'; and '.join(clauses)}. 0 would be invariant, "
        "which features that move with the image are not."
    )


def _magnitudes(report: Report, measure: Measure, measured: str) -> str:
    """Write "0.12 in Early, 0.10 in Middle and 0.02 at Final" of one measure."""
    texts = [
        f"{two_decimals(found.value)} {'in' if name in DEPTH else 'at'} {name}"
        for name, opinion in _opinions(report)
        if (found := magnitude_of(opinion, measure, measured)) is not None and found.value is not None
    ]
    return joined(texts) if texts else ""


def _learned(report: Report) -> str:
    """Say to which channel scores training added, and from which it took, beyond the intervals."""
    if report.baseline is None:
        return ""
    differences = list(_differences(report))
    surely = [
        (transform, name, value) for transform, name, value, interval in differences if interval and _is_sure(interval)
    ]
    added = [change for change in surely if change[2] >= 0.005]
    taken = [change for change in surely if change[2] <= -0.005]
    if not any(interval for *_, interval in differences):
        return "Whether training changed any score is open: there are no intervals to tell it by."
    if not added and not taken:
        return "Training changed no channel score of the untrained architecture beyond the intervals."
    clauses = [f"added {_changes(added)}"] if added else []
    clauses += [f"took away {_changes(taken)}"] if taken else []
    return f"Against the untrained architecture, training {'; it '.join(clauses)} (channel)."


def _differences(report: Report) -> Iterator[tuple[TransformName, PartName, float, Interval]]:
    if report.baseline:
        for transform in report.method.transforms:
            for name, part in in_depth_order(report.baseline.parts):
                difference: Estimate = getattr(part, transform).channel.difference
                if difference.value is not None:
                    yield transform, name, difference.value, difference.interval


def _changes(changes: Sequence[tuple[TransformName, PartName, float]]) -> str:
    """Write "0.31 in Early and 0.42 at Final under shifts, and 0.12 in Late under rotation"."""
    texts = []
    for transform in ALL_TRANSFORMS:
        of_transform = [
            f"{two_decimals(abs(value))} {'in' if name in DEPTH else 'at'} {name}"
            for kind, name, value in changes
            if kind == transform
        ]
        if of_transform:
            texts.append(f"{joined(of_transform)} {UNDER[transform]}")
    return ", and ".join(texts)


def _is_sure(interval: tuple[float, float]) -> bool:
    return interval[0] > 0 or interval[1] < 0


def _are_apart(one: Score, other: Score) -> bool:
    return _apart(one.channel_interval, other.channel_interval)


def _apart(one: Interval, other: Interval) -> bool:
    """Tell whether there are two intervals, and these do not overlap."""
    return one is not None and other is not None and (one[1] < other[0] or other[1] < one[0])
