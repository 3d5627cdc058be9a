"""What the figures are drawn with: panels of scores, with one legend."""

import textwrap
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

Figure = dict[str, Any]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "triangle-down")
DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot")
GREY, TEXT = "#767676", "#1b2430"
AXIS = {
    "automargin": True,
    "gridcolor": "#e3e6ea",
    "linecolor": GREY,
    "showline": True,
    "tickcolor": GREY,
    "ticklen": 4,
    "ticks": "outside",
    "zeroline": False,
}
STYLE = {
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
PANEL_PX, GAP_PX, AXIS_PX, LINE_PX = 190, 44, 36, 20


class Pen(NamedTuple):
    """How one model, or one part, is drawn. ``label`` is text, not markup."""

    label: str
    colour: str
    symbol: str = "circle"
    dash: str = "solid"


class Point(NamedTuple):
    """One score of a figure; ``what`` is text that says of what."""

    x: float
    value: float | None
    interval: tuple[float, float] | None
    reason: str | None
    what: tuple[str, ...]
    open: bool = False


class Panels:
    """Panels below each other, or in columns, with one legend, one range of scores and one axis across."""

    def __init__(self, title: str, columns: int = 1, height: int = PANEL_PX, gap: int = GAP_PX) -> None:
        self.x: dict[str, Any] = {}
        self.borders: list[float] = []
        self._title, self._columns, self._height, self._gap = title, columns, height, gap
        self._titles: list[tuple[str, list[str], list[str]]] = []
        self._traces: list[tuple[int | None, dict[str, Any]]] = []
        self._labels: dict[str, None] = {}
        self._missing: list[tuple[int, Point]] = []
        self._scored: set[int] = set()
        self._top = 0.0
        self._notes: list[str] = []

    def add(self, title: str, lines: Sequence[str] = (), hover: Sequence[str] = ()) -> None:
        """Begins a panel; ``lines`` stand below its title, ``hover`` is shown over it."""
        self._titles.append((title, list(lines), list(hover)))

    def say(self, note: str) -> None:
        """Adds a line below the title."""
        self._notes.append(note)

    def draw(
        self,
        pen: Pen,
        points: Sequence[Point],
        line: float,
        *,
        intervals: bool = False,
        band: bool = False,
        marks: bool = True,
        small: bool = False,
    ) -> None:
        """Points in one pen, joined by a line of that width unless it is 0; null ones become gaps."""
        panel = len(self._titles) - 1
        self._missing += [(panel, point) for point in points if point.value is None]
        found = [point for point in points if point.value is not None]
        if not found:
            return
        self._scored.add(panel)
        self._top = max([self._top, *(point.value or 0 for point in found)])
        if band:
            self._band(pen, points)
        mode = "+".join(name for name, wanted in (("lines", line), ("markers", marks)) if wanted)
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": mode,
            "name": _text(pen.label),
            "legendgroup": pen.label,
            "showlegend": bool(pen.label) and pen.label not in self._labels,
            "x": [point.x for point in points],
            "y": [point.value for point in points],
            "hoverinfo": "text",
            "hovertext": [_hover(point) for point in points],
            "cliponaxis": False,
        }
        if line:
            trace["line"] = {"color": pen.colour, "width": line, "dash": pen.dash}
        if marks:
            symbols = [f"{pen.symbol}-open" if point.open else pen.symbol for point in points]
            trace["marker"] = {"color": pen.colour, "symbol": symbols, "size": 6 if small else 8}
            trace["marker"]["line"] = {"color": pen.colour, "width": 1.5}
        if intervals and any(point.interval for point in found):
            trace["error_y"] = {
                "type": "data",
                "symmetric": False,
                "array": [point.interval[1] - (point.value or 0) if point.interval else None for point in points],
                "arrayminus": [(point.value or 0) - point.interval[0] if point.interval else None for point in points],
                "color": pen.colour,
                "thickness": 1,
                "width": 3,
            }
            self._top = max(self._top, *(point.interval[1] for point in found if point.interval))
        self._labels.setdefault(pen.label)
        self._traces.append((panel, trace))

    def line(self, ends: Sequence[tuple[float, float]], dash: str) -> None:
        """A straight line that belongs to no pen."""
        trace = {"type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip"}
        trace |= {"x": [x for x, _ in ends], "y": [y for _, y in ends]}
        trace |= {"line": {"color": GREY, "width": 1.5, "dash": dash}}
        self._traces.append((len(self._titles) - 1, trace))

    def _band(self, pen: Pen, points: Sequence[Point]) -> None:
        """The intervals of neighbouring points, as an area; a gap in the points is a gap in the area."""
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
            self._top = max(self._top, *(y for _, y in edge))
            trace = {"type": "scatter", "mode": "lines", "fill": "toself", "showlegend": False, "hoverinfo": "skip"}
            trace |= {"x": [x for x, _ in edge], "y": [y for _, y in edge], "line": {"width": 0}}
            trace |= {"fillcolor": translucent(pen.colour, 0.2), "legendgroup": pen.label}
            self._traces.append((len(self._titles) - 1, trace))

    def explain_kinds(self, mode: str) -> None:
        """Says in the legend what filled and open, solid and dotted mean."""
        for kind, symbol, dash in (("channel", "circle", "solid"), ("layer", "circle-open", "dot")):
            trace: dict[str, Any] = {"type": "scatter", "x": [None], "y": [None], "name": kind, "hoverinfo": "skip"}
            trace |= {"mode": mode, "showlegend": True, "legendgroup": f"kind {kind}"}
            trace |= {"marker": {"color": GREY, "symbol": symbol, "size": 8, "line": {"color": GREY, "width": 1.5}}}
            trace |= {"line": {"color": GREY, "dash": dash, "width": 1.5}}
            self._labels.setdefault(kind)
            self._traces.append((None, trace))

    def figure(self) -> Figure:
        """The whole; panels without any score are left out, saying why."""
        shown = [panel for panel in range(len(self._titles)) if panel in self._scored]
        for panel in sorted(set(range(len(self._titles))) - set(shown)):
            if reasons := {point.reason or "not measured" for at, point in self._missing if at == panel}:
                self.say(f"{self._titles[panel][0]}: {', '.join(sorted(reasons))}.")
        notes = [line for note in self._notes for line in textwrap.wrap(note, 54)]
        above = 16 + (24 if self._title else 0) + LINE_PX * len(notes)
        if not shown:
            hidden = {"visible": False}
            margin = {"l": 14, "r": 14, "t": above, "b": 14}
            empty = {"height": above + 40, "margin": margin, "xaxis": hidden, "yaxis": hidden}
            return {"data": [], "layout": {"template": {"layout": STYLE}, **empty, **self._heading(notes, 0)}}

        step = next((step for step in (0.02, 0.05, 0.1) if self._top <= 5 * step), 0.25)
        top = max(5 * step if step < 0.25 else 1.0, self._top)
        crosses = self._crosses(-0.045 * top)
        scores = {"tick0": 0, "dtick": step, "tickformat": ".2f", "range": [-0.09 * top if crosses else 0, 1.03 * top]}
        rows = -(-len(shown) // self._columns)
        inside = rows * (self._height + self._gap) - self._gap
        heads = 18 * (1 + max(len(self._titles[panel][1]) for panel in shown))
        below = 2 * AXIS_PX + LINE_PX * _legend_rows([*self._labels, *(["not measured"] if crosses else [])])
        layout: dict[str, Any] = {
            "template": {"layout": STYLE},
            "height": above + heads + inside + below,
            "margin": {"l": 44, "r": 14, "t": above + heads, "b": below},
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": -(AXIS_PX + (18 if "title" in self.x else 0)) / inside,
                "yanchor": "top",
                "itemsizing": "constant",
                "traceorder": "normal",
            },
            "shapes": [],
            **self._heading(notes, heads),
        }
        for index, panel in enumerate(shown):
            row, column = divmod(index, self._columns)
            share = (1 - 0.08 * (self._columns - 1)) / self._columns
            high = 1 - row * (self._height + self._gap) / inside
            last = index + self._columns >= len(shown)
            x, y = _axes(index)
            layout[f"xaxis{x[1:]}"] = {
                **{key: value for key, value in self.x.items() if last or key != "title"},
                "anchor": y,
                "domain": [column * (share + 0.08), column * (share + 0.08) + share],
                "showticklabels": last,
                **({"matches": "x"} if index else {}),
            }
            layout[f"yaxis{y[1:]}"] = {
                **scores,
                "anchor": x,
                "domain": [max(0.0, high - self._height / inside), high],
                "showticklabels": column == 0,
                **({"matches": "y"} if index else {}),
            }
            title, lines, hover = self._titles[panel]
            text = {"text": "<br>".join([f"<b>{_text(title)}</b>", *map(_text, lines)])}
            place = {"x": 0, "xref": f"{x} domain", "y": 1, "yref": f"{y} domain", "yshift": 2}
            told = {"hovertext": "<br>".join(map(_text, hover))} if hover else {}
            layout["annotations"].append({**NOTE, **text, **place, **told, "font": {"size": 10 if lines else 12}})
            layout["shapes"] += [
                {"type": "line", "xref": x, "x0": at, "x1": at, "yref": f"{y} domain", "y0": 0, "y1": 1}
                | {"layer": "below", "line": {"color": "#c4c9d0", "width": 1, "dash": "dot"}}
                for at in self.borders
            ]
        return {
            "data": [
                trace | dict(zip(("xaxis", "yaxis"), _axes(0 if panel is None else shown.index(panel)), strict=True))
                for panel, trace in self._traces + crosses
                if panel is None or panel in shown
            ],
            "layout": layout,
        }

    def _heading(self, notes: Sequence[str], px: int) -> dict[str, Any]:
        """The title and what else there is to say, so much above the panels."""
        lines = [f"<b>{_text(short(self._title))}</b>"] if self._title else []
        lines += [f'<span style="font-size:12px">{_text(line)}</span>' for line in notes]
        place = {"x": 0, "xref": "paper", "y": 1, "yref": "paper", "yshift": px + 2, "font": {"size": 13.5}}
        return {"annotations": [{**NOTE, "text": "<br>".join(lines), **place}] if lines else []}

    def _crosses(self, y: float) -> list[tuple[int | None, dict[str, Any]]]:
        """A mark below the axis for each score that is null, with its reason."""
        crosses: list[tuple[int | None, dict[str, Any]]] = []
        for panel in sorted({panel for panel, _ in self._missing} & self._scored):
            points = [point for at, point in self._missing if at == panel]
            trace: dict[str, Any] = {"type": "scatter", "mode": "markers", "name": "not measured"}
            trace |= {"legendgroup": "not measured", "showlegend": not crosses, "cliponaxis": False}
            trace |= {"x": [point.x for point in points], "y": [y] * len(points)}
            trace |= {"hoverinfo": "text", "hovertext": [_hover(point) for point in points]}
            trace |= {"marker": {"color": GREY, "symbol": "x-thin", "size": 6, "line": {"color": GREY, "width": 1.5}}}
            crosses.append((panel, trace))
        return crosses


NOTE = {"showarrow": False, "xanchor": "left", "yanchor": "bottom", "align": "left"}


def _axes(index: int) -> tuple[str, str]:
    number = str(index + 1) if index else ""
    return f"x{number}", f"y{number}"


def _hover(point: Point) -> str:
    if point.value is None:
        found = f"not measured: {point.reason or 'no reason is given'}"
    else:
        found = f"{point.value:.3f}"
        if point.interval:
            found += f" (95 % {point.interval[0]:.3f} to {point.interval[1]:.3f})"
    lines = [line for text in (*point.what, found) for line in ([text] if len(text) <= 60 else textwrap.wrap(text, 60))]
    return "<br>".join(map(_text, lines))


def _legend_rows(labels: Sequence[str]) -> int:
    """How many rows a legend takes on a page; on a phone Plotly gives it more."""
    widest = max(map(len, labels), default=0)
    columns = max(1, int(700 / (7 * widest + 50)))
    return -(-len([label for label in labels if label]) // columns)


def _text(text: str) -> str:
    """As Plotly shows it letter by letter: it would take tags for markup, and what is between dollars for a formula.

    >>> _text("<b>$a$</b>")
    '&lt;b&gt;&#36;a&#36;&lt;/b&gt;'
    """
    return escape(text, quote=False).replace("$", "&#36;")


def translucent(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def short(name: str, length: int = 40) -> str:
    """The name, its middle left out where it is longer.

    >>> short("timm/a_name_that_is_much_too_long.for_a_legend", 24)
    'timm/a_nam….for_a_legend'
    """
    return name if len(name) <= length else f"{name[: length // 2 - 2]}…{name[-(length - length // 2 + 1) :]}"
