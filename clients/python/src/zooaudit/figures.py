"""The figures of the library: the public name of :mod:`zooaudit.views.figures`, which describes and draws them."""

from zooaudit.views.figures import (
    MANY,
    NAMES,
    FigureDict,
    accuracy,
    agreement,
    depth,
    draw,
    maps,
    measures,
    of,
    parts,
    save,
    save_page,
    shifts,
)

__all__ = [
    "MANY",
    "NAMES",
    "FigureDict",
    "accuracy",
    "agreement",
    "depth",
    "draw",
    "maps",
    "measures",
    "of",
    "parts",
    "save",
    "save_page",
    "shifts",
]
