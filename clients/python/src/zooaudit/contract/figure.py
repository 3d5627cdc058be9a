"""Figures, as Plotly takes them."""

from typing import Any

from pydantic import Field

from zooaudit.contract.base import Contract, omit_none


class Figure(Contract):
    """What ``Plotly.newPlot`` and ``plotly.graph_objects.Figure`` take."""

    data: tuple[dict[str, Any], ...]
    layout: dict[str, Any]


class Figures(Contract):
    """The figures of one audit or of several; ``accuracy`` of a comparison only."""

    parts: Figure
    shifts: Figure
    depth: Figure
    accuracy: Figure | None = Field(default=None, exclude_if=omit_none)
