"""The figure of the scores against ImageNet accuracy."""

from collections.abc import Mapping

from zooaudit.contract import SCORES, TRANSFORMS, AccuracyRelation, Comparison, PartName, ScoreName, TransformName
from zooaudit.views.figures.labels import MANY, model_name, pens, score_point, shared_weights
from zooaudit.views.figures.panels import FigureDict, Panels
from zooaudit.views.text import spoken

NO_MARK = "\u2003"
"""A space about as wide as the mark of the line above."""


def accuracy(comparison: Comparison) -> FigureDict:
    """Draw each score against ImageNet top-1 accuracy, with Spearman's rho and the least-squares line (the thesis's
    Figure 13): a row for each part, translation on the left and rotation on the right. Panels of others follow."""
    audits = comparison.audits
    with_top1 = [audit for audit in audits if audit.imagenet_top1 is not None]
    pen_of = dict(zip((audit.id for audit in audits), pens(audits), strict=True))
    panels = Panels(f"Equivariance against ImageNet top-1{shared_weights(audits)}", columns=2, height=140, gap=92)
    low, high = (end(audit.imagenet_top1 or 0 for audit in with_top1) if with_top1 else 0 for end in (min, max))
    for part_name, transform in _places(comparison):
        related = getattr(comparison.accuracy[part_name], transform)
        relations = {score_name: getattr(related, score_name) for score_name in SCORES}
        _begin_panel(panels, f"{part_name}, {spoken(transform)}", relations, low, high)
        for pen in dict.fromkeys(pen_of.values()):
            points = [
                score_point(
                    audit.imagenet_top1 or 0,
                    getattr(audit.parts[part_name], transform),
                    score_name,
                    (
                        model_name(audit),
                        f"top-1 {audit.imagenet_top1:.2f} %",
                        f"{part_name}, {spoken(transform)} {score_name}",
                    ),
                )
                for audit in with_top1
                if pen_of[audit.id] == pen
                for score_name in SCORES
            ]
            panels.add_points(pen, points, line=0, small=len(with_top1) > MANY)
    _add_notes(panels, comparison, left_out=len(audits) - len(with_top1))
    pad = max(0.05 * (high - low), 0.5)
    panels.x = {
        "title": {"text": "top-1, %", "standoff": 4, "font": {"size": 12}},
        "range": [low - pad, high + pad],
        "nticks": 5,
    }
    panels.add_score_legend("markers")
    return panels.figure()


def _places(comparison: Comparison) -> list[tuple[PartName, TransformName]]:
    """List the panels in order, two in a row: three would not fit on a phone."""
    in_rows = [(part_name, transform) for part_name in comparison.accuracy for transform in TRANSFORMS]
    added = [each for each in comparison.method.transforms if each not in TRANSFORMS]
    return in_rows + [(part_name, transform) for transform in added for part_name in comparison.accuracy]


def _begin_panel(
    panels: Panels, title: str, relations: Mapping[ScoreName, AccuracyRelation], low: float, high: float
) -> None:
    """Begin a panel with the rho of both scores below its title, and add their lines from ``low`` to ``high`` top-1."""
    lines = [
        line for mark, relation in zip("●○", relations.values(), strict=True) for line in _rho_lines(mark, relation)
    ]
    reasons = [f"{score_name}: {relation.reason}" for score_name, relation in relations.items() if relation.reason]
    panels.begin(title, lines, reasons)
    for score_name, relation in relations.items():
        if relation.slope is not None and relation.intercept is not None:
            ends = [(top1, relation.intercept + relation.slope * top1) for top1 in (low, high)]
            panels.add_line(ends, "solid" if score_name == "channel" else "dot")


def _add_notes(panels: Panels, comparison: Comparison, left_out: int) -> None:
    """Say why there is no correlation at all, and how many audits are ``left_out`` for want of an accuracy."""
    relations = [
        relation
        for part in comparison.accuracy.values()
        for related in (getattr(part, transform) for transform in comparison.method.transforms)
        for relation in (related.channel, related.layer)
    ]
    if all(relation.spearman is None for relation in relations):
        reasons = {relation.reason for relation in relations if relation.reason}
        panels.add_note(f"No correlations: {' '.join(sorted(reasons))}")
    if left_out:
        panels.add_note(f"Left out, without a top-1 accuracy: {left_out} of {len(comparison.audits)}.")


def _rho_lines(mark: str, relation: AccuracyRelation) -> list[str]:
    """Write Spearman's rho with its p-value, and its interval below, without leading zeros: narrow enough for half a
    phone."""
    if relation.spearman is None or relation.p_value is None:
        return [f"{mark} no ρ"]
    p_value = "p <.001" if relation.p_value < 0.001 else f"p {relation.p_value:.3f}".replace("0.", ".")
    lines = [f"{mark} ρ {_hundredths(relation.spearman)}, {p_value}"]
    if relation.interval:
        low, high = map(_hundredths, relation.interval)
        lines.append(f"{NO_MARK}[{low}, {high}]")
    return lines


def _hundredths(value: float) -> str:
    """Write a correlation as statisticians do.

    >>> _hundredths(-0.416), _hundredths(-0.001), _hundredths(1)
    ('−.42', '.00', '1.00')
    """
    return f"{round(value, 2) + 0.0:.2f}".replace("0.", ".").replace("-", "−")
