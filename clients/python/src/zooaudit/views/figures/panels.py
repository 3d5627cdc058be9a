"""The panels of a figure, and how they are laid out."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from zooaudit.views.figures.style import ANNOTATION, GREY, TEMPLATE, literal, translucent, wrapped

FigureDict = dict[str, Any]
"""A figure as Plotly takes it, with ``data`` and ``layout``."""
Trace = dict[str, Any]
PANEL_PX, GAP_PX, AXIS_PX = 190, 44, 36
LEFT_PX, RIGHT_PX = 44, 14
PHONE_PX = 300
"""Narrowest width for which texts are broken and rows of the legend are counted: a figure is laid out once, for all."""
PLOT_PX = PHONE_PX - LEFT_PX - RIGHT_PX
"""Width of a panel in one column at that width."""
TITLE_LINE_PX, NOTE_LINE_PX, LEGEND_LINE_PX = 18, 16, 16
BAND_PX = 16
"""Height of the names of bands, above a panel."""
COLUMN_GAP = 0.08
"""Share of the figure's width between two columns."""
CROSS_LABEL = "not measured"
TITLE_CHARACTERS, NOTE_CHARACTERS, LEGEND_CHARACTERS = 36, 42, 36
"""How long a line may be, in the font size of each."""
SHORT_LABEL = 14
"""Several labels of up to this many characters stand beside each other in a legend."""


class Pen(NamedTuple):
    """How one model, or one part, is drawn. ``label`` is text, not markup; without one the legend leaves it out."""

    label: str
    colour: str
    symbol: str = "circle"
    dash: str = "solid"


class Point(NamedTuple):
    """One score of a figure. ``hover`` are lines of text that say what was measured. ``symbol`` is its mark, where {}
    stands for that of the pen."""

    x: float | None
    value: float | None
    interval: tuple[float, float] | None
    reason: str | None
    hover: tuple[str, ...]
    symbol: str = "{}"


class Band(NamedTuple):
    """A named range of the horizontal axis."""

    left: float
    right: float
    name: str


@dataclass
class Panel:
    """One panel of a figure. ``lines`` are below its title, ``hover`` is shown over it, ``x`` are the settings of its
    horizontal axis, if it has its own. Panels of one ``scale`` share their vertical axis."""

    title: str
    lines: Sequence[str]
    hover: Sequence[str]
    x: dict[str, Any] | None
    scale: int = 0
    traces: list[Trace] = field(default_factory=list)
    unmeasured: list[Point] = field(default_factory=list)
    has_scores: bool = False


class Panels:
    """Panels in one or more columns, with one legend, and one range of scores for all that are begun with one scale.

    ``x`` are the settings of the horizontal axis of all panels that are not given their own, and ``axis_px`` is the
    room for its labels. ``dividers`` are the places of vertical lines in every panel, ``bands`` its named ranges.
    """

    def __init__(self, title: str, columns: int = 1, height: int = PANEL_PX, gap: int = GAP_PX) -> None:
        self.x: dict[str, Any] = {}
        self.axis_px = AXIS_PX
        self.dividers: list[float] = []
        self.bands: list[Band] = []
        self._title, self._columns, self._height, self._gap = title, columns, height, gap
        self._panels: list[Panel] = []
        self._legend_traces: list[Trace] = []
        self._labels: dict[str, None] = {}
        self._notes: list[str] = []
        self._highest: dict[int, float] = {}

    def begin(
        self,
        title: str,
        lines: Sequence[str] = (),
        hover: Sequence[str] = (),
        x: dict[str, Any] | None = None,
        scale: int = 0,
    ) -> None:
        """Begin a panel. Everything added from now on belongs to it. Panels that are given one ``x`` share an axis, and
        those of one ``scale`` a range of scores.

        Where one ``x`` has a range, all need theirs: behind a group of matching axes with a range, Plotly fits no group
        without one to its points.
        """
        self._panels.append(Panel(title, lines, hover, x, scale))

    def add_note(self, note: str) -> None:
        """Add a line below the title of the figure."""
        self._notes.append(note)

    def add_points(
        self,
        pen: Pen,
        points: Sequence[Point],
        line: float,
        *,
        intervals: bool = False,
        band: bool = False,
        marks: bool = True,
        small: bool = False,
        step: float | None = None,
        line_colour: str | None = None,
    ) -> None:
        """Add points of one pen. ``intervals`` are drawn as bars, a ``band`` is the area between them.

        A line of the width ``line`` joins the points unless it is 0; a point without a value is a gap in it, and so is
        a distance of more than ``step`` between two points. It has the pen's colour unless it is given its own. Without
        ``marks``, points are marked only if one of them stands alone, so that no line shows it.
        """
        panel = self._panels[-1]
        panel.unmeasured += [point for point in points if point.value is None]
        measured = [point for point in points if point.value is not None]
        if not measured:
            return
        panel.has_scores = True
        self._reach(max(point.value or 0 for point in measured))
        if step:
            points = _with_gaps(points, step)
        is_marked = marks or (line > 0 and _has_lone_point(points))
        if band:
            self._add_band(pen, points)
        trace: Trace = {
            "type": "scatter",
            "mode": "+".join(mode for mode, is_drawn in (("lines", line), ("markers", is_marked)) if is_drawn),
            "name": "<br>".join(map(literal, wrapped(pen.label, LEGEND_CHARACTERS))),
            "legendgroup": pen.label,
            "showlegend": bool(pen.label) and pen.label not in self._labels,
            "x": [point.x for point in points],
            "y": [point.value for point in points],
            "hoverinfo": "text",
            "hovertext": [_hover_text(point) if point.hover else "" for point in points],
            "cliponaxis": False,
        }
        if line:
            trace["line"] = {"color": line_colour or pen.colour, "width": line, "dash": pen.dash}
        if is_marked:
            symbols = [point.symbol.format(pen.symbol) for point in points]
            trace["marker"] = {"color": pen.colour, "symbol": symbols, "size": 6 if small else 8}
            trace["marker"]["line"] = {"color": pen.colour, "width": 1.5}
        if intervals and any(point.interval for point in measured):
            trace["error_y"] = _error_bars(pen, points)
            self._reach(max(point.interval[1] for point in measured if point.interval))
        self._labels.setdefault(pen.label)
        panel.traces.append(trace)

    def _reach(self, value: float) -> None:
        """Make the vertical axis of the present panel reach up to a value."""
        scale = self._panels[-1].scale
        self._highest[scale] = max(self._highest.get(scale, 0.0), value)

    def _add_band(self, pen: Pen, points: Sequence[Point]) -> None:
        """Add the intervals of neighbouring points as an area; a gap in the points is a gap in the area."""
        runs: list[list[Point]] = [[]]
        for point in points:
            if point.value is None or point.interval is None:
                runs.append([])
            else:
                runs[-1].append(point)
        for run in runs:
            if len(run) < 2:
                continue
            edge = [(point.x, point.interval[1]) for point in run if point.interval]
            edge += [(point.x, point.interval[0]) for point in reversed(run) if point.interval]
            self._reach(max(y for _, y in edge))
            trace = {"type": "scatter", "mode": "lines", "fill": "toself", "showlegend": False, "hoverinfo": "skip"}
            trace |= {"x": [x for x, _ in edge], "y": [y for _, y in edge], "line": {"width": 0}}
            trace |= {"fillcolor": translucent(pen.colour, 0.2), "legendgroup": pen.label}
            self._panels[-1].traces.append(trace)

    def add_line(self, ends: Sequence[tuple[float, float]], dash: str) -> None:
        """Add a straight grey line that belongs to no pen."""
        trace = {"type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip"}
        trace |= {"x": [x for x, _ in ends], "y": [y for _, y in ends]}
        trace |= {"line": {"color": GREY, "width": 1.5, "dash": dash}}
        self._panels[-1].traces.append(trace)

    def add_score_legend(self, mode: str, extra: Sequence[tuple[str, str, str]] = ()) -> None:
        """Say in the legend what filled and open marks, solid and dotted lines mean, and those of the ``extra`` kinds,
        as :meth:`add_legend` takes them."""
        self.add_legend(mode, [("channel", "circle", "solid"), ("layer", "circle-open", "dot"), *extra])

    def add_legend(self, mode: str, kinds: Sequence[tuple[str, str, str]]) -> None:
        """Say in the legend what kinds of curves mean, each of which has its label, its mark and its dash."""
        for label, symbol, dash in kinds:
            trace: Trace = {"type": "scatter", "x": [None], "y": [None], "name": label, "hoverinfo": "skip"}
            trace |= {"mode": mode if dash else "markers", "showlegend": True, "legendgroup": f"kind {label}"}
            trace |= {"marker": {"color": GREY, "symbol": symbol, "size": 8, "line": {"color": GREY, "width": 1.5}}}
            trace |= {"line": {"color": GREY, "dash": dash or "solid", "width": 1.5}}
            self._labels.setdefault(label)
            self._legend_traces.append(trace)

    def figure(self) -> FigureDict:
        """Lay the panels out. Panels without any score are left out, and a note says why."""
        shown = [panel for panel in self._panels if panel.has_scores]
        notes = self._notes + [
            f"{panel.title}: {', '.join(sorted({point.reason or CROSS_LABEL for point in panel.unmeasured}))}."
            for panel in self._panels
            if panel.unmeasured and not panel.has_scores
        ]
        title = wrapped(self._title, TITLE_CHARACTERS)
        lines = [line for note in notes for line in textwrap.wrap(note, NOTE_CHARACTERS)]
        title_px, notes_px = 6 + TITLE_LINE_PX * len(title), NOTE_LINE_PX * len(lines)
        above = 16 + title_px + notes_px
        if not shown:
            hidden = {"visible": False}
            margin = {"l": LEFT_PX, "r": RIGHT_PX, "t": above, "b": 14}
            layout = {"template": TEMPLATE, "height": above + 40, "margin": margin, "xaxis": hidden, "yaxis": hidden}
            return {"data": [], "layout": layout | _heading(title, lines, 0)}

        crosses = _crosses(shown, {scale: -0.045 * _top(highest) for scale, highest in self._highest.items()})
        panel_heads = 18 + 14 * max(len(panel.lines) for panel in shown) + (BAND_PX if self.bands else 0)
        frame, heading = (
            self._frame(shown, above + panel_heads, has_crosses=bool(crosses)),
            _heading(title, lines, panel_heads),
        )
        layout = frame | heading | {"meta": frame["meta"] | heading["meta"]}
        for index in range(len(shown)):
            self._place(layout, shown, index, has_crosses=bool(crosses))
        traces = [(index, trace) for index, panel in enumerate(shown) for trace in panel.traces]
        traces += [(0, trace) for trace in self._legend_traces]
        data = [
            trace | dict(zip(("xaxis", "yaxis"), _axis_names(index), strict=True)) for index, trace in traces + crosses
        ]
        return {"data": data, "layout": layout}

    def _frame(self, shown: Sequence[Panel], above: int, has_crosses: bool) -> dict[str, Any]:
        """Lay out what surrounds the panels: margins, ``above`` pixels for the heading, and the legend below."""
        axis_px = self.axis_px + (18 if "title" in self._x_of(shown[-1]) else 0)
        legend, legend_px = _legend([*self._labels, *([CROSS_LABEL] if has_crosses else [])])
        height = above + self._inside_px(len(shown)) + axis_px + legend_px
        return {
            "template": TEMPLATE,
            "height": height,
            # All is accounted for; else Plotly would make room for the legend once more, by squeezing the panels.
            "margin": {"l": LEFT_PX, "r": RIGHT_PX, "t": above, "b": axis_px + legend_px, "autoexpand": False},
            "legend": {**legend, "y": legend_px / height},
            "meta": {"legend_px": legend_px, "legend_line_px": LEGEND_LINE_PX},
            "shapes": [],
        }

    def _inside_px(self, count: int) -> int:
        """Return the height of ``count`` panels with the gaps between them."""
        rows = -(-count // self._columns)
        return rows * (self._height + self._gap) - self._gap

    def _x_of(self, panel: Panel) -> dict[str, Any]:
        return self.x if panel.x is None else panel.x

    def _score_axis(self, scale: int, has_crosses: bool) -> dict[str, Any]:
        highest = self._highest[scale]
        top = _top(highest)
        score_range = [-0.09 * top if has_crosses else 0, 1.03 * top]
        return {"tick0": 0, "dtick": _tick(highest), "tickformat": ".2f", "range": score_range}

    def _place(self, layout: dict[str, Any], shown: Sequence[Panel], index: int, has_crosses: bool) -> None:
        """Add to ``layout`` the axes, the title, the dividers and the bands of the panel at ``index`` of ``shown``."""
        panel, count = shown[index], len(shown)
        row, column = divmod(index, self._columns)
        inside = self._inside_px(count)
        width = (1 - COLUMN_GAP * (self._columns - 1)) / self._columns
        left = column * (width + COLUMN_GAP)
        upper = 1 - row * (self._height + self._gap) / inside
        is_lowest = index + self._columns >= count or shown[index + self._columns].x is not panel.x
        first = next(place for place, other in enumerate(shown) if other.x is panel.x)
        first_of_scale = next(place for place, other in enumerate(shown) if other.scale == panel.scale)
        x, y = _axis_names(index)
        layout[f"xaxis{x[1:]}"] = {
            "tickfont": {"size": 11},
            **{key: value for key, value in self._x_of(panel).items() if is_lowest or key != "title"},
            "anchor": y,
            "domain": [left, left + width],
            "showticklabels": is_lowest,
            **({"matches": _axis_names(first)[0]} if index != first else {}),
        }
        layout[f"yaxis{y[1:]}"] = {
            **self._score_axis(panel.scale, has_crosses),
            "anchor": x,
            "domain": [max(0.0, upper - self._height / inside), upper],
            "showticklabels": column == 0,
            **({"matches": _axis_names(first_of_scale)[1]} if index != first_of_scale else {}),
        }
        text = {"text": "<br>".join([f"<b>{literal(panel.title)}</b>", *map(literal, panel.lines)])}
        place = {"x": 0, "xref": f"{x} domain", "y": 1, "yref": f"{y} domain"}
        place["yshift"] = 2 + (BAND_PX if self.bands else 0)
        hover = {"hovertext": "<br>".join(map(literal, panel.hover))} if panel.hover else {}
        font = {"font": {"size": 10 if panel.lines else 12}}
        layout["annotations"].append({**ANNOTATION, **text, **place, **hover, **font})
        layout["shapes"] += [
            {"type": "line", "xref": x, "x0": divider, "x1": divider, "yref": f"{y} domain", "y0": 0, "y1": 1}
            | {"layer": "below", "line": {"color": "#c4c9d0", "width": 1, "dash": "dot"}}
            for divider in self.dividers
        ]
        layout["shapes"] += [
            {"type": "rect", "xref": x, "x0": band.left, "x1": band.right, "yref": f"{y} domain", "y0": 0, "y1": 1}
            | {"layer": "below", "line": {"width": 0}, "fillcolor": translucent(GREY, 0.08)}
            for band in self.bands[1::2]
        ]
        layout["annotations"] += [
            ANNOTATION
            | {"text": literal(band.name), "x": (band.left + band.right) / 2, "xref": x, "xanchor": "center"}
            | {"y": 1, "yref": f"{y} domain", "font": {"size": 11}}
            for band in self.bands
        ]


def _heading(title: Sequence[str], notes: Sequence[str], px: int) -> dict[str, Any]:
    """Write the lines of the title, and below it those of ``notes``, from ``px`` pixels above the panels.

    ``meta`` tells how much lower the figure is without its title: a page whose heading says the same leaves it out.
    A figure also has there the height of its legend and of a line in it: a wide page does not break the names.
    """
    place = {**ANNOTATION, "x": 0, "xref": "paper", "xshift": 8 - LEFT_PX, "y": 1, "yref": "paper"}
    texts = (
        ("title", px + 2 + NOTE_LINE_PX * len(notes), [f"<b>{literal(line)}</b>" for line in title], 13.5),
        ("notes", px + 2, [literal(line) for line in notes], 11),
    )
    annotations = [
        {**place, "name": name, "yshift": shift, "text": "<br>".join(lines), "font": {"size": size}}
        for name, shift, lines, size in texts
        if lines
    ]
    return {"annotations": annotations, "meta": {"title_px": 6 + TITLE_LINE_PX * len(title)}}


def _with_gaps(points: Sequence[Point], step: float) -> list[Point]:
    """Put a gap between neighbouring points that are more than ``step`` apart."""
    spaced: list[Point] = []
    for point in points:
        if spaced and (point.x or 0) - (spaced[-1].x or 0) > step:
            spaced.append(Point(None, None, None, None, ()))
        spaced.append(point)
    return spaced


def _has_lone_point(points: Sequence[Point]) -> bool:
    """Tell whether a point has no neighbour to which a line leads."""
    values = [None, *(point.value for point in points), None]
    neighbours = zip(values, values[1:], values[2:], strict=False)
    return any(value is not None and before is None and after is None for before, value, after in neighbours)


def _error_bars(pen: Pen, points: Sequence[Point]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [point.interval[1] - (point.value or 0) if point.interval else None for point in points],
        "arrayminus": [(point.value or 0) - point.interval[0] if point.interval else None for point in points],
        "color": pen.colour,
        "thickness": 1,
        "width": 3,
    }


def _tick(highest: float) -> float:
    """Return the distance of two ticks on an axis that reaches up to a score."""
    steps = (0.02, 0.05, 0.1) if highest <= 1.5 else (0.5, 1, 2, 5, 10, 20, 50, 100)
    return next((step for step in steps if highest <= 5 * step), 0.25 if highest <= 1.5 else highest / 5)


def _top(highest: float) -> float:
    """Return where an axis ends that reaches up to a score: at 1, so that figures can be compared, unless it is low."""
    step = _tick(highest)
    return max(5 * step if step < 0.25 else 1.0, highest)


def _crosses(shown: Sequence[Panel], y: Mapping[int, float]) -> list[tuple[int, Trace]]:
    """Draw a cross at the ``y`` of its panel's scale for each score that could not be measured, by the index of its
    panel."""
    crosses: list[tuple[int, Trace]] = []
    for index, panel in enumerate(shown):
        if points := panel.unmeasured:
            trace: Trace = {"type": "scatter", "mode": "markers", "name": CROSS_LABEL}
            trace |= {"legendgroup": CROSS_LABEL, "showlegend": not crosses, "cliponaxis": False}
            trace |= {"x": [point.x for point in points], "y": [y[panel.scale]] * len(points)}
            trace |= {"hoverinfo": "text", "hovertext": [_hover_text(point) for point in points]}
            trace |= {"marker": {"color": GREY, "symbol": "x-thin", "size": 6, "line": {"color": GREY, "width": 1.5}}}
            crosses.append((index, trace))
    return crosses


def _axis_names(index: int) -> tuple[str, str]:
    number = str(index + 1) if index else ""
    return f"x{number}", f"y{number}"


def _hover_text(point: Point) -> str:
    if point.value is None:
        score = f"not measured: {point.reason or 'no reason is given'}"
    else:
        score = f"{point.value:.3f}"
        if point.interval:
            score += f" (95 % {point.interval[0]:.3f} to {point.interval[1]:.3f})"
    texts = (*point.hover, score)
    lines = [line for text in texts for line in ([text] if len(text) <= 60 else textwrap.wrap(text, 60))]
    return "<br>".join(map(literal, lines))


def _legend(labels: Sequence[str]) -> tuple[dict[str, Any], int]:
    """Return the settings of a legend and its height in pixels: a column if one label is long, else rows that fit a
    phone."""
    lines = [len(wrapped(label, LEGEND_CHARACTERS)) for label in labels if label]
    widest = max(map(len, labels), default=0)
    columns = 1 if widest > SHORT_LABEL else max(1, PHONE_PX // (8 * widest + 50))
    height = 20 * math.ceil(len(lines) / columns) + sum(LEGEND_LINE_PX * (count - 1) for count in lines)
    legend = {
        "orientation": "v" if widest > SHORT_LABEL else "h",
        "x": 0,
        "xref": "container",
        "xanchor": "left",
        "yref": "container",
        "yanchor": "top",
        "itemsizing": "constant",
        "traceorder": "normal",
        "font": {"size": 12},
        "maxheight": 2 * height,  # else Plotly lets a long legend scroll
    }
    return legend, height + 20
