"""The tables of a report, and of the reports of a sweep."""

from collections.abc import Mapping
from dataclasses import replace

from zooaudit.contract import (
    PARTS,
    SCORES,
    TRANSFORMS,
    ComparedPart,
    Method,
    Part,
    PartName,
    Report,
    Score,
    ScoreName,
    SharedMethod,
    TransformName,
)
from zooaudit.views.tables import Table, in_depth_order
from zooaudit.views.text import counted, printable, ranges, three_decimals, with_half_width

HALF_WIDTH = "± is half of a 95 % confidence interval over images"


def report_tables(report: Report) -> list[Table]:
    """Show what was measured and the scores of the five parts; then, if requested, the scores under each border and
    those beyond the untrained architecture."""
    model, images = report.model, report.images
    weights = f"{printable(model.weights.label)} weights"
    if model.weights.kind == "untrained":
        weights = "UNTRAINED weights: the architecture's own equivariance"
    measured = f"{counted(images.count, 'image')} of {printable(images.dataset)}"
    measured += "" if images.stopped == "num_images" else ", enough for the tolerance,"
    notes = [f"{measured}, seed {images.seed}; {method_line(report.method)}"]
    if any(part.translation.channel_interval or part.rotation.channel_interval for part in report.parts.values()):
        notes.append(HALF_WIDTH)
    rows = []
    for part_name, part in in_depth_order(report.parts):
        rows.append([part_name, str(part.blocks), *_score_cells(part.translation), *_score_cells(part.rotation)])
        reasons = {printable(score.reason) for score in (part.translation, part.rotation) if score.reason}
        notes += [f"{part_name}: {reason}" for reason in sorted(reasons)]
    columns = ("Part", "Blocks", "Translation channel", "Translation layer", "Rotation channel", "Rotation layer")
    parts = Table(columns, rows, f"{printable(model.name)} ({weights})", numbers_from=1, notes=notes)
    return [with_narrower(parts), *_border_tables(report), *_baseline_tables(report)]


def with_narrower(table: Table) -> Table:
    """Add a rendition without intervals, for a narrow terminal."""
    rows = [[cell.partition(" ±")[0] for cell in row] for row in table.rows]
    return replace(
        table, narrower=[replace(table, rows=rows, notes=[note for note in table.notes if note != HALF_WIDTH])]
    )


def method_line(method: Method | SharedMethod) -> str:
    """Write the transforms and settings of a measurement in one line."""
    transforms = f"shifts {ranges(method.translations_px)} px, rotations {ranges(method.rotations_deg)} deg"
    return f"{transforms}; {method.similarity}, border {method.border}, {method.precision}"


def score_cell(
    parts: Mapping[PartName, Part] | Mapping[PartName, ComparedPart],
    part_name: PartName,
    transform: TransformName,
    score_name: ScoreName,
) -> str:
    """Write one score of a part with half the width of its interval; a dash where there is no such part."""
    if part_name not in parts:
        return "–"
    return _score_cells(getattr(parts[part_name], transform))[SCORES.index(score_name)]


def _score_cells(score: Score) -> tuple[str, str]:
    return with_half_width(score.channel, score.channel_interval), with_half_width(score.layer, score.layer_interval)


def _border_tables(report: Report) -> list[Table]:
    """Show translation under each border side by side: any difference is due to the border."""
    if report.borders is None:
        return []
    columns = ["Part", *(f"{border} {score_name}" for border in report.borders for score_name in SCORES)]
    rows = []
    for part_name, _ in in_depth_order(report.parts):
        scores = [parts[part_name].translation for parts in report.borders.values() if part_name in parts]
        if scores:
            cells = [three_decimals(value) for score in scores for value in (score.channel, score.layer)]
            rows.append([part_name, *cells])
    return [Table(columns, rows, "Translation by border", numbers_from=1)]


def _baseline_tables(report: Report) -> list[Table]:
    """Show the channel equivariance that the weights have beyond the untrained architecture."""
    if report.baseline is None:
        return []
    rows = []
    for part_name, part in in_depth_order(report.baseline.parts):
        estimates = [
            estimate
            for learned in (part.translation.channel, part.rotation.channel)
            for estimate in (learned.untrained, learned.difference)
        ]
        rows.append([part_name, *(with_half_width(estimate.value, estimate.interval) for estimate in estimates)])
    columns = ("Part", "Translation untrained", "Translation learned", "Rotation untrained", "Rotation learned")
    title = f"Channel equivariance beyond {counted(len(report.baseline.seeds), 'untrained initialisation')}"
    return [with_narrower(Table(columns, rows, title, numbers_from=1))]


def sweep_tables(reports: Mapping[str, Report]) -> list[Table]:
    """Show the channel equivariance of each model by part: one table for translation, one for rotation.

    ``reports`` are by the model's name.
    """
    has_intervals = any("±" in cell for report in reports.values() for cell in _sweep_cells(report, "rotation"))
    return [
        with_narrower(
            Table(
                ("Model", *PARTS),
                [[printable(model), *_sweep_cells(report, transform)] for model, report in reports.items()],
                f"{transform.capitalize()}: channel equivariance",
                numbers_from=1,
                notes=[HALF_WIDTH] if has_intervals and transform == TRANSFORMS[-1] else (),
                flexible=0,
            )
        )
        for transform in TRANSFORMS
    ]


def _sweep_cells(report: Report, transform: TransformName) -> list[str]:
    return [score_cell(report.parts, part_name, transform, "channel") for part_name in PARTS]
