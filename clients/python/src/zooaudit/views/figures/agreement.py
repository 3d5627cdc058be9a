"""The figure of top-1 agreement beside the score of Final."""

from collections.abc import Sequence
from typing import Any

from zooaudit.contract import ALL_TRANSFORMS, KINDS, AngleRow, Report, ScoreName, ShiftRow, TransformName, WarpRow
from zooaudit.views.agreement import Row, label_of
from zooaudit.views.figures.by_shift import shift_axis
from zooaudit.views.figures.by_warp import warp_axis
from zooaudit.views.figures.labels import MANY, MARKS, model_name, pens, title, transforms_of
from zooaudit.views.figures.panels import FigureDict, Panels, Pen, Point
from zooaudit.views.figures.style import COLOURS
from zooaudit.views.text import spoken

AGREEMENT = "top-1 agreement"


def agreement(reports: Sequence[Report], score: ScoreName = "channel") -> FigureDict:
    """Draw by shift, angle, reflection and warp how often the predicted class stays the same, beside ``score`` at
    Final.

    Final can read high while the class changes: the correlation of logits says little about which is the largest. One
    model has both in one panel; several models have a panel for each, with a curve for each model.
    """
    panels = Panels(title(reports), height=190 if len(reports) == 1 else 150, gap=78)
    if all(row.top1_agreement is None for report in reports for by in ALL_TRANSFORMS for row in _rows(report, by)):
        panels.add_note(f"No {AGREEMENT}: {_missing(reports)}")
        return panels.figure()
    if not any(report.method.rotations_deg for report in reports):
        panels.add_note("No rotation was asked for.")
    for by in transforms_of(reports):
        ticks = list(dict.fromkeys(label_of(row, by) for row in _sorted_rows(reports, by)))
        if by == "translation":
            x = shift_axis(reports)
        else:
            x = warp_axis(reports, KINDS[by]) if by in KINDS else _axis(by, ticks)
        if len(reports) == 1:
            _one_model(panels, reports[0], by, x, ticks)
        else:
            _several_models(panels, reports, score, by, x, ticks)
    return panels.figure()


def _axis(by: TransformName, ticks: Sequence[str]) -> dict[str, Any]:
    """Return the settings of an axis that has a place for each rotation, or for each reflection."""
    return {
        "title": {"text": by, "standoff": 6, "font": {"size": 12}},
        "tickvals": list(range(len(ticks))),
        "ticktext": list(ticks),
        "range": [-0.5, max(len(ticks), 1) - 0.5],
    }


def _one_model(panels: Panels, report: Report, by: TransformName, x: dict[str, Any], ticks: Sequence[str]) -> None:
    is_shift = by == "translation"
    if is_shift and (story := _story(_shifts(report))):
        panels.add_note(story)
    panels.begin(f"{AGREEMENT[0].upper()}{AGREEMENT[1:]} by {_word(by)}", x=x)
    scores = (
        (Pen(AGREEMENT, COLOURS[1], "diamond"), "top1_agreement"),
        (Pen("Final, channel", COLOURS[0], "circle"), "channel"),
        (Pen("Final, layer", COLOURS[0], "circle", "dot"), "layer"),
    )
    for pen, name in scores:
        points = [_point(report, row, name, by, ticks) for row in _rows(report, by)]
        line, step = 2 if _is_curve(by) else 0, 1 if is_shift else None
        is_many = len(points) > MANY
        panels.add_points(pen, points, line, intervals=not is_many, band=is_many, step=step)


def _several_models(
    panels: Panels,
    reports: Sequence[Report],
    score: ScoreName,
    by: TransformName,
    x: dict[str, Any],
    ticks: Sequence[str],
) -> None:
    is_curve, is_crowd = _is_curve(by), len(reports) > MANY
    for name, text in (("top1_agreement", "Top-1 agreement"), (score, f"Final, {score}")):
        panels.begin(f"{text} by {_word(by)}", x=x)
        for index, (report, pen) in enumerate(zip(reports, pens(reports), strict=True)):
            aside = 0.0 if is_curve else 0.7 * ((index + 0.5) / len(reports) - 0.5)
            points = [_point(report, row, name, by, ticks, aside) for row in _rows(report, by)]
            line = 0 if not is_curve else 1 if is_crowd else 2
            step = None if by in KINDS else 1
            panels.add_points(pen, points, line=line, marks=not (is_curve and is_crowd), small=True, step=step)


def _word(by: TransformName) -> str:
    return "shift" if by == "translation" else spoken(by)


def _is_curve(by: TransformName) -> bool:
    """Tell whether the transforms have places of their own on an axis of amounts."""
    return by == "translation" or by in KINDS


def _rows(report: Report, by: TransformName) -> Sequence[Row]:
    score = getattr(report.parts.get("Final"), by, None)
    return () if score is None else score.by_transform


def _sorted_rows(reports: Sequence[Report], by: TransformName) -> list[Row]:
    """List the rows of all reports in ascending order of their transforms."""

    def amount(row: Row) -> tuple[float, str]:
        by_amount = row.angle_deg if isinstance(row, AngleRow) else row.amount if isinstance(row, WarpRow) else 0
        return by_amount, label_of(row, by)

    return sorted((row for report in reports for row in _rows(report, by)), key=amount)


def _shifts(report: Report) -> Sequence[ShiftRow]:
    return report.parts["Final"].translation.by_transform if "Final" in report.parts else ()


def _point(report: Report, row: Row, name: str, by: TransformName, ticks: Sequence[str], aside: float = 0) -> Point:
    """Make the point of a row: at its shift in pixels, or else at the place of its transform among the ``ticks``."""
    label = label_of(row, by)
    match row:
        case ShiftRow():
            x = float(row.shift_px)
        case WarpRow():
            x = row.amount
        case _:
            x = ticks.index(label) + aside
    what = AGREEMENT if name == "top1_agreement" else f"Final, {name}"
    hover = (model_name(report), f"{what}, {_word(by)} {label}")
    interval = row.top1_agreement_interval if name == "top1_agreement" else None
    return Point(x, getattr(row, name), interval, row.reason, hover, MARKS[name])


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
