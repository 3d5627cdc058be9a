"""The figure of top-1 agreement beside the score of Final."""

from collections.abc import Sequence
from typing import Any

from zooaudit.contract import AngleRow, Report, ScoreName, ShiftRow
from zooaudit.views.figures.by_shift import shift_axis
from zooaudit.views.figures.labels import MANY, MARKS, model_name, pens, title
from zooaudit.views.figures.panels import FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import COLOURS

Row = ShiftRow | AngleRow
AGREEMENT = "top-1 agreement"


def agreement(reports: Sequence[Report], score: ScoreName = "channel") -> FigureDict:
    """Draw by shift and by angle how often the predicted class stays the same, beside ``score`` at Final.

    Final can read high while the class changes: the correlation of logits says little about which is the largest. One
    model has both in one panel; several models have a panel for each, with a curve for each model.
    """
    panels = Panels(title(reports), height=190 if len(reports) == 1 else 150, gap=78)
    rows: list[Row] = []
    for report in reports:
        rows += [*_shifts(report)]
        rows += [*_angles(report)]
    if all(row.top1_agreement is None for row in rows):
        panels.add_note(f"No {AGREEMENT}: {_missing(reports)}")
        return panels.figure()
    if not any(report.method.rotations_deg for report in reports):
        panels.add_note("No rotation was asked for.")
    angles = sorted({row.angle_deg for report in reports for row in _angles(report)})
    by_angle = {
        "title": {"text": "rotation", "standoff": 6, "font": {"size": 12}},
        "tickvals": list(range(len(angles))),
        "ticktext": [f"{angle}°" for angle in angles],
        "range": [-0.5, max(len(angles), 1) - 0.5],
    }
    axes: list[tuple[str, dict[str, Any]]] = [("by shift", shift_axis(reports)), ("by rotation", by_angle)]
    for by, x in axes:
        if len(reports) == 1:
            _one_model(panels, reports[0], by, x, angles)
        else:
            _several_models(panels, reports, score, by, x, angles)
    return panels.figure()


def _one_model(panels: Panels, report: Report, by: str, x: dict[str, Any], angles: Sequence[int]) -> None:
    is_shift = by == "by shift"
    rows: Sequence[Row] = _shifts(report) if is_shift else _angles(report)
    if is_shift and (story := _story(_shifts(report))):
        panels.add_note(story)
    panels.begin(f"{AGREEMENT[0].upper()}{AGREEMENT[1:]} {by}", x=x)
    scores = (
        (Pen(AGREEMENT, COLOURS[1], "diamond"), "top1_agreement"),
        (Pen("Final, channel", COLOURS[0], "circle"), "channel"),
        (Pen("Final, layer", COLOURS[0], "circle", "dot"), "layer"),
    )
    for pen, name in scores:
        points = [_point(report, row, name, angles) for row in rows]
        panels.add_points(pen, points, line=2 if is_shift else 0, step=1)


def _several_models(
    panels: Panels, reports: Sequence[Report], score: ScoreName, by: str, x: dict[str, Any], angles: Sequence[int]
) -> None:
    is_shift, is_crowd = by == "by shift", len(reports) > MANY
    for name, text in (("top1_agreement", "Top-1 agreement"), (score, f"Final, {score}")):
        panels.begin(f"{text} {by}", x=x)
        for index, (report, pen) in enumerate(zip(reports, pens(reports), strict=True)):
            aside = 0.0 if is_shift else 0.7 * ((index + 0.5) / len(reports) - 0.5)
            rows: Sequence[Row] = _shifts(report) if is_shift else _angles(report)
            points = [_point(report, row, name, angles, aside) for row in rows]
            line = 0 if not is_shift else 1 if is_crowd else 2
            panels.add_points(pen, points, line=line, marks=not (is_shift and is_crowd), small=True, step=1)


def _shifts(report: Report) -> Sequence[ShiftRow]:
    return report.parts["Final"].translation.by_transform if "Final" in report.parts else ()


def _angles(report: Report) -> Sequence[AngleRow]:
    return report.parts["Final"].rotation.by_transform if "Final" in report.parts else ()


def _point(report: Report, row: Row, name: str, angles: Sequence[int], aside: float = 0) -> Point:
    if isinstance(row, ShiftRow):
        x, transform = float(row.shift_px), f"shift {row.shift_px} px"
    else:
        x, transform = angles.index(row.angle_deg) + aside, f"rotation {row.angle_deg}°"
    what = AGREEMENT if name == "top1_agreement" else f"Final, {name}"
    return Point(x, getattr(row, name), None, row.reason, (model_name(report), f"{what}, {transform}"), MARKS[name])


def _story(rows: Sequence[ShiftRow]) -> str | None:
    """Say how the agreement and the score of Final differ between the smallest and the largest shift."""
    measured = sorted((row for row in rows if row.top1_agreement is not None), key=lambda row: row.shift_px)
    if len(measured) < 2:
        return None
    first, last = measured[0], measured[-1]
    before, after = f"{first.top1_agreement:.2f}", f"{last.top1_agreement:.2f}"
    if before == after:
        course = f"stays at {before} from {first.shift_px} to {last.shift_px} px"
    else:
        verb = "falls" if after < before else "rises"
        course = f"{verb} from {before} at {first.shift_px} px to {after} at {last.shift_px} px"
    if first.channel is None or last.channel is None:
        return f"The agreement {course}."
    return f"The agreement {course}, while Final's channel reads {first.channel:.2f} and {last.channel:.2f}."


def _missing(reports: Sequence[Report]) -> str:
    """Say why no report has an agreement."""
    if not any("Final" in report.parts for report in reports):
        return "there is no Final, because no classifier was measured."
    reasons = {report.parts["Final"].translation.reason for report in reports if "Final" in report.parts} - {None}
    return f"{'; '.join(sorted(map(str, reasons))) or 'it was not measured'}."
