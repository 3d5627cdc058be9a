"""The figure of the scores block by block."""

from collections.abc import Sequence

from zooaudit.contract import TRANSFORMS, PartName, Report, Score, ScoreName, TransformName
from zooaudit.views.figures.labels import FEW, MANY, model_name, pens, score_point, title
from zooaudit.views.figures.panels import FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import COLOURS

PLACES: dict[PartName, tuple[float, float]] = {
    "Early": (0, 1),
    "Middle": (1, 1),
    "Late": (2, 1),
    "Pool": (3, 0.5),
    "Final": (3.5, 0.5),
}
"""Where each part begins on the axis of depth, and how wide it is."""

Curve = tuple[Report, Pen, ScoreName]


def depth(reports: Sequence[Report], score: ScoreName = "channel") -> FigureDict:
    """Draw the scores block by block. Early, Middle and Late have the same width, so that models of any depth can be
    compared.

    One model has channel and layer with their intervals, several models have ``score``.
    """
    alone = len(reports) == 1
    panels = Panels(title(reports), height=230)
    for transform, colour in zip(TRANSFORMS, COLOURS, strict=False):
        panels.begin(f"{transform.title()} equivariance" if alone else f"{transform.title()} equivariance, {score}")
        if alone:
            channel, layer = (Pen("", colour, dash=dash) for dash in ("solid", "dot"))
            curves: list[Curve] = [(reports[0], channel, "channel"), (reports[0], layer, "layer")]
        else:
            curves = [(report, pen, score) for report, pen in zip(reports, pens(reports), strict=True)]
        _add_curves(panels, transform, curves, len(reports))
    panels.x = {
        "tickvals": [left + width / 2 for left, width in PLACES.values()],
        "ticktext": list(PLACES),
        "range": [0, sum(PLACES["Final"])],
        "showgrid": False,
        "ticks": "",
    }
    panels.dividers = [left for left, _ in PLACES.values() if left]
    if alone:
        panels.add_score_legend("lines+markers")
    return panels.figure()


def _add_curves(panels: Panels, transform: TransformName, curves: Sequence[Curve], models: int) -> None:
    """Add ``curves`` of one or more ``models``. No line leads to Pool and Final, whose scores are invariance."""
    few, crowd = models <= FEW, models > MANY
    for index, (report, pen, score_name) in enumerate(curves):
        aside = 0.7 * ((index + 0.5) / len(curves) - 0.5)
        points = _points_by_part(report, transform, score_name, aside)
        panels.add_points(
            pen,
            [*points["Early"], *points["Middle"], *points["Late"]],
            line=1 if crowd else 1.5,
            band=few,
            marks=not crowd,
            small=True,
        )
        panels.add_points(pen, [*points["Pool"], *points["Final"]], line=0, intervals=few, small=crowd)


def _points_by_part(
    report: Report, transform: TransformName, score_name: ScoreName, aside: float
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
                    f"{transform} {score_name}",
                ),
            )
            for index, block in enumerate(blocks)
        ]
        if not blocks and part_name in report.parts:
            score: Score = getattr(report.parts[part_name], transform)
            hover = (model_name(report), f"{part_name}: no block")
            points[part_name] = [score_point(left + moved + width / 2, score, score_name, hover)]
    return points
