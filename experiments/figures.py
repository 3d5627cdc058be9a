"""The thesis's figures: channel equivariance at the left, layer equivariance at the right, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from zooaudit.contract import PARTS, SCORES, PartName, Report, TransformName
from zooaudit.views.figures.panels import FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import COLOURS, DASHES, SYMBOLS

from experiments.estimates import Estimate, as_score, over_seeds, score

MINUS_PX = 12
"""How much room a minus takes before a number at the left."""
SPREAD = 0.5
"""Over how much of the room of a part the points of several kinds of networks are spread."""


def by_part(title: str, kinds: Mapping[str, Sequence[Report]], transform: TransformName) -> FigureDict:
    """Draw the scores of the five parts for each kind of networks, as the thesis's Figures 7, 9, 10, 11 and 12 do.

    ``kinds`` has the reports of each kind, one for each seed. Parts that no network has are left out.
    """
    parts = [part for part in PARTS if all(part in report.parts for reports in kinds.values() for report in reports)]
    panels = Panels(title, columns=2)
    for score_name in SCORES:
        panels.begin(f"{score_name.title()} equivariance", ["invariance at Pool and Final"])
        for index, (pen, (kind, reports)) in enumerate(zip(pens(kinds), kinds.items(), strict=True)):
            aside = SPREAD * ((index + 0.5) / len(kinds) - 0.5)
            points = [
                _point(place + aside, score(reports, part, transform, score_name), f"{kind}, {part}, {score_name}")
                for place, part in enumerate(parts)
            ]
            panels.add_points(pen, points, line=1, intervals=True)
    panels.x = _named_places(parts)
    panels.dividers = [index + 0.5 for index in range(len(parts) - 1)]
    return panels.figure()


def by_shift(title: str, kinds: Mapping[str, Sequence[Report]], parts: Sequence[PartName]) -> FigureDict:
    """Draw channel equivariance over the shifts for each part, as the thesis's Figure 8 does, in a panel for each kind.

    The area around a curve is its interval over seeds.
    """
    panels = Panels(title, columns=min(2, len(kinds)))
    for kind, reports in kinds.items():
        panels.begin(kind)
        for part, colour, symbol, dash in zip(parts, COLOURS, SYMBOLS, DASHES, strict=False):
            rows = [report.parts[part].translation.by_transform for report in reports]
            points = [
                _point(
                    same[0].shift_px,
                    as_score(over_seeds([row.channel for row in same])),
                    f"{part}, {same[0].shift_px} px",
                )
                for same in zip(*rows, strict=True)
            ]
            panels.add_points(Pen(part, colour, symbol, dash), points, line=2, band=True, small=True, step=1)
    longest = max(shift for reports in kinds.values() for report in reports for shift in report.method.translations_px)
    panels.x = {
        "title": {"text": "shift in px", "standoff": 6, "font": {"size": 12}},
        "tick0": 0,
        "dtick": 4,
        "range": [0, longest + 0.5],
    }
    return panels.figure()


def by_block(title: str, panels_of: Mapping[str, Mapping[str, Sequence[Estimate]]], names: Sequence[str]) -> FigureDict:
    """Draw a number of each block, as the thesis's Figures 5 and 6 do.

    ``panels_of`` has the curves of each panel by its title, and ``names`` the blocks.
    """
    panels = Panels(title, columns=len(panels_of), height=260)
    curves = {label: None for of_panel in panels_of.values() for label in of_panel}
    pen_of = dict(zip(curves, pens(curves), strict=True))
    for panel, of_panel in panels_of.items():
        panels.begin(panel)
        for label, estimates in of_panel.items():
            points = [_point(place, each, f"{label}, {names[place]}") for place, each in enumerate(estimates)]
            panels.add_points(pen_of[label], points, line=2, intervals=True, small=True)
    panels.x = _named_places(names)
    return panels.figure()


def correlations(title: str, panels_of: Mapping[str, Mapping[str, Mapping[PartName, Estimate]]]) -> FigureDict:
    """Draw a correlation for each part, in panels side by side, as the thesis's Figure 13 does.

    ``panels_of`` has, for the title of each panel, the correlations of each label.
    """
    panels = Panels(title, columns=2)
    for panel, series in panels_of.items():
        panels.begin(panel)
        for index, (pen, (label, by_name)) in enumerate(zip(pens(series), series.items(), strict=True)):
            aside = SPREAD * ((index + 0.5) / len(series) - 0.5)
            points = [_point(place + aside, by_name[part], f"{label}, {part}") for place, part in enumerate(PARTS)]
            panels.add_points(pen, points, line=0, intervals=True)
    panels.x = _named_places(PARTS)
    figure = panels.figure()
    for name, axis in figure["layout"].items():
        if name.startswith("yaxis"):
            axis |= {"range": [-1.05, 1.05], "tick0": -1, "dtick": 0.5, "zeroline": True}
    figure["layout"]["margin"]["l"] += MINUS_PX
    return figure


def pens(labels: Mapping[str, object]) -> list[Pen]:
    """Choose a pen for each label."""
    return [
        Pen(
            label,
            COLOURS[index % len(COLOURS)],
            SYMBOLS[index % len(SYMBOLS)],
            DASHES[index % len(DASHES)],
        )
        for index, label in enumerate(labels)
    ]


def _point(x: float, estimate: Estimate, hover: str) -> Point:
    return Point(x, estimate.value, estimate.interval, estimate.reason, (hover,))


def _named_places(names: Sequence[str]) -> dict[str, Any]:
    return {
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "range": [-0.5, len(names) - 0.5],
        "ticks": "",
        "showgrid": False,
    }
