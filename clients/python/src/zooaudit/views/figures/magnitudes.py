"""The figures of the local equivariance error and of the variance, over the depth."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from zooaudit.contract import GENERATORS, Block, Magnitude, Part, Report
from zooaudit.views.figures.by_depth import Curve, add_curves, set_depth_axis
from zooaudit.views.figures.labels import model_name, pens, title, transform_pens
from zooaudit.views.figures.panels import FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import COLOURS, SYMBOLS
from zooaudit.views.text import spoken

Measure = Literal["local_error", "variance"]

STEPS = {"translation_x": "1 px", "translation_y": "1 px", "rotation": "1°", "scale": "1 %", "shear": "0.01"}
"""For what step of each generator the figure has the error."""
SHEAR = 0.01
"""A report's numbers are for a shear by 1, a hundred times a step like the others', which they would dwarf."""


def local_error(reports: Sequence[Report]) -> FigureDict:
    """Draw the local equivariance error block by block: one model has a curve for each generator; several have a panel
    for each, with a curve for each model."""
    marks = zip(GENERATORS, COLOURS, SYMBOLS, strict=False)
    generators = {name: Pen(f"{spoken(name)}, {STEPS[name]}", colour, symbol) for name, colour, symbol in marks}
    shown = generators if any(report.method.local for report in reports) else {}
    return _over_depth("local_error", "Local equivariance error", "0: equivariant", reports, shown)


def variance(reports: Sequence[Report]) -> FigureDict:
    """Draw the variance over transforms by that over images, block by block: one model has a curve for each kind of
    transform; several have a panel for each, with a curve for each model."""
    asked = {name for report in reports if report.method.variance for name in report.method.transforms}
    shown = {name: pen for name, pen in transform_pens().items() if name in asked}
    return _over_depth("variance", "Variance over transforms", "by that over images; 0: invariant", reports, shown)


def _over_depth(
    measure: Measure, heading: str, meaning: str, reports: Sequence[Report], shown: Mapping[Any, Pen]
) -> FigureDict:
    """Draw the quantities of a measure that are ``shown``, by name, each with its pen in the figure of one model."""
    alone = len(reports) == 1
    panels = Panels(title(reports), height=300 if alone else 190, gap=58)
    if not shown:
        panels.add_note(f"No {heading.lower()} was asked for.")
    elif alone:
        panels.begin(heading, [meaning])
        add_curves(panels, [_curve(reports[0], pen, measure, name) for name, pen in shown.items()], models=1)
    else:
        for scale, (name, quantity) in enumerate(shown.items()):
            panels.begin(f"{heading}, {quantity.label}", [meaning], scale=scale)
            models = zip(reports, pens(reports), strict=True)
            add_curves(panels, [_curve(report, pen, measure, name) for report, pen in models], len(reports))
    set_depth_axis(panels, reports)
    return panels.figure()


def _curve(report: Report, pen: Pen, measure: Measure, name: str) -> Curve:
    return Curve(report, pen, partial(_point, report, measure, name))


def _point(report: Report, measure: Measure, name: str, x: float, measured: Block | Part, where: str) -> Point | None:
    values: Mapping[str, Magnitude] = getattr(measured.second_opinion, measure, {})
    magnitude = values.get(name)
    if magnitude is None:
        return None
    unit = SHEAR if name == "shear" else 1.0
    value = None if magnitude.value is None else unit * magnitude.value
    interval = (unit * magnitude.interval[0], unit * magnitude.interval[1]) if magnitude.interval else None
    what = f"local error, {spoken(name)} by {STEPS[name]}" if measure == "local_error" else f"variance, {spoken(name)}"
    return Point(x, value, interval, magnitude.reason, (model_name(report), where, what))
