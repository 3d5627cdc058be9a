"""Whether measures agree: Spearman's rho of any two, over the blocks of one audit or over compared models."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from statistics import fmean

from zooaudit.contract import (
    ALL_TRANSFORMS,
    GENERATORS,
    PARTS,
    Block,
    ComparedAudit,
    ComparedPart,
    Comparison,
    Level,
    Measure,
    MeasureAgreement,
    MeasureMatrix,
    MeasurePair,
    PartName,
    Report,
    Score,
    WarpScore,
)
from zooaudit.views.text import counted, joined, signed

from service.comparison import MIN_MODELS as MIN_POINTS

Point = Mapping[str, float | None]
"""What the measures, by name, say of one block or one model."""

MAPPED: tuple[PartName, ...] = ("Early", "Middle", "Late")
"""The parts whose representations have positions. At Pool and Final nothing can follow the image, so that every measure
is one of invariance there: another quantity, whose two points would lie apart from the rest."""
SAME = 1e-5
"""Values that differ by no more are the same, and share a rank: float32 forward passes move them by as much."""
PROVES_ORDER = 5
"""From this many points on, a perfect order is no chance: one of n! is, and its opposite. Below, it stays open."""
TURNED = (
    "All measures count so that higher is more equivariant: errors, R and variances, marked ↓, are turned around "
    "first. So +1 means that two measures put the {points} in the same order, −1 in the opposite one; near 0 they have "
    "nothing in common."
)
NOTES: dict[str, tuple[str, ...]] = {
    "blocks": (
        TURNED.format(points="blocks"),
        "Neighbouring blocks of one network are not independent of each other, so the intervals are too narrow: they "
        "describe this network, and test nothing.",
        "Pool and Final do not count: they have no positions, so that every measure is one of invariance there.",
    ),
    "models": (
        TURNED.format(points="models"),
        "Models of one family are not independent of each other, so the intervals are too narrow; and of twenty pairs "
        "that have nothing in common, one has an interval without 0.",
        "The whole depth is each model's mean over Early, Middle and Late. Pool and Final have no positions, so that "
        "every measure is one of invariance there.",
    ),
}
WHERE: dict[Level, str] = {"blocks": "from Early to Late", "depth": "by the mean of Early, Middle and Late"}


def _measures() -> Iterator[Measure]:
    """Yield all measures there are, in the order in which tables and figures have them."""
    for transform in ALL_TRANSFORMS:
        label = _words(transform).capitalize()
        term = "warp" if transform.startswith("warp_") else transform
        for score in ("channel", "layer"):
            yield Measure(name=f"{transform}.{score}", label=f"{label}, {score}", term=term, lower_is_better=False)
        if transform == "translation":
            yield Measure(
                name="translation.aligned", label="Translation, aligned", term="aligned", lower_is_better=False
            )
    for generator in GENERATORS:
        label = f"Local error, {_words(generator)}"
        yield Measure(
            name=f"local_error.{generator}", label=label, term="local-equivariance-error", lower_is_better=True
        )
    yield Measure(name="deformation.ratio", label="R, deformation", term="deformation-stability", lower_is_better=True)
    for transform in ALL_TRANSFORMS:
        label = f"Variance, {_words(transform)}"
        yield Measure(name=f"variance.{transform}", label=label, term="transformational-variance", lower_is_better=True)
    yield Measure(name="consistency", label="Consistency", term="shift-consistency", lower_is_better=False)
    yield Measure(name="imagenet_top1", label="ImageNet top-1", term="accuracy", lower_is_better=False)


def _words(name: str) -> str:
    return name.replace("_", " ")


MEASURES = tuple(_measures())


def over_blocks(report: Report) -> MeasureAgreement:
    """Tell whether the measures of one audit agree over its blocks, Early to Late."""
    points = [_point(block) for block in report.blocks if block.part in MAPPED]
    return MeasureAgreement(
        over="blocks",
        audits=(report.id,),
        models=(report.model.name,),
        matrices=(_matrix("blocks", points),),
        notes=NOTES["blocks"],
    )


def over_models(comparison: Comparison) -> MeasureAgreement:
    """Tell whether the measures of compared audits agree over the models: through the whole depth, and by part."""
    audits = comparison.audits
    offsets = {audit.consistency.offset_px for audit in audits if audit.consistency}
    notes = NOTES["models"]
    if len(offsets) > 1:
        audits = tuple(audit.model_copy(update={"consistency": None}) for audit in audits)
        notes += (
            f"Consistency is left out: the windows are up to {joined([f'{px} px' for px in sorted(offsets)])} apart, "
            "depending on the model, so it is not one quantity.",
        )
    parts = [part for part in PARTS if any(part in audit.parts for audit in audits)]
    return MeasureAgreement(
        over="models",
        audits=tuple(audit.id for audit in audits),
        models=tuple(audit.model for audit in audits),
        matrices=(
            _matrix("depth", [_model_point(audit, *MAPPED) for audit in audits]),
            *(_matrix(part, [_model_point(audit, part) for audit in audits]) for part in parts),
        ),
        notes=notes,
    )


def _point(measured: Block | ComparedPart) -> Point:
    """Return what the measures say of a block, or of a part."""
    point: dict[str, float | None] = {}
    for transform in ALL_TRANSFORMS:
        if (score := getattr(measured, transform)) is not None and not _is_partial(score):
            point |= {f"{transform}.channel": score.channel, f"{transform}.layer": score.layer}
    if aligned := measured.translation.aligned:
        point["translation.aligned"] = aligned.channel
    if opinion := measured.second_opinion:
        point |= {f"local_error.{generator}": error.value for generator, error in opinion.local_error.items()}
        point["deformation.ratio"] = _mean([row.ratio for row in opinion.deformation])
        point |= {f"variance.{kind}": variance.value for kind, variance in opinion.variance.items()}
    return point


def _is_partial(score: Score) -> bool:
    """Tell whether a mean over warps lacks some, for which a block's map is too small."""
    return isinstance(score, WarpScore) and any(row.channel is None for row in score.by_transform)


def _model_point(audit: ComparedAudit, *parts: PartName) -> Point:
    """Return what the measures say of a model by their means over ``parts``, and those of the whole model."""
    by_part = [_point(audit.parts[part]) if part in audit.parts else {} for part in parts]
    return {
        **{measure.name: _mean([point.get(measure.name) for point in by_part]) for measure in MEASURES},
        "consistency": audit.consistency.value if audit.consistency else None,
        "imagenet_top1": audit.imagenet_top1,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None unless all values are there, since means over different things do not compare."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _matrix(level: Level, points: Sequence[Point]) -> MeasureMatrix:
    """Correlate every two of the measures that at least one point has."""
    measures = [measure for measure in MEASURES if any(point.get(measure.name) is not None for point in points)]
    pairs = tuple(_pair(first, second, points) for first, second in combinations(measures, 2))
    return MeasureMatrix(
        level=level,
        points=len(points),
        measures=tuple(measures),
        pairs=pairs,
        summary=_summary(level, len(points), measures, pairs),
    )


def _pair(first: Measure, second: Measure, points: Sequence[Point]) -> MeasurePair:
    both = [
        (x, y)
        for point in points
        if (x := point.get(first.name)) is not None and (y := point.get(second.name)) is not None
    ]
    columns = list(zip(*both, strict=True))
    constant = [
        measure.label
        for measure, values in zip((first, second), columns, strict=False)
        if max(values) - min(values) <= SAME
    ]
    reason = None
    if len(both) < MIN_POINTS:
        reason = f"{len(both)} of {len(points)} have both measures; this takes {MIN_POINTS}."
    elif constant:
        reason = f"{' and '.join(constant)}: the same for all {len(both)}."
    if reason:
        return MeasurePair(first=first.name, second=second.name, rho=None, interval=None, n=len(both), reason=reason)

    import numpy as np  # here, because importing numpy and scipy takes longer than starting the service

    from service import accuracy_statistics

    xs, ys = (
        np.array(_tied(values), dtype=float) * (-1 if measure.lower_is_better else 1)
        for measure, values in zip((first, second), columns, strict=True)
    )
    rho = accuracy_statistics.rank_correlation(xs, ys)
    interval = accuracy_statistics.spearman_interval(rho, len(both))
    return MeasurePair(
        first=first.name,
        second=second.name,
        rho=rho,
        interval=interval,
        n=len(both),
        reason=None if interval else f"A rho of {rho:+.0f} has no interval.",
    )


def _tied(values: Sequence[float]) -> list[float]:
    """Replace each value by the least of those that it is the SAME as, directly or through others between.

    >>> _tied([0.5, 1.0, 0.999998, 0.999992])
    [0.5, 0.999992, 0.999992, 0.999992]
    """
    ordered = sorted(values)
    least = {ordered[0]: ordered[0]}
    for before, value in pairwise(ordered):
        least[value] = least[before] if value - before <= SAME else value
    return [least[value] for value in values]


def _summary(level: Level, points: int, measures: Sequence[Measure], pairs: Sequence[MeasurePair]) -> str:
    """Say in a line how many pairs agree, and which agree most and least."""
    noun = "block" if level == "blocks" else "model"
    where = f"Over {counted(points, noun)} {WHERE.get(level, f'at {level}')}"
    labels = {measure.name: measure.label for measure in measures}
    known = sorted(((pair.rho, pair) for pair in pairs if pair.rho is not None), key=lambda each: -each[0])
    if not known:
        reason = f" This takes {MIN_POINTS}." if points < MIN_POINTS else ""
        return f"{where} no two measures can be correlated.{reason}"
    verdicts = [_verdict(pair) for _, pair in known]
    agree, disagree, stay_open = (verdicts.count(sign) for sign in (1, -1, 0))
    text = (
        f"{where}, {counted(len(known), 'pair')} of measures: {agree} {_verb(agree, 'agree')} (interval above 0, or "
        f"the very same order), {disagree} {_verb(disagree, 'disagree')} (below 0, or the opposite order), {stay_open} "
        f"{_verb(stay_open, 'stay')} open."
    )
    unlike = [entry for entry in known if not _are_kin(entry[1])]
    beside = "" if len(unlike) == len(known) else " beside scores of one transform"
    ends = [(f"Most alike{beside}", unlike[0])] if unlike else []
    ends += [("least", unlike[-1])] if len(unlike) > 1 else []
    named = "; ".join(
        f"{word}: {labels[pair.first]} and {labels[pair.second]} ({signed(rho)})" for word, (rho, pair) in ends
    )
    return f"{text} {named}." if named else text


def _verb(count: int, verb: str) -> str:
    return f"{verb}s" if count == 1 else verb


def _are_kin(pair: MeasurePair) -> bool:
    """Tell whether both are scores of one transform, channel, layer or aligned, which hardly ever differ in order."""
    transform = pair.first.partition(".")[0]
    return transform in ALL_TRANSFORMS and transform == pair.second.partition(".")[0]


def _verdict(pair: MeasurePair) -> int:
    """Return 1 where two measures agree beyond chance, -1 where they disagree, else 0."""
    if pair.interval is None:
        return round(pair.rho or 0) if pair.n >= PROVES_ORDER else 0
    low, high = pair.interval
    return 1 if low > 0 else -1 if high < 0 else 0
