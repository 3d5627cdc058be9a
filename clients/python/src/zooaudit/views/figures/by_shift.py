"""The figure of the scores over shifts."""

from collections.abc import Sequence

from zooaudit.contract import PARTS, PartName, Report, ScoreName
from zooaudit.views.figures.labels import MANY, model_name, pens, title
from zooaudit.views.figures.panels import FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import COLOURS, DASHES, SYMBOLS


def shifts(reports: Sequence[Report], score: ScoreName = "channel") -> FigureDict:
    """Draw the scores over shifts, which shows where subsampling breaks equivariance periodically (the thesis's
    Figure 8).

    One model has a curve for each part and score; several have a panel for each part, with a curve of ``score`` for
    each model.
    """
    panels = _one_model(reports[0]) if len(reports) == 1 else _several_models(reports, score)
    longest = max((shift for report in reports for shift in report.method.translations_px), default=0)
    if not longest:
        panels.add_note("No shift was asked for.")
    panels.x = {
        "title": {"text": "shift in px", "standoff": 6, "font": {"size": 12}},
        "tick0": 0,
        "dtick": next((step for step in (1, 2, 4, 8) if longest <= 10 * step), 16),
        "range": [0, longest + 0.5],
    }
    if len(reports) == 1:
        panels.add_score_legend("lines")
    return panels.figure()


def _one_model(report: Report) -> Panels:
    panels = Panels(title([report]), height=300)
    panels.begin("Translation equivariance by shift")
    for part_name, colour, symbol, dash in zip(PARTS, COLOURS, SYMBOLS, DASHES, strict=False):
        if part_name in report.parts:
            pen = Pen(part_name, colour, symbol, dash)
            panels.add_points(pen, _curve(report, part_name, "channel"), line=2)
            panels.add_points(pen._replace(dash="dot"), _curve(report, part_name, "layer"), line=1, marks=False)
    return panels


def _several_models(reports: Sequence[Report], score_name: ScoreName) -> Panels:
    panels = Panels(title(reports), height=130)
    is_crowd = len(reports) > MANY
    for part_name in PARTS:
        panels.begin(f"{part_name}, translation {score_name}")
        for report, pen in zip(reports, pens(reports), strict=True):
            if part_name in report.parts:
                curve = _curve(report, part_name, score_name)
                panels.add_points(pen, curve, line=1 if is_crowd else 2, marks=not is_crowd, small=True)
    return panels


def _curve(report: Report, part_name: PartName, score_name: ScoreName) -> list[Point]:
    return [
        Point(
            row.shift_px,
            getattr(row, score_name),
            None,
            row.reason,
            (model_name(report), f"{part_name}, shift {row.shift_px} px, {score_name}"),
        )
        for row in report.parts[part_name].translation.by_transform
    ]
