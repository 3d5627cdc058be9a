"""The figures of the library: the public name of :mod:`zooaudit.views.figures`, which describes and draws them."""

from zooaudit.views.figures import (
    MANY,
    NAMES,
    FigureDict,
    accuracy,
    agreement,
    deformations,
    depth,
    draw,
    maps,
    of,
    parts,
    save,
    save_page,
    shifts,
    shown,
    warps,
)

__all__ = [
    "MANY",
    "NAMES",
    "FigureDict",
    "accuracy",
    "agreement",
    "deformations",
    "depth",
    "draw",
    "maps",
    "of",
    "parts",
    "save",
    "save_page",
    "shifts",
    "shown",
    "warps",
]
