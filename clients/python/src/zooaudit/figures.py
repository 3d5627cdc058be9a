"""Figures of reports and comparisons, as Plotly takes them: plain ``{"data": [...], "layout": {...}}``.

Nothing here needs plotly; :func:`draw` makes a ``plotly.graph_objects.Figure`` of one. What the figures have in common:

- filled marks and solid lines are channel equivariance, open marks and dotted lines are layer equivariance;
- models and parts differ in colour (Okabe and Ito's, safe for the colour-blind) and in mark or dash, for grey print;
- a score that is null is a gap, and a grey cross below the axis whose hover says why;
- the axis of scores ends at 1, so that figures compare, unless all of them are below one half.
"""

import textwrap
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from zooaudit.contract import PARTS, AccuracyRelation, ComparedAudit, Comparison, PartName, Report, Score

if TYPE_CHECKING:
    import plotly.graph_objects

Figure = dict[str, Any]
Kind = Literal["channel", "layer"]
KINDS: tuple[Kind, ...] = ("channel", "layer")
TRANSFORMS: tuple[Literal["translation", "rotation"], ...] = ("translation", "rotation")

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "triangle-down")
DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot")
MANY = 24
"""Models beyond which they no longer differ in colour: all are one, and the hover has the names."""
FEW = 6
"""Models up to which intervals are drawn; beyond, the hover has them."""
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


def parts(audits: Sequence[Report | ComparedAudit]) -> Figure:
    """The scores of the five parts with their intervals (the thesis's Figures 11 and 12): one model's translation and
    rotation in one panel, several models' in a panel each."""
    names = [name for name in PARTS if any(name in audit.parts for audit in audits)]
    if len(audits) == 1:
        panels = Panels(_title(audits), height=260)
        panels.add("Equivariance; invariance at Pool and Final")
        series = []
        for transform, colour, symbol in zip(TRANSFORMS, COLOURS, ("circle", "diamond"), strict=False):
            scores: list[Score] = [getattr(audits[0].parts[name], transform) for name in names]
            if any(score.channel is not None or score.layer is not None for score in scores):
                series.append((Pen(transform, colour, symbol), audits[0], transform))
            else:
                panels.say(f"{transform.title()}: {', '.join(sorted({score.reason or '' for score in scores}))}.")
        _pairs(panels, names, series)
    else:
        panels = Panels("")
        for transform in TRANSFORMS:
            panels.add(f"{transform.title()}; invariance at Pool and Final")
            _pairs(panels, names, [(pen, audit, transform) for pen, audit in zip(_pens(audits), audits, strict=True)])
    panels.x = {"tickvals": list(range(len(names))), "ticktext": names, "range": [-0.5, len(names) - 0.5], "ticks": ""}
    panels.x |= {"showgrid": False}
    panels.borders = [number + 0.5 for number in range(len(names) - 1)]
    panels.explain_kinds("markers")
    return panels.figure()


def _pairs(
    panels: "Panels", names: Sequence[PartName], series: Sequence[tuple[Pen, Report | ComparedAudit, str]]
) -> None:
    """Channel and layer beside each other, a pair for each of the series at each part."""
    width = min(0.84 / max(len(series), 1), 0.36)
    crowd = len(series) > MANY
    for index, (pen, audit, transform) in enumerate(series):
        for number, name in enumerate(names):
            if name not in audit.parts:
                continue
            middle = number + (index - (len(series) - 1) / 2) * width
            pair = [
                _point(
                    middle + side * width / 5,
                    getattr(audit.parts[name], transform),
                    kind,
                    (_name(audit), f"{name}, {transform} {kind}"),
                )
                for kind, side in zip(KINDS, (-1, 1), strict=True)
            ]
            pen = pen._replace(dash="solid")
            panels.draw(pen, pair, line=0 if crowd else 1, intervals=len(series) <= FEW, small=crowd)


def shifts(reports: Sequence[Report], score: Kind = "channel") -> Figure:
    """The score over shifts, which shows where subsampling breaks equivariance periodically (the thesis's Figure 8):
    a curve for each part of one model; for several, a panel for each part and a curve for each model."""
    alone, crowd = len(reports) == 1, len(reports) > MANY
    panels = Panels(_title(reports), height=300 if alone else 130)
    if alone:
        panels.add("Translation equivariance by shift")
    for number, name in enumerate(PARTS):
        if not alone:
            panels.add(f"{name}, translation {score}")
        for report, pen in zip(reports, _pens(reports), strict=True):
            if name not in report.parts:
                continue
            rows = report.parts[name].translation.by_transform
            if alone:
                pen = Pen(name, COLOURS[number], SYMBOLS[number], DASHES[number])
            for kind in KINDS if alone else (score,):
                curve = [
                    Point(
                        row.shift_px,
                        getattr(row, kind),
                        None,
                        row.reason,
                        (_name(report), f"{name}, shift {row.shift_px} px, {kind}"),
                        open=alone and kind == "layer",
                    )
                    for row in rows
                ]
                thin = alone and kind == "layer"
                panels.draw(
                    pen._replace(dash="dot") if thin else pen,
                    curve,
                    line=1 if thin or crowd else 2,
                    marks=not thin and not crowd,
                )
    longest = max((shift for report in reports for shift in report.method.translations_px), default=0)
    if not longest:
        panels.say("No shift was asked for.")
    panels.x = {
        "title": {"text": "shift in px", "standoff": 6, "font": {"size": 12}},
        "tick0": 0,
        "dtick": next((step for step in (1, 2, 4, 8) if longest <= 10 * step), 16),
        "range": [0, longest + 0.5],
    }
    if alone:
        panels.explain_kinds("lines")
    return panels.figure()


def depth(reports: Sequence[Report], score: Kind = "channel") -> Figure:
    """The score block by block. Early, Middle and Late are as wide as each other, so that models of any depth lie upon
    each other. One model's panels have channel and layer with their intervals, several models' ``score``."""
    alone, few, crowd = len(reports) == 1, len(reports) <= FEW, len(reports) > MANY
    panels = Panels(_title(reports), height=230)
    for transform, colour in zip(TRANSFORMS, COLOURS, strict=False):
        panels.add(f"{transform.title()} equivariance" if alone else f"{transform.title()} equivariance, {score}")
        if alone:
            drawn = [
                (reports[0], Pen("", colour, dash=dash), kind)
                for kind, dash in zip(KINDS, ("solid", "dot"), strict=True)
            ]
        else:
            drawn = [(report, pen, score) for report, pen in zip(reports, _pens(reports), strict=True)]
        for index, (report, pen, kind) in enumerate(drawn):
            points = _profile(report, transform, kind, aside=0.7 * ((index + 0.5) / len(drawn) - 0.5))
            # Those of Pool and Final are invariance: no line leads there.
            panels.draw(
                pen,
                [*points["Early"], *points["Middle"], *points["Late"]],
                line=1 if crowd else 1.5,
                band=few,
                marks=not crowd,
                small=True,
            )
            panels.draw(pen, [*points["Pool"], *points["Final"]], line=0, intervals=few, small=crowd)
    panels.x = {
        "tickvals": [left + width / 2 for left, width in PLACES.values()],
        "ticktext": list(PLACES),
        "range": [0, sum(PLACES["Final"])],
        "showgrid": False,
        "ticks": "",
    }
    panels.borders = [left for left, _ in PLACES.values() if left]
    if alone:
        panels.explain_kinds("lines+markers")
    return panels.figure()


def _profile(report: Report, transform: str, kind: Kind, aside: float) -> dict[PartName, list[Point]]:
    """The blocks' scores by part, in order, evenly over the part's place; those of Pool and Final are moved ``aside``,
    a share of their place, so that models do not hide each other."""
    points: dict[PartName, list[Point]] = {}
    for name, (left, width) in PLACES.items():
        blocks = [block for block in report.blocks if block.part == name]
        moved = aside * width if name in ("Pool", "Final") else 0
        points[name] = [
            _point(
                left + moved + width * (index + 0.5) / len(blocks),
                getattr(block, transform),
                kind,
                (
                    _name(report),
                    f"{block.name} ({name}), {block.channels} x {block.height} x {block.width}",
                    f"{transform} {kind}",
                ),
            )
            for index, block in enumerate(blocks)
        ]
    return points


def accuracy(comparison: Comparison) -> Figure:
    """Each score against ImageNet top-1 accuracy, with Spearman's rho and the least-squares line (the thesis's
    Figure 13): a row for each part, translation on the left and rotation on the right."""
    with_top1 = [audit for audit in comparison.audits if audit.imagenet_top1 is not None]
    pens = dict(zip((audit.id for audit in comparison.audits), _pens(comparison.audits), strict=True))
    panels = Panels("Equivariance against ImageNet top-1", columns=2, height=140, gap=66)
    low, high = (end(audit.imagenet_top1 or 0 for audit in with_top1) if with_top1 else 0 for end in (min, max))
    for name, related in comparison.accuracy.items():
        for transform in TRANSFORMS:
            relations = {kind: getattr(getattr(related, transform), kind) for kind in KINDS}
            lines = [f"{mark} {_rho(relation)}" for mark, relation in zip("●○", relations.values(), strict=True)]
            reasons = [f"{kind}: {relation.reason}" for kind, relation in relations.items() if relation.reason]
            panels.add(f"{name}, {transform}", lines, reasons)
            for kind, relation in relations.items():
                if relation.slope is not None:
                    ends = [(x, relation.intercept + relation.slope * x) for x in (low, high)]
                    panels.line(ends, "solid" if kind == "channel" else "dot")
            for audit in with_top1:
                score: Score = getattr(audit.parts[name], transform)
                pair = [
                    _point(
                        audit.imagenet_top1 or 0,
                        score,
                        kind,
                        (_name(audit), f"top-1 {audit.imagenet_top1:.2f} %", f"{name}, {transform} {kind}"),
                    )
                    for kind in KINDS
                ]
                panels.draw(pens[audit.id], pair, line=0, small=len(with_top1) > MANY)
    if left_out := len(comparison.audits) - len(with_top1):
        panels.say(f"{left_out} of {len(comparison.audits)} audits are left out: no top-1 accuracy is known.")
    pad = max(0.05 * (high - low), 0.5)
    panels.x = {
        "title": {"text": "top-1, %", "standoff": 4, "font": {"size": 12}},
        "range": [low - pad, high + pad],
        "nticks": 5,
    }
    panels.explain_kinds("markers")
    return panels.figure()


def of(kind: str, reports: Sequence[Report], score: Kind = "channel") -> Figure:
    """The figure of that name: parts, shifts or depth. Raises ValueError for another."""
    if kind == "parts":
        return parts(reports)
    if kind == "shifts":
        return shifts(reports, score)
    if kind == "depth":
        return depth(reports, score)
    raise ValueError(f"there is no figure {kind!r} of reports: parts, shifts, or depth")


def draw(figure: Figure) -> "plotly.graph_objects.Figure":
    """The figure as plotly's own object, validated. Raises ImportError, saying what to install, without plotly."""
    try:
        import plotly.graph_objects
    except ImportError:
        raise ImportError("Figures are drawn with plotly: pip install 'zooaudit[plot]'") from None
    return plotly.graph_objects.Figure(figure)


PLACES: dict[PartName, tuple[float, float]] = {
    "Early": (0, 1),
    "Middle": (1, 1),
    "Late": (2, 1),
    "Pool": (3, 0.5),
    "Final": (3.5, 0.5),
}
"""Where each part begins on the axis of depth, and how wide it is."""


class Panels:
    """Panels below each other, or in columns, with one legend, one range of scores and one axis across."""

    def __init__(self, title: str, columns: int = 1, height: int = PANEL_PX, gap: int = GAP_PX) -> None:
        self.x: dict[str, Any] = {}
        self.borders: list[float] = []
        self._title, self._columns, self._height, self._gap = title, columns, height, gap
        self._titles: list[tuple[str, list[str], list[str]]] = []
        self._traces: list[dict[str, Any]] = []
        self._labels: dict[str, None] = {}
        self._missing: list[tuple[int, Point]] = []
        self._scored: set[int] = set()
        self._top = 0.0
        self._notes: list[str] = []

    def add(self, title: str, lines: Sequence[str] = (), hover: Sequence[str] = ()) -> None:
        """Begins a panel; ``lines`` stand below its title, ``hover`` is shown over it."""
        self._titles.append((title, list(lines), list(hover)))

    def say(self, note: str) -> None:
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
            "name": escape(pen.label),
            "legendgroup": pen.label,
            "showlegend": bool(pen.label) and pen.label not in self._labels,
            "x": [point.x for point in points],
            "y": [point.value for point in points],
            "hoverinfo": "text",
            "hovertext": [_hover(point) for point in points],
            "cliponaxis": False,
            "panel": panel,
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
        self._traces.append(trace)

    def line(self, ends: Sequence[tuple[float, float]], dash: str) -> None:
        """A straight line that belongs to no pen."""
        trace = {"type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip"}
        trace |= {"x": [x for x, _ in ends], "y": [y for _, y in ends]}
        trace |= {"line": {"color": GREY, "width": 1.5, "dash": dash}, "panel": len(self._titles) - 1}
        self._traces.append(trace)

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
            trace |= {"x": [x for x, _ in edge], "y": [y for _, y in edge], "line": {"width": 0}, "opacity": 1}
            trace |= {"fillcolor": _translucent(pen.colour, 0.2), "legendgroup": pen.label}
            self._traces.append(trace | {"panel": len(self._titles) - 1})

    def explain_kinds(self, mode: str) -> None:
        """Says in the legend what filled and open, solid and dotted mean."""
        for kind, symbol, dash in (("channel", "circle", "solid"), ("layer", "circle-open", "dot")):
            trace: dict[str, Any] = {"type": "scatter", "x": [None], "y": [None], "name": kind, "hoverinfo": "skip"}
            trace |= {"mode": mode, "showlegend": True, "legendgroup": f"kind {kind}"}
            trace |= {"marker": {"color": GREY, "symbol": symbol, "size": 8, "line": {"color": GREY, "width": 1.5}}}
            trace |= {"line": {"color": GREY, "dash": dash, "width": 1.5}, "panel": None}
            self._labels.setdefault(kind)
            self._traces.append(trace)

    def figure(self) -> Figure:
        """The whole; panels without any score are left out, saying why."""
        panels = [panel for panel in range(len(self._titles)) if panel in self._scored]
        for panel in set(range(len(self._titles))) - set(panels):
            if reasons := {point.reason or "not measured" for at, point in self._missing if at == panel}:
                self.say(f"{self._titles[panel][0]}: {', '.join(sorted(reasons))}.")
        step = next((step for step in (0.02, 0.05, 0.1) if self._top <= 5 * step), 0.25)
        top = max(5 * step if step < 0.25 else 1.0, self._top)
        crosses = self._crosses(-0.045 * top)
        traces = [trace for trace in self._traces + crosses if trace["panel"] in (*panels, None)]
        rows = -(-len(panels) // self._columns)
        notes = [line for note in self._notes for line in textwrap.wrap(note, 60)]
        heads = 1 + max((len(self._titles[panel][1]) for panel in panels), default=0)
        above = 16 + (24 if self._title else 0) + LINE_PX * len(notes)
        inside = max(rows * (self._height + self._gap) - self._gap, 1)
        legend = LINE_PX * _legend_rows([*self._labels, *(["not measured"] if crosses else [])])
        layout: dict[str, Any] = {
            "template": {"layout": STYLE},
            "height": above + 18 * heads + inside + 2 * AXIS_PX + legend,
            "margin": {"l": 44, "r": 14, "t": above + 18 * heads, "b": 2 * AXIS_PX + legend},
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": -(AXIS_PX + (18 if "title" in self.x else 0)) / inside,
                "yanchor": "top",
                "itemsizing": "constant",
                "traceorder": "normal",
            },
            "annotations": [],
            "shapes": [],
        }
        text = [f"<b>{escape(_short(self._title))}</b>"] if self._title else []
        text += [f'<span style="font-size:12px">{escape(line)}</span>' for line in notes]
        if text:
            layout["annotations"].append(
                {**NOTE, "text": "<br>".join(text), "x": 0, "y": 1, "yshift": 18 * heads + 2, "yref": "paper"}
                | {"xref": "paper", "font": {"size": 14}}
            )
        width = (1 - 0.08 * (self._columns - 1)) / self._columns
        for index, panel in enumerate(panels):
            row, column = divmod(index, self._columns)
            name = "" if index == 0 else str(index + 1)
            high = 1 - row * (self._height + self._gap) / inside
            left = column * (width + 0.08)
            last = index + self._columns >= len(panels)
            layout[f"xaxis{name}"] = {
                **{key: value for key, value in self.x.items() if last or key != "title"},
                "anchor": f"y{name}",
                "domain": [left, left + width],
                "showticklabels": last,
                **({"matches": "x"} if index else {}),
            }
            layout[f"yaxis{name}"] = {
                "anchor": f"x{name}",
                "domain": [max(0.0, high - self._height / inside), high],
                "range": [(-0.09 if crosses else 0) * top, 1.03 * top],
                "tick0": 0,
                "dtick": step,
                "tickformat": ".2f",
                "showticklabels": column == 0,
                **({"matches": "y"} if index else {}),
            }
            title, lines, hover = self._titles[panel]
            if title:
                layout["annotations"].append(
                    {**NOTE, "text": "<br>".join([f"<b>{escape(title)}</b>", *map(escape, lines)])}
                    | {"x": 0, "xref": f"x{name} domain", "y": 1, "yref": f"y{name} domain", "yshift": 2}
                    | ({"hovertext": "<br>".join(map(escape, hover))} if hover else {})
                    | {"font": {"size": 10.5 if lines else 12}}
                )
            layout["shapes"] += [
                {"type": "line", "xref": f"x{name}", "x0": x, "x1": x, "yref": f"y{name} domain", "y0": 0, "y1": 1}
                | {"layer": "below", "line": {"color": "#c4c9d0", "width": 1, "dash": "dot"}}
                for x in self.borders
            ]
        for trace in traces:
            index = panels.index(trace["panel"]) if trace["panel"] in panels else 0
            name = "" if index == 0 else str(index + 1)
            trace |= {"xaxis": f"x{name}", "yaxis": f"y{name}"}
            del trace["panel"]
        if not panels:
            layout |= {"height": above + 60, "xaxis": {"visible": False}, "yaxis": {"visible": False}}
            layout |= {"showlegend": False, "margin": {"l": 14, "r": 14, "t": above, "b": 14}}
        return {"data": traces, "layout": layout}

    def _crosses(self, y: float) -> list[dict[str, Any]]:
        """A mark below the axis for each score that is null, with its reason."""
        crosses: list[dict[str, Any]] = []
        for panel in sorted({panel for panel, _ in self._missing} & self._scored):
            points = [point for at, point in self._missing if at == panel]
            trace: dict[str, Any] = {"type": "scatter", "mode": "markers", "name": "not measured", "panel": panel}
            trace |= {"legendgroup": "not measured", "showlegend": not crosses, "cliponaxis": False}
            trace |= {"x": [point.x for point in points], "y": [y] * len(points)}
            trace |= {"hoverinfo": "text", "hovertext": [_hover(point) for point in points]}
            trace |= {"marker": {"color": GREY, "symbol": "x-thin", "size": 6, "line": {"color": GREY, "width": 1.5}}}
            crosses.append(trace)
        return crosses


NOTE = {"showarrow": False, "xanchor": "left", "yanchor": "bottom", "align": "left"}


def _point(x: float, score: Score, kind: Kind, what: tuple[str, ...]) -> Point:
    interval = score.channel_interval if kind == "channel" else score.layer_interval
    return Point(x, getattr(score, kind), interval, score.reason, what, open=kind == "layer")


def _hover(point: Point) -> str:
    if point.value is None:
        found = f"not measured: {point.reason or 'no reason is given'}"
    else:
        found = f"{point.value:.3f}"
        if point.interval:
            found += f" (95 % {point.interval[0]:.3f} to {point.interval[1]:.3f})"
    return "<br>".join(escape(line) for text in (*point.what, found) for line in textwrap.wrap(text, 60))


def _rho(relation: AccuracyRelation) -> str:
    """Spearman's rho, its interval and p-value, without leading zeros: narrow enough for a telephone's half."""
    if relation.spearman is None or relation.p_value is None:
        return "no ρ"
    numbers = f"ρ {relation.spearman:.2f}"
    if relation.interval:
        numbers += " [{:.2f}, {:.2f}]".format(*relation.interval)
    numbers += ", p <0.001" if relation.p_value < 0.001 else f", p {relation.p_value:.3f}"
    return numbers.replace("0.", ".").replace("-", "−")


def _pens(audits: Sequence[Report | ComparedAudit]) -> list[Pen]:
    """A pen for each; the labels are empty where there are too many for a legend."""
    if len(audits) > MANY:
        return [Pen("", _translucent(COLOURS[0], 0.45))] * len(audits)
    labels = [_short(_name(audit)) for audit in audits]
    return [
        Pen(
            label if labels.count(label) == 1 else f"{_short(label, 31)} ({audit.id[:6]})",
            COLOURS[index % len(COLOURS)],
            SYMBOLS[index % len(SYMBOLS)],
            DASHES[index % len(DASHES)],
        )
        for index, (label, audit) in enumerate(zip(labels, audits, strict=True))
    ]


def _name(audit: Report | ComparedAudit) -> str:
    """The model's name, and its weights unless they are the zoo's."""
    if isinstance(audit, Report):
        name, weights = audit.model.name, audit.model.weights.kind
    else:
        name, weights = audit.model, audit.weights
    return name if weights == "pretrained" else f"{name} ({weights})"


def _title(audits: Sequence[Report | ComparedAudit]) -> str:
    return _name(audits[0]) if len(audits) == 1 else ""


def _short(name: str, length: int = 40) -> str:
    """The name, its middle left out where it is longer.

    >>> _short("timm/a_name_that_is_much_too_long.for_a_legend", 24)
    'timm/a_nam….for_a_legend'
    """
    return name if len(name) <= length else f"{name[: length // 2 - 2]}…{name[-(length - length // 2 + 1) :]}"


def _legend_rows(labels: Sequence[str]) -> int:
    """How many rows a legend takes on a page; on a phone Plotly gives it more."""
    widest = max(map(len, labels), default=0)
    columns = max(1, int(600 / (7 * widest + 50)))
    return -(-len([label for label in labels if label]) // columns)


def _translucent(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"
