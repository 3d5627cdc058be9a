"""The figure of a second opinion: how the measures correlate with one another."""

from itertools import pairwise

from zooaudit.contract import Measure, MeasureAgreement, MeasureMatrix, MeasurePair
from zooaudit.views.figures.panels import FigureDict, Trace
from zooaudit.views.figures.style import ANNOTATION, TEMPLATE, literal, wrapped
from zooaudit.views.text import signed

CELL_PX, GAP_PX, TITLE_PX, LINE_PX = 24, 62, 22, 16
BAR_PX, BAR_WIDTH_PX, SCALE_PX = 10, 190, 44
"""Height and width of the colour bar, and the room for it with its ticks."""
RIGHT_PX, BOTTOM_PX, CHARACTER_PX = 14, 40, 5.4
NARROWEST_CELL_PX = 14
"""A column's number still fits; a narrow page scrolls the figure sideways, which says in ``meta`` how wide it is."""
LINE_CHARACTERS = 42
"""How long a line is, so that it fits a phone."""
NUMBERED_UP_TO = 6
"""With more measures there is no room for a number in each cell on a phone; the hover has it."""
SIGN = (
    "+1, blue: the same order; −1, orange: the opposite one; a dash: no rho. The diagonal is empty. Lower is more "
    "equivariant for those with ↓; they are turned around."
)
ZERO = "#edf0f3"
"""The colour of rho = 0, near that of the paper. The dashboard has another for it on a dark page."""
SCALE = [[0.0, "#d55e00"], [0.5, ZERO], [1.0, "#0072b2"]]


def measures(agreement: MeasureAgreement) -> FigureDict:
    """Draw Spearman's rho of any two measures as a matrix, a panel for each level; blue agrees, orange disagrees. The
    diagonal is empty, a pair without rho has a dash.

    The number before a measure's name stands for it below the columns. ↓ marks those that were turned around.
    """
    subject = agreement.models[0] if len(agreement.models) == 1 else f"{len(agreement.models)} models"
    title = [f"<b>{literal(line)}</b>" for line in wrapped(f"{subject}: do measures agree?", LINE_CHARACTERS - 4)]
    lines = [literal(line) for line in wrapped(SIGN, LINE_CHARACTERS)]
    top_px = TITLE_PX * len(title) + LINE_PX * len(lines) + SCALE_PX + GAP_PX
    heights = [CELL_PX * max(len(matrix.measures), 1) for matrix in agreement.matrices]
    longest = max((len(labelled(measure)) for matrix in agreement.matrices for measure in matrix.measures), default=0)
    left_px = round(CHARACTER_PX * (longest + len("  00"))) + 8
    body_px = sum(heights) + GAP_PX * (len(heights) - 1)
    columns = max((len(matrix.measures) for matrix in agreement.matrices), default=0)
    layout: Trace = {
        "template": TEMPLATE,
        "meta": {"narrowest_px": left_px + NARROWEST_CELL_PX * columns + RIGHT_PX},
        "height": top_px + body_px + BOTTOM_PX,
        # All is accounted for; else Plotly would make room for the colour bar once more.
        "margin": {"l": left_px, "r": RIGHT_PX, "t": top_px, "b": BOTTOM_PX, "autoexpand": False},
        "showlegend": False,
        "coloraxis": {"cmin": -1, "cmax": 1, "colorscale": SCALE, "colorbar": _colour_bar(body_px)},
        "annotations": [
            _text("<br>".join(title), 1.0, top_px - TITLE_PX * len(title), 15, left_px),
            _text("<br>".join(lines), 1.0, SCALE_PX + GAP_PX - 20, 12, left_px),
        ],
    }
    data: list[Trace] = []
    tops = [sum(heights[:place]) + GAP_PX * place for place in range(len(heights) + 1)]
    for number, (matrix, (top, _), height) in enumerate(
        zip(agreement.matrices, pairwise(tops), heights, strict=True), start=1
    ):
        axis = "" if number == 1 else str(number)
        y_top, y_bottom = 1 - top / body_px, 1 - (top + height) / body_px
        data += [{**trace, "xaxis": f"x{axis}", "yaxis": f"y{axis}"} for trace in (_heatmap(matrix), _dashes(matrix))]
        places = list(range(len(matrix.measures)))
        plain = {"fixedrange": True, "showgrid": False, "showline": False, "ticks": "", "tickvals": places}
        layout[f"xaxis{axis}"] = {
            **plain,
            "anchor": f"y{axis}",
            "range": [-0.5, max(len(places), 1) - 0.5],
            "ticktext": [str(place + 1) for place in places],
            "tickfont": {"size": 10},
        }
        layout[f"yaxis{axis}"] = {
            **plain,
            "anchor": f"x{axis}",
            "range": [max(len(places), 1) - 0.5, -0.5],
            "domain": [max(y_bottom, 0), y_top],
            "ticktext": [f"{literal(labelled(measure))}  {place + 1}" for place, measure in enumerate(matrix.measures)],
            "tickfont": {"size": 11},
        }
        layout["annotations"].append(_text(f"<b>{literal(level_name(matrix))}</b>", y_top, 4, 12, left_px))
    return {"data": data, "layout": layout}


def labelled(measure: Measure) -> str:
    """Name a measure, with a mark where lower is more equivariant."""
    return f"{measure.label} ↓" if measure.lower_is_better else measure.label


def level_name(matrix: MeasureMatrix) -> str:
    """Name the level of a matrix, and how many blocks or models are there."""
    names = {"blocks": "Blocks, Early to Late", "depth": "Whole depth"}
    noun = "blocks" if matrix.level == "blocks" else "models"
    return f"{names.get(matrix.level, matrix.level)}, {matrix.points} {noun}"


def square(matrix: MeasureMatrix) -> list[list[MeasurePair | None]]:
    """Lay the pairs out as a square of rows and columns in the order of the measures; the diagonal is None."""
    by_names = {frozenset((pair.first, pair.second)): pair for pair in matrix.pairs}
    names = [measure.name for measure in matrix.measures]
    return [[by_names.get(frozenset((row, column))) for column in names] for row in names]


def _heatmap(matrix: MeasureMatrix) -> Trace:
    pairs, labels = square(matrix), [measure.label for measure in matrix.measures]
    texts = [[_number(pair) for pair in row] for row in pairs]
    return {
        "type": "heatmap",
        "z": [[None if pair is None else pair.rho for pair in row] for row in pairs],
        "coloraxis": "coloraxis",
        "xgap": 1,
        "ygap": 1,
        "text": texts,
        "customdata": [
            [_hover(pair, labels[row], labels[column]) for column, pair in enumerate(cells)]
            for row, cells in enumerate(pairs)
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
        **({"texttemplate": "%{text}", "textfont": {"size": 10}} if len(labels) <= NUMBERED_UP_TO else {}),
    }


def _dashes(matrix: MeasureMatrix) -> Trace:
    """Mark the pairs without rho, which have no colour."""
    missing = [
        (column, row)
        for row, cells in enumerate(square(matrix))
        for column, pair in enumerate(cells)
        if pair is not None and pair.rho is None
    ]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [column for column, _ in missing],
        "y": [row for _, row in missing],
        "text": "–",
        "textfont": {"size": 13},
        "hoverinfo": "skip",
    }


def _colour_bar(body_px: int) -> Trace:
    """Lay a bar of all colours out below the text that explains them."""
    return {
        "orientation": "h",
        "x": 0,
        "xref": "container",
        "xanchor": "left",
        "xpad": 8,
        "y": 1 + (GAP_PX - 20) / body_px,
        "yanchor": "bottom",
        "ypad": 0,
        "len": BAR_WIDTH_PX,
        "lenmode": "pixels",
        "thickness": BAR_PX,
        "outlinewidth": 0,
        "tickvals": [-1, -0.5, 0, 0.5, 1],
        "ticktext": ["−1", "−.5", "0", ".5", "+1"],
        "tickfont": {"size": 10},
    }


def _number(pair: MeasurePair | None) -> str:
    """Write rho without a leading zero, as there is little room."""
    if pair is None or pair.rho is None:
        return ""
    return f"{pair.rho:.2f}".replace("0.", ".").replace("-", "−")


def _hover(pair: MeasurePair | None, row: str, column: str) -> str:
    if pair is None:
        return literal(row)
    lines = [row, column, f"ρ {signed(pair.rho, pair.interval)}, n {pair.n}"]
    return "<br>".join(map(literal, lines + ([pair.reason] if pair.reason else [])))


def _text(text: str, y: float, up_px: int, size: int, left_px: int) -> Trace:
    """Place text at the edge of the figure, ``left_px`` left of its panels and ``up_px`` above the height ``y``."""
    where = {"xref": "paper", "yref": "paper", "x": 0, "y": y, "xshift": 8 - left_px, "yshift": up_px}
    return {**ANNOTATION, **where, "text": text, "font": {"size": size}}
