"""The figure of the scores block by block."""

import math
from collections.abc import Sequence

from zooaudit.contract import KINDS, Block, PartName, Report, Score, ScoreName, TransformName
from zooaudit.views.figures.labels import (
    FEW,
    HELD_OUT,
    INTERPOLATION,
    MANY,
    MEANINGS,
    model_name,
    pens,
    score_point,
    title,
    transforms_of,
)
from zooaudit.views.figures.panels import LEFT_PX, PHONE_PX, RIGHT_PX, Band, FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import COLOURS, GREY
from zooaudit.views.text import spoken

PLACES: dict[PartName, tuple[float, float]] = {
    "Early": (0, 1),
    "Middle": (1, 1),
    "Late": (2, 1),
    "Pool": (3, 0.5),
    "Final": (3.5, 0.5),
}
"""Where each part begins on the axis of depth, and how wide it is."""

Curve = tuple[Report, Pen, str]
NAME_FONT, NAME_PX, NAME_CHARACTERS = 10, 14, 26
"""Font size of a block's name on the axis, how much room it takes across, and how long it may be."""
MARKED_BLOCKS = 40
"""More blocks than this are lines without marks, which would touch each other."""
PLOT_PX = PHONE_PX - LEFT_PX - RIGHT_PX
"""Width of a panel on a phone."""


def depth(reports: Sequence[Report], score: ScoreName = "channel") -> FigureDict:
    """Draw the scores block by block. Early, Middle and Late have the same width, so that models of any depth can be
    compared; where all models have the same blocks, the axis names them.

    One model has channel and layer with their intervals, several models have ``score``.
    """
    alone = len(reports) == 1
    panels = Panels(title(reports), height=230)
    for transform, colour in zip(transforms_of(reports), COLOURS, strict=False):
        name = spoken(transform).capitalize()
        panels.begin(f"{name} equivariance" if alone else f"{name} equivariance, {score}")
        if alone:
            curves: list[Curve] = [
                (reports[0], Pen("", colour, dash=dash), score_name) for score_name, dash in _scores_of(reports[0])
            ]
            if transform in KINDS:
                curves.append((reports[0], Pen("", GREY, dash=INTERPOLATION[2]), "interpolation"))
        else:
            curves = [(report, pen, score) for report, pen in zip(reports, pens(reports), strict=True)]
        _add_curves(panels, transform, curves, len(reports))
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
    if alone:
        has_held_out = len(_scores_of(reports[0])) == 3
        extra = [*([HELD_OUT] if has_held_out else []), *([INTERPOLATION] if reports[0].method.warps else [])]
        panels.add_score_legend("lines+markers", extra)
    return panels.figure()


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


def _add_curves(panels: Panels, transform: TransformName, curves: Sequence[Curve], models: int) -> None:
    """Add ``curves`` of one or more ``models``. No line leads to Pool and Final, whose scores are invariance."""
    few, crowd = models <= FEW, models > MANY
    for index, (report, pen, score_name) in enumerate(curves):
        if transform not in report.method.transforms:
            continue
        aside = 0.7 * ((index + 0.5) / len(curves) - 0.5)
        points = _points_by_part(report, transform, score_name, aside)
        panels.add_points(
            pen,
            [*points["Early"], *points["Middle"], *points["Late"]],
            line=1 if crowd else 1.5,
            band=few and score_name != "layer_held_out",
            marks=not crowd and len(report.blocks) <= MARKED_BLOCKS,
            small=True,
        )
        panels.add_points(pen, [*points["Pool"], *points["Final"]], line=0, intervals=few, small=crowd)


def _points_by_part(
    report: Report, transform: TransformName, score_name: str, aside: float
) -> dict[PartName, list[Point]]:
    """Spread the blocks of each part evenly over the part's place, in order.

    Those of Pool and Final are moved ``aside``, a share of their place, so that models do not hide each other.
    """
    points: dict[PartName, list[Point]] = {}
    for part_name, (left, width) in PLACES.items():
        blocks = [block for block in report.blocks if block.part == part_name]
        moved = aside * width if part_name in ("Pool", "Final") else 0
        points[part_name] = [
            score_point(
                left + moved + width * (index + 0.5) / len(blocks),
                getattr(block, transform),
                score_name,
                (
                    model_name(report),
                    f"{block.name} ({part_name}), {block.channels} x {block.height} x {block.width}",
                    f"{spoken(transform)} {MEANINGS.get(score_name, score_name)}",
                ),
            )
            for index, block in enumerate(blocks)
        ]
        if not blocks and part_name in report.parts:
            score: Score = getattr(report.parts[part_name], transform)
            hover = (model_name(report), f"{part_name}: no block")
            points[part_name] = [score_point(left + moved + width / 2, score, score_name, hover)]
    return points
