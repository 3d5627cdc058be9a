"""Figures in Plotly's JSON form."""

from typing import Any

from pydantic import Field

from zooaudit.contract.base import Contract, omit_none


class Figure(Contract):
    """A figure as ``Plotly.newPlot`` and ``plotly.graph_objects.Figure`` accept it."""

    data: tuple[dict[str, Any], ...]
    layout: dict[str, Any]


class Figures(Contract):
    """The figures of one audit or of a comparison; only a comparison has ``accuracy``. Those of warps and
    other measures are absent unless they were asked for."""

    parts: Figure
    shifts: Figure
    agreement: Figure
    depth: Figure
    warps: Figure | None = Field(default=None, exclude_if=omit_none)
    deformations: Figure | None = Field(default=None, exclude_if=omit_none)
    local_error: Figure | None = Field(default=None, exclude_if=omit_none)
    variance: Figure | None = Field(default=None, exclude_if=omit_none)
    accuracy: Figure | None = Field(default=None, exclude_if=omit_none)


class MeasureFigures(Contract):
    """The figure of the rank correlations between measures, with a panel for each matrix."""

    measures: Figure
