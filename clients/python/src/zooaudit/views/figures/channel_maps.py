"""The figure of an explanation: the maps of the strongest channels."""

import base64

from zooaudit.contract import ChannelMaps, Explanation
from zooaudit.views.explanation_tables import laid_names, transform_of
from zooaudit.views.figures.panels import FigureDict, Trace
from zooaudit.views.figures.style import TEMPLATE, literal, wrapped

ROW_PX, TOP_PX, MARGIN_PX, WIDTH_PX = 164, 44, 20, 560
LABEL_PX, ABOVE_LABEL_PX = 34, 8
"""Room for the name of a channel above its maps, and how much of it parts the name from the maps above."""
TITLE_LINE_PX, TITLE_CHARACTERS = 18, 62
GAP = 0.03
"""Share of the figure between two maps."""
DIVERGING = [[0.0, "#0072b2"], [0.5, "#ffffff"], [1.0, "#d55e00"]]


def maps(explanation: Explanation) -> FigureDict:
    """Draw the maps of x and of T(x), laid upon each other, and their difference, a row for each channel."""
    rows = explanation.channels
    traces: list[Trace] = []
    title = wrapped(_title(explanation), TITLE_CHARACTERS)
    top_px = TOP_PX + TITLE_LINE_PX * len(title)
    layout: Trace = {
        "template": TEMPLATE,
        "width": WIDTH_PX,
        "height": top_px + MARGIN_PX + ROW_PX * max(1, len(rows)),
        "margin": {"l": MARGIN_PX, "r": MARGIN_PX, "t": top_px, "b": MARGIN_PX},
        "showlegend": False,
        "annotations": [_text("<br>".join(f"<b>{literal(line)}</b>" for line in title), 0.0, 1.0, 30, "left", 13)],
    }
    layout["annotations"] += [
        _text(literal(name), (column + 0.5) / 3, 1.0, 10, "center", 12)
        for column, name in enumerate((*laid_names(explanation), "difference"))
    ]
    for row, channel in enumerate(rows):
        top = 1 - row / len(rows)
        bottom = 1 - (row + 1) / len(rows)
        for column, trace in enumerate(_traces(channel, explanation)):
            number = 3 * row + column + 1
            axis = "" if number == 1 else str(number)
            traces.append({**trace, "xaxis": f"x{axis}", "yaxis": f"y{axis}"})
            plain = {"visible": False, "fixedrange": True}
            layout[f"xaxis{axis}"] = {**plain, "domain": [column / 3 + GAP / 2, (column + 1) / 3 - GAP / 2]}
            layout[f"yaxis{axis}"] = {
                **plain,
                "domain": [bottom, top - LABEL_PX / (ROW_PX * len(rows))],
                "autorange": "reversed",
                "scaleanchor": f"x{axis}",
            }
        correlation = "none" if channel.correlation is None else f"{channel.correlation:.3f}"
        text = f"channel {channel.channel}, correlation {correlation}"
        layout["annotations"].append(_text(literal(text), GAP / 2, top, -ABOVE_LABEL_PX, "left", 12))
    if not rows:
        layout["annotations"].append(_text("No channel varies over this image.", 0.0, 0.9, 0, "left", 12))
    return {"data": traces, "layout": layout}


def cells_of(encoded: str, width: int) -> list[list[int]]:
    """Return the rows of a map, of one byte a cell.

    >>> cells_of("AAEC/w==", 2)
    [[0, 1], [2, 255]]
    """
    values = list(base64.b64decode(encoded))
    return [values[start : start + width] for start in range(0, len(values), width)]


def _traces(channel: ChannelMaps, explanation: Explanation) -> list[Trace]:
    def heatmap(encoded: str, low: float, step: float, **how: object) -> Trace:
        rows = [
            [float(f"{low + step * value:.4g}") for value in row] for row in cells_of(encoded, explanation.shown_width)
        ]
        return {"type": "heatmap", "z": rows, "showscale": False, "hovertemplate": "%{z}<extra></extra>", **how}

    step = (channel.high - channel.low) / 255
    shared = {"colorscale": "Viridis", "zmin": channel.low, "zmax": max(channel.high, channel.low + 1e-12)}
    span = max(channel.high - channel.low, 1e-12)
    return [
        heatmap(channel.reference, channel.low, step, **shared),
        heatmap(channel.transformed, channel.low, step, **shared),
        heatmap(
            channel.difference,
            -128 * span / 127,
            span / 127,
            colorscale=DIVERGING,
            zmin=-span,
            zmax=span,
        ),
    ]


def _title(explanation: Explanation) -> str:
    return f"{explanation.block} at {transform_of(explanation)}, {explanation.image}"


def _text(text: str, x: float, y: float, shift_px: int, anchor: str, size: int) -> Trace:
    where = {"xref": "paper", "yref": "paper", "x": x, "y": y, "yshift": shift_px, "xanchor": anchor}
    return {
        **where,
        "yanchor": "top" if shift_px < 10 else "bottom",
        "showarrow": False,
        "text": text,
        "font": {"size": size},
    }
