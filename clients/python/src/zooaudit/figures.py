"""The figures of the library: the public name of :mod:`zooaudit.views.figures`, which describes and draws them."""

from zooaudit.views.figures import MANY, FigureDict, accuracy, depth, draw, maps, of, parts, save, shifts

__all__ = ["MANY", "FigureDict", "accuracy", "depth", "draw", "maps", "of", "parts", "save", "shifts"]
