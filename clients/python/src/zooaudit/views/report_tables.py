"""The tables of a report, and of the reports of a sweep."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from zooaudit.contract import (
    ALL_TRANSFORMS,
    KINDS,
    PARTS,
    SCORES,
    TRANSFORMS,
    WARPS,
    Baseline,
    ComparedPart,
    Method,
    Part,
    PartName,
    Report,
    Score,
    ScoreName,
    SharedMethod,
    TransformName,
    Warps,
    WarpScore,
    deformation_text,
    warps_text,
)
from zooaudit.views.agreement import agreement_rows, doublings, mean_agreement
from zooaudit.views.second_opinion_tables import second_opinion_tables
from zooaudit.views.tables import Table, in_depth_order, interval_notes, with_narrower
from zooaudit.views.text import (
    counted,
    joined,
    printable,
    ranges,
    spoken,
    three_decimals,
    warp_amount,
    with_half_width,
)


def report_tables(report: Report) -> list[Table]:
    """Show what was measured and the scores of the five parts; then, if requested, the scores under each border and
    those beyond the untrained architecture, and what other measures say."""
    return [
        *score_tables(report),
        *_border_tables(report),
        *_baseline_tables(report),
        *second_opinion_tables(report),
    ]


def score_tables(report: Report) -> list[Table]:
    """Show what was measured and the scores of the five parts; those under warps in a table for each kind."""
    model, images = report.model, report.images
    weights = f"{printable(model.weights.label)} weights"
    if model.weights.kind == "untrained":
        weights = "UNTRAINED weights: the architecture's own equivariance"
    measured = f"{counted(images.count, 'image')} of {printable(images.dataset)}"
    measured += "" if images.stopped == "num_images" else ", enough for the tolerance,"
    notes = [f"{measured}, seed {images.seed}; {method_line(report.method)}"]
    transforms = _shown(report)
    columns = list(_columns(report))
    agreements = _agreement_notes(report)
    notes += interval_notes([*(cell(part) for part in report.parts.values() for _, cell in columns), *agreements])
    rows = []
    for part_name, part in in_depth_order(report.parts):
        rows.append([part_name, str(part.blocks), *(cell(part) for _, cell in columns)])
        reasons = {getattr(part, each).reason for each in transforms} - {None}
        notes += [f"{part_name}: {printable(reason)}" for reason in sorted(reasons)]
    notes += agreements
    heads = ["Part", "Blocks", *(head for head, _ in columns)]
    parts = Table(heads, rows, f"{printable(model.name)} ({weights})", numbers_from=1, notes=notes)
    return [_with_shorter_heads(parts), *(_warp_table(report, warps) for warps in report.method.warps)]


def _shown(report: Report) -> list[TransformName]:
    """Leave out what was not asked for, and the warps, which have tables of their own."""
    return [name for name in report.method.transforms if name not in KINDS and was_asked(report.method, name)]


def was_asked(method: Method, transform: TransformName) -> bool:
    """Tell whether there was anything to measure; shifts and rotations are in every report."""
    asked = {"translation": method.translations_px, "rotation": method.rotations_deg, "reflection": method.reflections}
    return bool(asked.get(transform, True))


def _warp_table(report: Report, warps: Warps) -> Table:
    """Show the scores under the warps of one kind, and beside them what interpolation alone leaves of them."""
    transform = WARPS[warps.kind]
    scores: list[tuple[PartName, WarpScore]] = [
        (name, getattr(part, transform)) for name, part in in_depth_order(report.parts)
    ]
    fields = ["channel", "layer", *(["layer_held_out"] if any(s.layer_held_out is not None for _, s in scores) else [])]
    rows = [
        [
            name,
            *(with_half_width(getattr(score, field), getattr(score, f"{field}_interval")) for field in fields),
            three_decimals(score.interpolation),
        ]
        for name, score in scores
    ]
    notes = ["interpolation: a map that is warped and warped back against itself, whatever the network does"]
    agreements = _agreement_note(report, transform, "warps")
    notes += interval_notes([*(cell for row in rows for cell in row), *agreements])
    notes += [f"{name}: {printable(score.reason)}" for name, score in scores if score.reason]
    notes += agreements
    heads = ["Channel", "Layer", "Held out"][: len(fields)]
    title = f"{spoken(transform).capitalize()} by {warp_amounts(warps)}"
    return with_narrower(Table(("Part", *heads, "Interpolation"), rows, title, numbers_from=1, notes=notes))


def warp_amounts(warps: Warps) -> str:
    """List the amounts of warps, or tell how many they are and between which they lie.

    >>> warp_amounts(Warps(kind="rotation", amounts=(15, 30))), warp_amounts(Warps(kind="rotation", amounts=range(20)))
    ('15° and 30°', '20 amounts from 0° to 19°')
    """
    texts = [warp_amount(warps.kind, amount) for amount in warps.amounts]
    return joined(texts) if len(texts) <= 6 else f"{len(texts)} amounts from {texts[0]} to {texts[-1]}"


def _columns(report: Report) -> Iterator[tuple[str, Callable[[Part], str]]]:
    """Yield the head of each column of scores, and the function from a part to its cell. Columns in which no part has
    anything, as in older reports, are left out."""
    parts = report.parts.values()
    for transform in _shown(report):
        for score_name, words in (("channel", "channel"), ("layer", "layer"), ("layer_held_out", "held out")):
            scores = [getattr(part, transform) for part in parts]
            if score_name in SCORES or any(getattr(score, score_name) is not None for score in scores):
                yield f"{transform.capitalize()} {words}", partial(_part_cell, transform, score_name)
        if transform == "translation" and any(part.translation.aligned for part in parts):
            yield "Translation aligned", _aligned_cell


def _part_cell(transform: TransformName, score_name: str, part: Part) -> str:
    score = getattr(part, transform)
    return with_half_width(getattr(score, score_name), getattr(score, f"{score_name}_interval"))


def _aligned_cell(part: Part) -> str:
    return three_decimals(part.translation.aligned.channel if part.translation.aligned else None)


def _agreement_notes(report: Report) -> list[str]:
    """Write how often the class stays the same: "Top-1 agreement, shifts: 0.664 (1 px 0.810, 32 px 0.530)"."""
    return [
        *_agreement_note(report, "translation", "shifts"),
        *_agreement_note(report, "rotation", "rotations"),
        *_agreement_note(report, "reflection", "reflections"),
    ]


def _agreement_note(report: Report, transform: TransformName, name: str) -> list[str]:
    score = getattr(report.parts.get("Final"), transform, None)
    if score is None or (mean := mean_agreement(score)) is None:
        return []
    kept = doublings(agreement_rows(score, transform))
    rows = ", ".join(f"{row.label} {with_half_width(row.share, row.interval)}" for row in kept)
    text = f"Top-1 agreement, {name}: {with_half_width(mean, score.top1_agreement_interval)}"
    return [text + (f" ({rows})" if rows else "")]


def _with_shorter_heads(table: Table) -> Table:
    """Add renditions with shorter heads: with intervals, without them, and without numbers of blocks, too."""
    short = replace(table, columns=[_shorter(head) for head in table.columns])
    (bare,) = with_narrower(short).narrower
    columns, *rows = [[line[0], *line[2:]] for line in (bare.columns, *bare.rows)]
    return replace(table, narrower=[short, bare, replace(bare, columns=columns, rows=rows)])


def _shorter(head: str) -> str:
    return head.replace("Translation", "Transl.").replace("Rotation", "Rot.").replace("Reflection", "Refl.")


def method_line(method: Method | SharedMethod) -> str:
    """Write the transforms and settings of a measurement in one line."""
    direction = "" if method.direction == "diagonal" else f" {method.direction}"
    shifts = f"shifts {ranges(method.translations_px)} px{direction}" if method.translations_px else "no shifts"
    rotations = f"rotations {ranges(method.rotations_deg)} deg" if method.rotations_deg else "no rotations"
    transforms = f"{shifts}, {rotations}"
    if method.reflections:
        transforms += f", reflections {','.join(method.reflections)}"
    if method.warps:
        transforms += f", warps {warps_text(method.warps)}"
    others = [
        f"deformations {deformation_text(method.deformation)} px" if method.deformation else "",
        "local error" if method.local else "",
        f"consistency of {counted(method.consistency_draws, 'draw')}" if method.consistency_draws else "",
        "variance" if method.variance else "",
    ]
    if any(others):
        transforms += f"; {', '.join(filter(None, others))}"
    return f"{transforms}; {method.similarity}, border {method.border}, {method.precision}"


def score_cell(
    parts: Mapping[PartName, Part] | Mapping[PartName, ComparedPart],
    part_name: PartName,
    transform: TransformName,
    score_name: ScoreName,
) -> str:
    """Write one score of a part with half the width of its interval; a dash where there is none."""
    score = getattr(parts.get(part_name), transform, None)
    return "–" if score is None else _score_cells(score)[SCORES.index(score_name)]


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
    """Show the channel equivariance that the weights have beyond the untrained architecture; under warps in a table of
    its own."""
    if report.baseline is None:
        return []
    transforms = report.method.transforms
    warps = [transform for transform in transforms if transform in KINDS]
    title = f"Channel equivariance beyond {counted(len(report.baseline.seeds), 'untrained initialisation')}"
    exact = _shown(report)
    tables = [_baseline_table(report.baseline, exact, title)] if exact else []
    return [*tables, *([_baseline_table(report.baseline, warps, f"{title}, under warps")] if warps else [])]


def _baseline_table(baseline: Baseline, transforms: Sequence[TransformName], title: str) -> Table:
    rows = []
    for part_name, part in in_depth_order(baseline.parts):
        estimates = [
            estimate
            for learned in (getattr(part, transform).channel for transform in transforms)
            for estimate in (learned.untrained, learned.difference)
        ]
        rows.append([part_name, *(with_half_width(estimate.value, estimate.interval) for estimate in estimates)])
    heads = [f"{spoken(each).capitalize()} {what}" for each in transforms for what in ("untrained", "learned")]
    return with_narrower(Table(("Part", *heads), rows, title, numbers_from=1))


def sweep_tables(reports: Mapping[str, Report]) -> list[Table]:
    """Show the channel equivariance of each model by part: one table for each kind of transform.

    ``reports`` are by the model's name.
    """
    asked = {*TRANSFORMS, *(name for report in reports.values() for name in report.method.transforms)}
    transforms = [name for name in ALL_TRANSFORMS if name in asked]
    cells = [cell for report in reports.values() for each in transforms for cell in _sweep_cells(report, each)]
    return [
        with_narrower(
            Table(
                ("Model", *PARTS),
                [[printable(model), *_sweep_cells(report, transform)] for model, report in reports.items()],
                f"{spoken(transform).capitalize()}: channel equivariance",
                numbers_from=1,
                notes=interval_notes(cells) if transform == transforms[-1] else (),
                flexible=0,
            )
        )
        for transform in transforms
    ]


def _sweep_cells(report: Report, transform: TransformName) -> list[str]:
    return [score_cell(report.parts, part_name, transform, "channel") for part_name in PARTS]
