"""The figure of the scores block by block."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from zooaudit.contract import KINDS, Block, Part, PartName, Report, Score, ScoreName, TransformName, WarpScore
from zooaudit.views.figures.labels import (
    FEW,
    HELD_OUT,
    INTERPOLATION,
    MANY,
    MEANINGS,
    interpolated,
    model_name,
    pens,
    score_point,
    title,
    transform_pens,
    transforms_of,
)
from zooaudit.views.figures.panels import PLOT_PX, Band, FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import GREY
from zooaudit.views.text import spoken

PLACES: dict[PartName, tuple[float, float]] = {
    "Early": (0, 1),
    "Middle": (1, 1),
    "Late": (2, 1),
    "Pool": (3, 0.5),
    "Final": (3.5, 0.5),
}
"""Where each part begins on the axis of depth, and how wide it is."""


class Curve(NamedTuple):
    """One quantity of one report over the depth. ``point`` makes the point at a place on the axis, of a block or of a
    part without blocks, whose text is for the hover; None leaves it out."""

    report: Report
    pen: Pen
    point: Callable[[float, Block | Part, str], Point | None]
    has_band: bool = True


NAME_FONT, NAME_PX, NAME_CHARACTERS = 10, 14, 26
"""Font size of a block's name on the axis, how much room it takes across, and how long it may be."""
MARKED_BLOCKS = 40
"""More blocks than this are lines without marks, which would touch each other."""


def depth(reports: Sequence[Report], score: ScoreName = "channel") -> FigureDict:
    """Draw the scores block by block. Early, Middle and Late have the same width, so that models of any depth can be
    compared; where all models have the same blocks, the axis names them.

    One model has channel and layer with their intervals, and what interpolation alone leaves under warps. Several
    models have ``score``; what interpolation leaves of each would hide the scores, and is in the hover.
    """
    alone = len(reports) == 1
    panels = Panels(title(reports), height=230)
    colours = transform_pens()
    for transform in transforms_of(reports):
        heading = f"{spoken(transform).capitalize()} equivariance"
        panels.begin(heading if alone else f"{heading}, {score}")
        if alone:
            drawn = [
                (reports[0], Pen("", colours[transform].colour, dash=dash), score_name)
                for score_name, dash in _scores_of(reports[0])
            ]
            if transform in KINDS:
                drawn.append((reports[0], Pen("", GREY, dash=INTERPOLATION[2]), "interpolation"))
        else:
            drawn = [(report, pen, str(score)) for report, pen in zip(reports, pens(reports), strict=True)]
        curves = [
            Curve(report, pen, partial(_point, report, transform, name), name != "layer_held_out")
            for report, pen, name in drawn
            if transform in report.method.transforms
        ]
        add_curves(panels, curves, len(reports))
    set_depth_axis(panels, reports)
    if alone:
        has_held_out = len(_scores_of(reports[0])) == 3
        extra = [*([HELD_OUT] if has_held_out else []), *([INTERPOLATION] if reports[0].method.warps else [])]
        panels.add_score_legend("lines+markers", extra)
    return panels.figure()


def set_depth_axis(panels: Panels, reports: Sequence[Report]) -> None:
    """Make the depth of the reports the horizontal axis of all panels."""
    panels.bands = [Band(left, left + width, part_name) for part_name, (left, width) in PLACES.items()]
    panels.x = {"range": [0, sum(PLACES["Final"])], "showgrid": False}
    if len({tuple((block.name, block.part) for block in report.blocks) for report in reports}) == 1:
        names = _shown_names(reports[0].blocks)
        panels.x |= {"tickvals": list(names), "ticktext": list(names.values()), "tickangle": -90}
        panels.x["tickfont"] = {"size": NAME_FONT}
        panels.axis_px = 16 + math.ceil(NAME_FONT * 0.62 * max(map(len, names.values()), default=0))
    else:
        panels.x |= {
            "tickvals": [left + share * width for left, width in PLACES.values() for share in (0, 0.5)],
            "ticktext": [""] * 2 * len(PLACES),
            "title": {"text": "relative depth within each part", "standoff": 6, "font": {"size": 12}},
        }


def _scores_of(report: Report) -> list[tuple[str, str]]:
    """Return the scores that the figure of one report shows, each with the dash of its line."""
    scores = [getattr(block, transform) for block in report.blocks for transform in report.method.transforms]
    has_held_out = any(score.layer_held_out is not None for score in scores)
    return [("channel", "solid"), ("layer", "dot"), *([("layer_held_out", HELD_OUT[2])] if has_held_out else [])]


def _shown_names(blocks: Sequence[Block]) -> dict[float, str]:
    """Name blocks by their places: as many, evenly thinned, as stand beside each other on a phone."""
    nearest = NAME_PX / PLOT_PX * sum(PLACES["Final"])
    names: dict[float, str] = {}
    for part_name, (left, width) in PLACES.items():
        inside = [block.name for block in blocks if block.part == part_name]
        for index, name in enumerate(inside):
            place = left + width * (index + 0.5) / len(inside)
            if not names or place - max(names) >= nearest:
                names[place] = _shortened(name)
    return names


def _shortened(name: str) -> str:
    """Leave out the beginning of a long name, which neighbouring blocks share; the hover has the whole name.

    >>> _shortened("features.denseblock4.denselayer16"), _shortened("layer4.2")
    ('…denseblock4.denselayer16', 'layer4.2')
    """
    if len(name) <= NAME_CHARACTERS:
        return name
    tail = name[-NAME_CHARACTERS + 1 :]
    return f"…{tail[tail.find('.') + 1 :] if name[-NAME_CHARACTERS] != '.' and '.' in tail else tail}"


def add_curves(panels: Panels, curves: Sequence[Curve], models: int) -> None:
    """Add ``curves`` of one or more ``models``. No line leads to Pool and Final, whose scores are invariance."""
    few, crowd = models <= FEW, models > MANY
    for index, (report, pen, point, has_band) in enumerate(curves):
        aside = 0.7 * ((index + 0.5) / len(curves) - 0.5)
        points = _points_by_part(report, point, aside)
        panels.add_points(
            pen,
            [*points["Early"], *points["Middle"], *points["Late"]],
            line=1 if crowd else 1.5,
            band=few and has_band,
            marks=not crowd and len(report.blocks) <= MARKED_BLOCKS,
            small=True,
        )
        panels.add_points(pen, [*points["Pool"], *points["Final"]], line=0, intervals=few, small=crowd)


def _points_by_part(
    report: Report, point: Callable[[float, Block | Part, str], Point | None], aside: float
) -> dict[PartName, list[Point]]:
    """Spread the blocks of each part evenly over the part's place, in order.

    Those of Pool and Final are moved ``aside``, a share of their place, so that models do not hide each other.
    """
    points: dict[PartName, list[Point]] = {}
    for part_name, (left, width) in PLACES.items():
        blocks = [block for block in report.blocks if block.part == part_name]
        moved = aside * width if part_name in ("Pool", "Final") else 0
        made = [
            point(
                left + moved + width * (index + 0.5) / len(blocks),
                block,
                f"{block.name} ({part_name}), {block.channels} x {block.height} x {block.width}",
            )
            for index, block in enumerate(blocks)
        ]
        if not blocks and part_name in report.parts:
            made = [point(left + moved + width / 2, report.parts[part_name], f"{part_name}: no block")]
        points[part_name] = [each for each in made if each]
    return points


def _point(
    report: Report, transform: TransformName, score_name: str, x: float, measured: Block | Part, where: str
) -> Point | None:
    score: Score = getattr(measured, transform)
    alone = score.interpolation if isinstance(score, WarpScore) else None
    if score_name == "interpolation" and alone is None:
        return None  # a map of one cell is not interpolated, which is no score that is missing
    what = f"{spoken(transform)} {MEANINGS.get(score_name, score_name)}"
    return score_point(x, score, score_name, (model_name(report), where, what, *interpolated(alone, score_name)))
