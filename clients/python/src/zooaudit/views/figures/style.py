"""Colours, marks and text of all figures."""

import re
from html import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "triangle-down")
DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot")
GREY, TEXT = "#767676", "#1b2430"
AXIS = {
    "gridcolor": "#e3e6ea",
    "linecolor": GREY,
    "showline": True,
    "tickcolor": GREY,
    "ticklen": 4,
    "ticks": "outside",
    "zeroline": False,
}
TEMPLATE = {
    "layout": {
        "font": {
            "family": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif",
            "size": 13,
            "color": TEXT,
        },
        "hoverlabel": {"align": "left"},
        "hovermode": "closest",
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "xaxis": AXIS,
        "yaxis": AXIS,
    }
}
ANNOTATION = {"showarrow": False, "xanchor": "left", "yanchor": "bottom", "align": "left"}


def translucent(colour: str, opacity: float) -> str:
    """Make a hexadecimal colour such as "#0072b2" translucent."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def wrapped(text: str, width: int) -> list[str]:
    """Break text into lines of at most ``width`` characters, behind a space or a sign that joins words in names.

    >>> wrapped("timm/vit_large_patch14_clip_336.openai_ft_in12k", 24)
    ['timm/vit_large_patch14_', 'clip_336.openai_ft_in12k']
    """
    lines = [""]
    for word in re.split(r"(?<=[ /._])", text):
        for piece in [word[start : start + width] for start in range(0, len(word), width)]:
            if len(lines[-1]) + len(piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return lines


def literal(text: str) -> str:
    """Escape text so that Plotly shows it letter by letter: it takes tags for markup, and dollars for a formula.

    >>> literal("<b>$a$</b>")
    '&lt;b&gt;&#36;a&#36;&lt;/b&gt;'
    """
    return escape(text, quote=False).replace("$", "&#36;")
