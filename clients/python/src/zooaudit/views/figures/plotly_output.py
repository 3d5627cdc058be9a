"""Turns a figure into plotly's own object, a page or a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zooaudit.views.figures.panels import FigureDict

if TYPE_CHECKING:
    import plotly.graph_objects

CONFIG = {"displaylogo": False, "responsive": True}
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>zooaudit</title></head>
<body>
{}
</body>
</html>
"""
PNG_PX = 800
"""Width at which a PNG is drawn; the file has twice as many pixels."""


def draw(figure: FigureDict) -> "plotly.graph_objects.Figure":
    """Make plotly's own object of a figure, which plotly validates. Raises ImportError, which says what to install,
    without plotly."""
    try:
        import plotly.graph_objects
    except ImportError:
        raise ImportError("Figures are drawn with plotly: pip install 'zooaudit[plot]'") from None
    return plotly.graph_objects.Figure(figure)


def save(figure: FigureDict, html: Path | None = None, png: Path | None = None, shares_script: bool = False) -> None:
    """Write a figure as a page that needs no network, as a PNG, or as both.

    A page holds plotly.js, 5 MB. With ``shares_script`` it reads plotly.min.js beside it instead, which is written
    once for all pages of a folder. Raises ImportError without plotly, and RuntimeError where no PNG can be made; both
    say what to install.
    """
    drawn = draw(figure)
    if html:
        drawn.write_html(html, include_plotlyjs="directory" if shares_script else True, config=CONFIG)
    if png:
        try:
            drawn.write_image(png, format="png", width=PNG_PX, scale=2)
        except (RuntimeError, ValueError) as error:
            raise RuntimeError(
                "A PNG is made with kaleido and a Chrome or Chromium of this machine: pip install 'zooaudit[plot]', "
                "and for example apt install chromium"
            ) from error


def save_page(figures: Sequence[FigureDict], html: Path) -> None:
    """Write several figures as one page, which needs no network and holds plotly.js once. Raises ImportError, which
    says what to install, without plotly."""
    drawn = [draw(figure) for figure in figures]
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=index == 0, config=CONFIG, default_height=None)
        for index, figure in enumerate(drawn)
    ]
    html.write_text(PAGE.format("\n".join(parts)), encoding="utf-8")
