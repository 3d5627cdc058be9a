"""Figures of reports and comparisons, as Plotly takes them: plain ``{"data": [...], "layout": {...}}``.

Nothing here needs plotly; :func:`draw` makes a ``plotly.graph_objects.Figure`` of one. What the figures have in common:

- filled marks and solid lines are channel equivariance, open marks and dotted lines are layer equivariance;
- models and parts differ in colour (Okabe and Ito's, safe for the colour-blind) and in mark or dash, for grey print;
- a score that is null is a gap, and a grey cross below the axis whose hover says why;
- the axis of scores ends at 1, so that figures compare, unless all of them are below one half.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zooaudit.contract import PARTS, AccuracyRelation, ComparedAudit, Comparison, PartName, Report, Score
from zooaudit.views.panels import COLOURS, DASHES, SYMBOLS, Figure, Panels, Pen, Point, short, translucent

if TYPE_CHECKING:
    import plotly.graph_objects

Kind = Literal["channel", "layer"]
KINDS: tuple[Kind, ...] = ("channel", "layer")
TRANSFORMS: tuple[Literal["translation", "rotation"], ...] = ("translation", "rotation")

MANY = 24
"""Models beyond which they no longer differ in colour: all are one, and the hover has the names."""
PNG_PX = 800
"""Width of a PNG, which has twice as many pixels."""
FEW = 6
"""Models up to which intervals are drawn; beyond, the hover has them."""
PLACES: dict[PartName, tuple[float, float]] = {
    "Early": (0, 1),
    "Middle": (1, 1),
    "Late": (2, 1),
    "Pool": (3, 0.5),
    "Final": (3.5, 0.5),
}
"""Where each part begins on the axis of depth, and how wide it is."""


def parts(audits: Sequence[Report | ComparedAudit]) -> Figure:
    """The scores of the five parts with their intervals (the thesis's Figures 11 and 12): one model's translation and
    rotation in one panel, several models' in a panel each."""
    names = [name for name in PARTS if any(name in audit.parts for audit in audits)]
    if len(audits) == 1:
        panels = Panels(_title(audits), height=260)
        panels.add("Equivariance", ["invariance at Pool and Final"])
        series = []
        for transform, colour, symbol in zip(TRANSFORMS, COLOURS, ("circle", "diamond"), strict=False):
            scores: list[Score] = [getattr(audits[0].parts[name], transform) for name in names]
            if any(score.channel is not None or score.layer is not None for score in scores):
                series.append((Pen(transform, colour, symbol), audits[0], transform))
            else:
                panels.say(f"{transform.title()}: {', '.join(sorted({score.reason or '' for score in scores}))}.")
        _pairs(panels, names, series)
    else:
        panels = Panels(_title(audits))
        for transform in TRANSFORMS:
            panels.add(transform.title(), ["invariance at Pool and Final"])
            _pairs(panels, names, [(pen, audit, transform) for pen, audit in zip(_pens(audits), audits, strict=True)])
    panels.x = {"tickvals": list(range(len(names))), "ticktext": names, "range": [-0.5, len(names) - 0.5], "ticks": ""}
    panels.x |= {"showgrid": False}
    panels.borders = [number + 0.5 for number in range(len(names) - 1)]
    panels.explain_kinds("markers")
    return panels.figure()


def _pairs(
    panels: Panels, names: Sequence[PartName], series: Sequence[tuple[Pen, Report | ComparedAudit, str]]
) -> None:
    """Channel and layer beside each other, a pair for each of the series at each part."""
    width = min(0.84 / max(len(series), 1), 0.36)
    several: list[Point] = []
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
            if len(series) > MANY:
                several += pair
            else:
                panels.draw(pen._replace(dash="solid"), pair, line=1, intervals=len(series) <= FEW)
    if several:
        panels.draw(series[0][0], several, line=0, small=True)


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
                    small=not alone,
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
        if not blocks and name in report.parts:
            score: Score = getattr(report.parts[name], transform)
            points[name] = [_point(left + moved + width / 2, score, kind, (_name(report), f"{name}: no block"))]
    return points


def accuracy(comparison: Comparison) -> Figure:
    """Each score against ImageNet top-1 accuracy, with Spearman's rho and the least-squares line (the thesis's
    Figure 13): a row for each part, translation on the left and rotation on the right."""
    with_top1 = [audit for audit in comparison.audits if audit.imagenet_top1 is not None]
    pens = dict(zip((audit.id for audit in comparison.audits), _pens(comparison.audits), strict=True))
    panels = Panels(f"Equivariance against ImageNet top-1{_shared(comparison.audits)}", columns=2, height=140, gap=66)
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
            for pen in dict.fromkeys(pens.values()):
                points = [
                    _point(
                        audit.imagenet_top1 or 0,
                        getattr(audit.parts[name], transform),
                        kind,
                        (_name(audit), f"top-1 {audit.imagenet_top1:.2f} %", f"{name}, {transform} {kind}"),
                    )
                    for audit in with_top1
                    if pens[audit.id] == pen
                    for kind in KINDS
                ]
                panels.draw(pen, points, line=0, small=len(with_top1) > MANY)
    missing = {
        None if relation.spearman is not None else relation.reason
        for related in comparison.accuracy.values()
        for kinds in (related.translation, related.rotation)
        for relation in (kinds.channel, kinds.layer)
    }
    if None not in missing:
        panels.say(f"No correlations: {' '.join(sorted(reason for reason in missing if reason))}")
    if left_out := len(comparison.audits) - len(with_top1):
        panels.say(f"Left out, without a top-1 accuracy: {left_out} of {len(comparison.audits)}.")
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


def save(figure: Figure, html: Path | None = None, png: Path | None = None) -> None:
    """Writes the figure as a page that needs no network, as a PNG, or as both.

    Raises ImportError without plotly, and RuntimeError where a PNG cannot be made, saying what to install.
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


def _point(x: float, score: Score, kind: Kind, what: tuple[str, ...]) -> Point:
    interval = score.channel_interval if kind == "channel" else score.layer_interval
    return Point(x, getattr(score, kind), interval, score.reason, what, open=kind == "layer")


def _rho(relation: AccuracyRelation) -> str:
    """Spearman's rho, its interval and p-value, without leading zeros: narrow enough for half a phone."""
    if relation.spearman is None or relation.p_value is None:
        return "no ρ"
    numbers = f"ρ {_hundredths(relation.spearman)}"
    if relation.interval:
        low, high = map(_hundredths, relation.interval)
        numbers += f" [{low}, {high}]"
    return numbers + (", p <.001" if relation.p_value < 0.001 else f", p {relation.p_value:.3f}".replace("0.", "."))


def _hundredths(value: float) -> str:
    """A correlation as statisticians write it.

    >>> _hundredths(-0.416), _hundredths(-0.001), _hundredths(1)
    ('−.42', '.00', '1.00')
    """
    return f"{round(value, 2) + 0.0:.2f}".replace("0.", ".").replace("-", "−")


def _pens(audits: Sequence[Report | ComparedAudit]) -> list[Pen]:
    """A pen for each; the labels are empty where there are too many for a legend."""
    if len(audits) > MANY:
        return [Pen("", translucent(COLOURS[0], 0.45))] * len(audits)
    labels = [short(_name(audit, with_weights=not _shared(audits))) for audit in audits]
    return [
        Pen(
            label if labels.count(label) == 1 else f"{short(label, 31)} ({audit.id[:6]})",
            COLOURS[index % len(COLOURS)],
            SYMBOLS[index % len(SYMBOLS)],
            DASHES[index % len(DASHES)],
        )
        for index, (label, audit) in enumerate(zip(labels, audits, strict=True))
    ]


def _name(audit: Report | ComparedAudit, with_weights: bool = True) -> str:
    """The model's name, and its weights unless they are the zoo's."""
    name = audit.model.name if isinstance(audit, Report) else audit.model
    weights = _weights(audit)
    return name if weights == "pretrained" or not with_weights else f"{name} ({weights})"


def _weights(audit: Report | ComparedAudit) -> str:
    return audit.model.weights.label if isinstance(audit, Report) else audit.weights


def _title(audits: Sequence[Report | ComparedAudit]) -> str:
    return _name(audits[0]) if len(audits) == 1 else f"{len(audits)} models{_shared(audits)}"


def _shared(audits: Sequence[Report | ComparedAudit]) -> str:
    """The weights of all, where they are not the zoo's: what no label has to repeat."""
    kinds = {_weights(audit) for audit in audits} - {"pretrained"}
    alike = len({_weights(audit) for audit in audits}) == 1
    return f", {kinds.pop()} weights" if kinds and alike else ""
