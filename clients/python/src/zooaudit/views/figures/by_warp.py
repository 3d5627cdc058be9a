"""The figure of the scores over the amounts of warps."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from zooaudit.contract import KINDS, PARTS, WARPS, PartName, Report, ScoreName, TransformName, WarpKind, WarpRow
from zooaudit.views.figures.by_shift import held_out
from zooaudit.views.figures.labels import FEW, INTERPOLATION, MANY, MARKS, interpolated, model_name, pens, title
from zooaudit.views.figures.panels import PLOT_PX, FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import COLOURS, DASHES, GREY, SYMBOLS
from zooaudit.views.text import spoken, warp_amount

AXES: dict[WarpKind, str] = {
    "translation": "shift in px",
    "rotation": "angle in degrees",
    "scale": "factor of scale",
    "shear": "shear of x by y",
}
TICK_CHARACTER_PX = 7
"""How wide a character of an axis is."""


def warps(reports: Sequence[Report], score: ScoreName = "channel") -> FigureDict:
    """Draw the scores over the amounts of each kind of warps, and what interpolation alone leaves of the maps.

    One model has a curve for each part and score; several have a panel for each kind and part, with a curve of
    ``score`` for each model. Of more than :data:`FEW` models, only the hover says what interpolation leaves. The marks
    are what was measured; the lines lead the eye from one to the next.
    """
    kinds = [kind for kind in WARPS if any(each.kind == kind for report in reports for each in report.method.warps)]
    panels = Panels(title(reports), height=300 if len(reports) == 1 else 130, gap=78)
    if not kinds:
        panels.add_note("No warp was asked for.")
    for kind in kinds:
        if len(reports) == 1:
            _one_model(panels, reports[0], kind)
        else:
            _several_models(panels, reports, score, kind)
    if len(reports) == 1 and kinds:
        panels.add_score_legend("lines+markers", [INTERPOLATION])
    elif len(reports) <= FEW and kinds:
        panels.add_legend("lines+markers", [INTERPOLATION])
    return panels.figure()


def warp_axis(reports: Sequence[Report], kind: WarpKind) -> dict[str, Any]:
    """Return the settings of an axis that has all amounts of one kind of warps of the reports. It names them where they
    are so few, and so far apart, that their names stand beside each other on a phone."""
    warps = [each for report in reports for each in report.method.warps if each.kind == kind]
    amounts = sorted({amount for each in warps for amount in each.amounts})
    low, high = amounts[0], amounts[-1]
    pad = 0.05 * (high - low) or max(0.1 * abs(high), 0.001)
    axis = {"title": {"text": AXES[kind], "standoff": 6, "font": {"size": 12}}, "range": [low - pad, high + pad]}
    names = [f"{amount:g}".replace("-", "−") for amount in amounts]
    nearest = min((after - before for before, after in pairwise(amounts)), default=math.inf)
    if nearest / (high - low + 2 * pad) * PLOT_PX >= TICK_CHARACTER_PX * (max(map(len, names)) + 1):
        axis |= {"tickvals": amounts, "ticktext": names}
    return axis


def _one_model(panels: Panels, report: Report, kind: WarpKind) -> None:
    transform = WARPS[kind]
    panels.begin(f"{spoken(transform).capitalize()} equivariance", x=warp_axis([report], kind))
    for part_name, colour, symbol, dash in zip(PARTS, COLOURS, SYMBOLS, DASHES, strict=False):
        if part_name in report.parts:
            pen = Pen(part_name, colour, symbol, dash)
            panels.add_points(pen, _curve(report, part_name, transform, "channel"), line=2, small=True)
            layer = _curve(report, part_name, transform, "layer")
            panels.add_points(pen._replace(dash="dot"), layer, line=1, small=True)
            _add_interpolation(panels, pen, report, part_name, transform, line_colour=GREY)


def _several_models(panels: Panels, reports: Sequence[Report], score_name: ScoreName, kind: WarpKind) -> None:
    transform, x, is_crowd = WARPS[kind], warp_axis(reports, kind), len(reports) > MANY
    for part_name in PARTS:
        panels.begin(f"{part_name}, {spoken(transform)} {score_name}", x=x)
        for report, pen in zip(reports, pens(reports), strict=True):
            if part_name in report.parts:
                curve = _curve(report, part_name, transform, score_name)
                panels.add_points(pen, curve, line=1 if is_crowd else 2, marks=not is_crowd, small=True)
                if len(reports) <= FEW:
                    _add_interpolation(panels, pen, report, part_name, transform)


def _add_interpolation(
    panels: Panels,
    pen: Pen,
    report: Report,
    part_name: PartName,
    transform: TransformName,
    line_colour: str | None = None,
) -> None:
    curve = _curve(report, part_name, transform, "interpolation")
    panels.add_points(pen._replace(dash=INTERPOLATION[2]), curve, line=1.5, small=True, line_colour=line_colour)


def _curve(report: Report, part_name: PartName, transform: TransformName, name: str) -> list[Point]:
    score = getattr(report.parts[part_name], transform)
    rows: Sequence[WarpRow] = score.by_transform if score else ()
    # A map of one cell is not interpolated, which is no score that is missing.
    shown = [row for row in rows if name != "interpolation" or row.interpolation is not None]
    return [
        Point(
            row.amount,
            getattr(row, name),
            None,
            row.reason,
            (
                model_name(report),
                f"{part_name}, {spoken(transform)} {warp_amount(KINDS[transform], row.amount)}, {name}",
                *held_out(row, name),
                *interpolated(row.interpolation, name),
            ),
            MARKS[name],
        )
        for row in shown
    ]
