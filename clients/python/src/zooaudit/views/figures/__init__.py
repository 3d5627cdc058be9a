"""Figures of reports and comparisons, as Plotly takes them: plain ``{"data": [...], "layout": {...}}``.

Nothing here needs plotly, except :func:`draw`, which makes a ``plotly.graph_objects.Figure``, :func:`save` and
:func:`save_page`. All figures follow the same conventions:

- filled marks and solid lines are channel equivariance, open marks and dotted lines are layer equivariance;
- models and parts differ in colour (Okabe and Ito's, safe for the colour-blind) and in mark or dash, for grey print;
- a score that is null is a gap, and a grey cross below the axis whose hover says why;
- a line joins neighbouring shifts and blocks only: shifts between which others were not measured stay apart; of warps
  and deformations, the marks are what was measured, and lines only lead the eye;
- the axis of scores ends at 1, so that figures can be compared, unless all scores are below one half.
"""

from collections.abc import Sequence

from zooaudit.contract import Method, Report, ScoreName, SharedMethod
from zooaudit.views.figures.against_accuracy import accuracy
from zooaudit.views.figures.agreement import agreement
from zooaudit.views.figures.by_deformation import deformations
from zooaudit.views.figures.by_depth import depth
from zooaudit.views.figures.by_part import parts
from zooaudit.views.figures.by_shift import shifts
from zooaudit.views.figures.by_warp import warps
from zooaudit.views.figures.channel_maps import maps
from zooaudit.views.figures.labels import MANY
from zooaudit.views.figures.magnitudes import local_error, variance
from zooaudit.views.figures.measures import measures
from zooaudit.views.figures.panels import FigureDict
from zooaudit.views.figures.plotly_output import draw, save, save_page

__all__ = [
    "MANY",
    "NAMES",
    "FigureDict",
    "accuracy",
    "agreement",
    "deformations",
    "depth",
    "draw",
    "local_error",
    "maps",
    "measures",
    "of",
    "parts",
    "save",
    "save_page",
    "shifts",
    "shown",
    "variance",
    "warps",
]
NAMES = ("parts", "shifts", "agreement", "depth", "warps", "deformations", "local_error", "variance")
"""The figures of reports."""


def shown(methods: Sequence[Method | SharedMethod]) -> tuple[str, ...]:
    """Return the names of the figures that have something to show of reports by these methods: those of warps and of
    other measures only where they were asked for."""
    has = {
        "warps": any(method.warps for method in methods),
        "deformations": any(method.deformation for method in methods),
        "local_error": any(method.local for method in methods),
        "variance": any(method.variance for method in methods),
    }
    return tuple(name for name in NAMES if has.get(name, True))


def of(name: str, reports: Sequence[Report], score: ScoreName = "channel") -> FigureDict:
    """Draw the figure of that name, one of :data:`NAMES`. Raises ValueError for another name."""
    if name == "parts":
        return parts(reports)
    if name == "shifts":
        return shifts(reports, score)
    if name == "agreement":
        return agreement(reports, score)
    if name == "depth":
        return depth(reports, score)
    if name == "warps":
        return warps(reports, score)
    if name == "deformations":
        return deformations(reports)
    if name == "local_error":
        return local_error(reports)
    if name == "variance":
        return variance(reports)
    raise ValueError(f"there is no figure {name!r} of reports: {', '.join(NAMES[:-1])}, or {NAMES[-1]}")
