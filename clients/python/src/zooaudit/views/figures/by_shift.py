"""The figure of the scores over shifts."""

from collections.abc import Sequence
from typing import Any

from zooaudit.contract import PARTS, PartName, Report, ScoreName, ShiftRow, WarpRow
from zooaudit.views.figures.labels import MANY, MARKS, model_name, pens, title
from zooaudit.views.figures.panels import FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import COLOURS, DASHES, SYMBOLS


def shifts(reports: Sequence[Report], score: ScoreName = "channel") -> FigureDict:
    """Draw the scores over shifts, which shows where subsampling breaks equivariance periodically (the thesis's
    Figure 8).

    One model has a curve for each part and score; several have a panel for each part, with a curve of ``score`` for
    each model. A line joins only shifts that differ by one pixel: what lies between others was not measured, and the
    scores rise and fall from pixel to pixel.
    """
    panels = _one_model(reports[0]) if len(reports) == 1 else _several_models(reports, score)
    if not any(report.method.translations_px for report in reports):
        panels.add_note("No shift was asked for.")
    panels.x = shift_axis(reports)
    if len(reports) == 1:
        panels.add_score_legend("lines+markers")
    return panels.figure()


def shift_axis(reports: Sequence[Report]) -> dict[str, Any]:
    """Return the settings of an axis that has all shifts of the reports."""
    longest = max((shift for report in reports for shift in report.method.translations_px), default=0)
    return {
        "title": {"text": "shift in px", "standoff": 6, "font": {"size": 12}},
        "tick0": 0,
        "dtick": next((step for step in (1, 2, 4, 8) if longest <= 10 * step), 16),
        "range": [0, longest + 0.5],
    }


def _one_model(report: Report) -> Panels:
    panels = Panels(title([report]), height=300)
    panels.begin("Translation equivariance by shift")
    for part_name, colour, symbol, dash in zip(PARTS, COLOURS, SYMBOLS, DASHES, strict=False):
        if part_name in report.parts:
            pen = Pen(part_name, colour, symbol, dash)
            panels.add_points(pen, _curve(report, part_name, "channel"), line=2, small=True, step=1)
            layer = _curve(report, part_name, "layer")
            panels.add_points(pen._replace(dash="dot"), layer, line=1, marks=False, small=True, step=1)
    return panels


def _several_models(reports: Sequence[Report], score_name: ScoreName) -> Panels:
    panels = Panels(title(reports), height=130)
    is_crowd = len(reports) > MANY
    for part_name in PARTS:
        panels.begin(f"{part_name}, translation {score_name}")
        for report, pen in zip(reports, pens(reports), strict=True):
            if part_name in report.parts:
                curve = _curve(report, part_name, score_name)
                panels.add_points(pen, curve, line=1 if is_crowd else 2, marks=not is_crowd, small=True, step=1)
    return panels


def _curve(report: Report, part_name: PartName, score_name: ScoreName) -> list[Point]:
    return [
        Point(
            row.shift_px,
            getattr(row, score_name),
            None,
            row.reason,
            (
                model_name(report),
                f"{part_name}, shift {row.shift_px} px, {score_name}",
                *held_out(row, score_name),
            ),
            MARKS[score_name],
        )
        for row in report.parts[part_name].translation.by_transform
    ]


def held_out(row: ShiftRow | WarpRow, score_name: str) -> list[str]:
    """Say beside layer what it is with partners that are chosen on other images, if that was measured."""
    if score_name != "layer" or row.layer_held_out is None:
        return []
    return [f"{row.layer_held_out:.3f} with partners chosen on other images"]
