"""The figure of the scores of the five parts."""

from collections.abc import Sequence

from zooaudit.contract import PARTS, SCORES, TRANSFORMS, ComparedAudit, PartName, Report, Score, TransformName
from zooaudit.views.figures.labels import FEW, MANY, model_name, pens, score_point, title
from zooaudit.views.figures.panels import FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import COLOURS

SUBTITLE = "invariance at Pool and Final"

Series = tuple[Pen, Report | ComparedAudit, TransformName]


def parts(audits: Sequence[Report | ComparedAudit]) -> FigureDict:
    """Draw the scores of the five parts with their intervals (the thesis's Figures 11 and 12).

    One model's translation and rotation are in one panel; of several models, each transform has a panel.
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
    panels.add_score_legend("markers")
    return panels.figure()


def _one_model(audit: Report | ComparedAudit, part_names: Sequence[PartName]) -> Panels:
    panels = Panels(title([audit]), height=260)
    panels.begin("Equivariance", [SUBTITLE])
    series: list[Series] = []
    for transform, colour, symbol in zip(TRANSFORMS, COLOURS, ("circle", "diamond"), strict=False):
        scores: list[Score] = [getattr(audit.parts[part_name], transform) for part_name in part_names]
        if any(score.channel is not None or score.layer is not None for score in scores):
            series.append((Pen(transform, colour, symbol), audit, transform))
        else:
            reasons = sorted({score.reason or "" for score in scores})
            panels.add_note(f"{transform.title()}: {', '.join(reasons)}.")
    _add_pairs(panels, part_names, series)
    return panels


def _several_models(audits: Sequence[Report | ComparedAudit], part_names: Sequence[PartName]) -> Panels:
    panels = Panels(title(audits))
    for transform in TRANSFORMS:
        panels.begin(transform.title(), [SUBTITLE])
        _add_pairs(
            panels, part_names, [(pen, audit, transform) for pen, audit in zip(pens(audits), audits, strict=True)]
        )
    return panels


def _add_pairs(panels: Panels, part_names: Sequence[PartName], series: Sequence[Series]) -> None:
    """Add a pair of points, channel and layer side by side, at each part for each of the ``series``."""
    width = min(0.84 / max(len(series), 1), 0.36)
    crowd: list[Point] = []
    for index, (pen, audit, transform) in enumerate(series):
        for place, part_name in enumerate(part_names):
            if part_name not in audit.parts:
                continue
            middle = place + (index - (len(series) - 1) / 2) * width
            pair = [
                score_point(
                    middle + side * width / 5,
                    getattr(audit.parts[part_name], transform),
                    score_name,
                    (model_name(audit), f"{part_name}, {transform} {score_name}"),
                )
                for score_name, side in zip(SCORES, (-1, 1), strict=True)
            ]
            if len(series) > MANY:
                crowd += pair
            else:
                panels.add_points(pen._replace(dash="solid"), pair, line=1, intervals=len(series) <= FEW)
    if crowd:
        panels.add_points(series[0][0], crowd, line=0, small=True)
