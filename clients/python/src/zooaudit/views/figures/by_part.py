"""The figure of the scores of the five parts."""

from collections.abc import Sequence

from zooaudit.contract import (
    KINDS,
    PARTS,
    SCORES,
    Aligned,
    ComparedAudit,
    ComparedTranslation,
    ComparedWarp,
    PartName,
    Report,
    Score,
    TransformName,
    TranslationScore,
    WarpScore,
)
from zooaudit.views.figures.labels import (
    ALIGNED,
    FEW,
    HELD_OUT,
    INTERPOLATION,
    MANY,
    MARKS,
    MEANINGS,
    model_name,
    pens,
    score_point,
    title,
    transform_pens,
    transforms_of,
)
from zooaudit.views.figures.panels import FigureDict, Panels, Pen, Point
from zooaudit.views.text import spoken

SUBTITLE = "invariance at Pool and Final"

Series = tuple[Pen, Report | ComparedAudit, TransformName]


def parts(audits: Sequence[Report | ComparedAudit]) -> FigureDict:
    """Draw the scores of the five parts with their intervals (the thesis's Figures 11 and 12).

    One model's transforms are in one panel, its warps in another; of several models, each transform has a panel.
    """
    part_names = [part_name for part_name in PARTS if any(part_name in audit.parts for audit in audits)]
    panels = _one_model(audits[0], part_names) if len(audits) == 1 else _several_models(audits, part_names)
    panels.x = {
        "tickvals": list(range(len(part_names))),
        "ticktext": part_names,
        "range": [-0.5, len(part_names) - 0.5],
        "ticks": "",
        "showgrid": False,
    }
    panels.dividers = [index + 0.5 for index in range(len(part_names) - 1)]
    kinds = {"layer_held_out": HELD_OUT, "aligned": ALIGNED, "interpolation": INTERPOLATION}
    few = len(audits) <= FEW
    panels.add_score_legend("markers", [kind for name, kind in kinds.items() if few and _has(audits, name)])
    return panels.figure()


def _one_model(audit: Report | ComparedAudit, part_names: Sequence[PartName]) -> Panels:
    panels = Panels(title([audit]), height=260)
    transforms, pens_of = transforms_of([audit]), transform_pens()
    for heading, are_warps in (("Equivariance", False), ("Equivariance under warps", True)):
        shown = [transform for transform in transforms if (transform in KINDS) is are_warps]
        if not shown:
            continue
        panels.begin(heading, [SUBTITLE])
        series: list[Series] = []
        for transform in shown:
            scores: list[Score] = [getattr(audit.parts[part_name], transform) for part_name in part_names]
            if any(score.channel is not None or score.layer is not None for score in scores):
                series.append((pens_of[transform], audit, transform))
            else:
                reasons = sorted({score.reason or "" for score in scores})
                panels.add_note(f"{spoken(transform).capitalize()}: {', '.join(reasons)}.")
        _add_pairs(panels, part_names, series)
    return panels


def _several_models(audits: Sequence[Report | ComparedAudit], part_names: Sequence[PartName]) -> Panels:
    panels = Panels(title(audits))
    for transform in transforms_of(audits):
        panels.begin(spoken(transform).capitalize(), [SUBTITLE])
        _add_pairs(
            panels, part_names, [(pen, audit, transform) for pen, audit in zip(pens(audits), audits, strict=True)]
        )
    return panels


def _has(audits: Sequence[Report | ComparedAudit], name: str) -> bool:
    """Tell whether a part of an audit has the score ``name``; aligned shifts may be none, and have no mean then."""
    transforms = transforms_of(audits)
    scores = (getattr(part, transform) for audit in audits for part in audit.parts.values() for transform in transforms)
    values = (getattr(score, name, None) for score in scores)
    means = ((value.channel, value.layer) if isinstance(value, Aligned) else (value,) for value in values)
    return any(mean is not None for each in means for mean in each)


def _add_pairs(panels: Panels, part_names: Sequence[PartName], series: Sequence[Series]) -> None:
    """Add points, channel and layer side by side, at each part for each of the ``series``. Few series also have layer
    with held-out partners, and the mean over the aligned shifts as a dash at each mean over all."""
    width = min(0.84 / max(len(series), 1), 0.36)
    few, crowd = len(series) <= FEW, list[Point]()
    for index, (pen, audit, transform) in enumerate(series):
        for place, part_name in enumerate(part_names):
            score: Score | None = getattr(audit.parts.get(part_name), transform, None)
            if score is None:
                continue
            middle = place + (index - (len(series) - 1) / 2) * width
            names = [*SCORES, *(["layer_held_out"] if few and score.layer_held_out is not None else [])]
            points = [
                score_point(
                    middle + side * width / 5,
                    score,
                    score_name,
                    (model_name(audit), f"{part_name}, {spoken(transform)} {MEANINGS.get(score_name, score_name)}"),
                )
                for score_name, side in zip(names, (-1, 1, 2), strict=False)
            ]
            if len(series) > MANY:
                crowd += points
                continue
            panels.add_points(pen._replace(dash="solid"), points, line=1, intervals=few)
            if few:
                hover = (model_name(audit), f"{part_name}, {spoken(transform)}")
                aligned = _aligned(score, points, hover)
                panels.add_points(pen, aligned, line=0)
                panels.add_points(pen, _interpolated(score, middle, hover), line=0)
    if crowd:
        panels.add_points(series[0][0], crowd, line=0, small=True)


def _interpolated(score: Score, x: float, hover: tuple[str, str]) -> list[Point]:
    """Mark what interpolation alone leaves of the maps."""
    value = score.interpolation if isinstance(score, WarpScore | ComparedWarp) else None
    if value is None:
        return []
    text = f"{hover[1]} {MEANINGS['interpolation']}"
    return [Point(x, value, None, None, (hover[0], text), MARKS["interpolation"])]


def _aligned(score: Score, means: Sequence[Point], hover: tuple[str, str]) -> list[Point]:
    """Make a dash at each of the ``means`` of channel and layer, where the mean over the aligned shifts is."""
    aligned = score.aligned if isinstance(score, TranslationScore | ComparedTranslation) else None
    if not aligned:
        return []
    text = f"the mean over only the {aligned.shifts} shifts that are whole cells of the blocks"
    return [
        Point(mean.x, value, None, None, (hover[0], f"{hover[1]} {score_name}, aligned: {text}"), "line-ew")
        for mean, score_name, value in zip(means, SCORES, (aligned.channel, aligned.layer), strict=False)
        if value is not None
    ]
