"""The figure of the stability to deformations."""

from collections.abc import Sequence
from typing import Any

from zooaudit.contract import PARTS, DeformationRow, PartName, Report
from zooaudit.views.figures.labels import FEW, MANY, model_name, pens, title
from zooaudit.views.figures.panels import FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import COLOURS, DASHES, SYMBOLS

MOVED = "D, how far deformations move the features"
RATIO = "R = D / G, against noise"


def deformations(reports: Sequence[Report]) -> FigureDict:
    """Draw D against the gradient of the deformations, as the bound on deformations has it, and R by their size.

    One model has a curve for each part; several have a panel for each part, with a curve for each model. The marks are
    what was measured; the lines lead the eye from one to the next.
    """
    panels = Panels(title(reports), height=230 if len(reports) == 1 else 130, gap=78)
    if not any(report.method.deformation for report in reports):
        panels.add_note("No deformation was asked for.")
        return panels.figure()
    gradients = _axis("root mean square of the gradient, px by px")
    displacements = _axis("mean displacement in px")
    widest = max(
        px for report in reports if report.method.deformation for px in report.method.deformation.displacements_px
    )
    for scale, (name, text, x) in enumerate((("deformation", MOVED, gradients), ("ratio", RATIO, displacements))):
        for part_names in [PARTS] if len(reports) == 1 else [(part_name,) for part_name in PARTS]:
            panels.begin(text if len(reports) == 1 else f"{part_names[0]}: {text}", x=x, scale=scale)
            if name == "ratio":
                panels.add_line([(0, 1), (widest, 1)], "dot")
            for report, pen, part_name in _curves(reports, part_names):
                points = [_point(report, part_name, row, name) for row in _rows(report, part_name)]
                crowd = len(reports) > MANY
                few = len(reports) <= FEW
                panels.add_points(pen, points, line=1 if crowd else 2, marks=not crowd, small=True, intervals=few)
    return panels.figure()


def _axis(text: str) -> dict[str, Any]:
    return {"title": {"text": text, "standoff": 6, "font": {"size": 12}}, "rangemode": "tozero"}


def _curves(reports: Sequence[Report], part_names: Sequence[PartName]) -> list[tuple[Report, Pen, PartName]]:
    if len(reports) > 1:
        return [(report, pen, part_names[0]) for report, pen in zip(reports, pens(reports), strict=True)]
    marks = zip(part_names, COLOURS, SYMBOLS, DASHES, strict=False)
    return [(reports[0], Pen(part_name, *mark), part_name) for part_name, *mark in marks]


def _rows(report: Report, part_name: PartName) -> Sequence[DeformationRow]:
    part = report.parts.get(part_name)
    return part.second_opinion.deformation if part and part.second_opinion else ()


def _point(report: Report, part_name: PartName, row: DeformationRow, name: str) -> Point:
    what = f"{part_name}, {row.displacement_px:g} px, gradient {row.gradient:.3g}"
    if name == "ratio":
        hover = (model_name(report), f"{what}: R")
        return Point(row.displacement_px, row.ratio, row.ratio_interval, row.reason, hover)
    return Point(row.gradient, row.deformation, None, row.reason, (model_name(report), f"{what}: D"))
