"""Turns a figure into plotly's own object, a page or a picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from zooaudit.views.figures.panels import FigureDict

if TYPE_CHECKING:
    import plotly.graph_objects

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


def save(figure: FigureDict, html: Path | None = None, png: Path | None = None) -> None:
    """Write a figure as a page that needs no network, as a PNG, or as both.

    Raises ImportError without plotly, and RuntimeError where no PNG can be made; both say what to install.
    """
    drawn = draw(figure)
    if html:
        drawn.write_html(html, include_plotlyjs=True, config={"displaylogo": False, "responsive": True})
    if png:
        try:
            drawn.write_image(png, format="png", width=PNG_PX, scale=2)
        except (RuntimeError, ValueError) as error:
            raise RuntimeError(
                "A PNG is made with kaleido and a Chrome or Chromium of this machine: pip install 'zooaudit[plot]', "
                "and for example apt install chromium"
            ) from error
