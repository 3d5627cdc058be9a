"""Reports and comparisons as pandas data frames in long form: a row for each pair of a channel and a layer score."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from zooaudit.contract import (
    ALL_TRANSFORMS,
    KINDS,
    SCORES,
    Baseline,
    Block,
    ComparedAudit,
    Comparison,
    Consistency,
    Leaderboard,
    LearnedScore,
    MeasureAgreement,
    Part,
    PartName,
    ReflectionScore,
    Report,
    RotationScore,
    Score,
    SecondOpinion,
    TranslationScore,
    WarpScore,
)
from zooaudit.views.agreement import Row as Agreed
from zooaudit.views.agreement import mean_agreement
from zooaudit.views.tables import in_depth_order

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]
STR, INT, FLOAT, AMOUNT = "str", "Int64", "float64", "Float64"
SCORE_COLUMNS = ("channel", "channel_low", "channel_high", "layer", "layer_low", "layer_high")
HELD_OUT_COLUMNS = ("layer_held_out", "layer_held_out_low", "layer_held_out_high")
AGREEMENT_COLUMNS = ("top1_agreement", "top1_agreement_low", "top1_agreement_high")
REPORT_TYPES = {
    **dict.fromkeys(("id", "model", "weights", "similarity", "border", "level", "part", "block", "kind"), STR),
    "statistic": STR,
    "amount": INT,
    "direction": STR,
    "transforms": INT,
    "quantity": STR,
    "seed": INT,
    **dict.fromkeys((*SCORE_COLUMNS, *HELD_OUT_COLUMNS, *AGREEMENT_COLUMNS), FLOAT),
    "reason": STR,
}
OPINION_TYPES = {"measure": STR, **dict.fromkeys(("value", "value_low", "value_high"), FLOAT)}
"""The columns of a report with other measures than scores."""
COMPARISON_TYPES = {
    **dict.fromkeys(("id", "model", "family", "weights"), STR),
    **dict.fromkeys(("parameters", "input_size"), INT),
    "imagenet_top1": FLOAT,
    "images": INT,
    **dict.fromkeys(("part", "kind"), STR),
    **dict.fromkeys((*SCORE_COLUMNS, *HELD_OUT_COLUMNS, *AGREEMENT_COLUMNS), FLOAT),
    **dict.fromkeys(("channel_residual", "layer_residual"), FLOAT),
    "reason": STR,
}
DIFFERENCES_TYPES = {
    **dict.fromkeys(("id", "reference", "part", "kind", "score"), STR),
    **dict.fromkeys(("difference", "low", "high", "p_value", "p_adjusted"), FLOAT),
    "differs": "boolean",
    "reason": STR,
}
MEASURES_TYPES = {
    **dict.fromkeys(("over", "level", "first", "second"), STR),
    **dict.fromkeys(("rho", "low", "high"), FLOAT),
    "n": INT,
    "reason": STR,
}
LEADERBOARD_TYPES = {
    **dict.fromkeys(("id", "model", "family", "source", "weights"), STR),
    **dict.fromkeys(("parameters", "input_size"), INT),
    "imagenet_top1": FLOAT,
    "images": INT,
    "finished_at": "datetime64[ns, UTC]",
    **dict.fromkeys(("part", "kind"), STR),
    **dict.fromkeys(SCORE_COLUMNS, FLOAT),
    **dict.fromkeys(("layer_held_out", "layer_held_out_low", "layer_held_out_high", "top1_agreement"), FLOAT),
    "reason": STR,
}
ACCURACY_TYPES = {
    **dict.fromkeys(("part", "kind", "score"), STR),
    "models": INT,
    **dict.fromkeys(("spearman", "low", "high", "p_value", "slope", "intercept"), FLOAT),
    "reason": STR,
}


def report_frame(report: Report) -> "pandas.DataFrame":
    """Make the data frame of :meth:`zooaudit.Report.to_dataframe`."""
    method, model = report.method, report.model
    measured_by = {
        "similarity": "correlation" if method.similarity == "both" else method.similarity,
        "border": "crop" if method.border == "all" else method.border,
    }
    rows = list(_part_rows(report.parts, measured_by))
    for block in report.blocks:
        shared = {**measured_by, "level": "block", "part": block.part, "block": block.name}
        rows += _score_rows(block, shared)
    for border, parts in (report.borders or {}).items():
        if border != measured_by["border"]:
            rows += _part_rows(parts, {**measured_by, "border": border})
    if report.cosine:
        rows += _part_rows(report.cosine.parts, {**measured_by, "similarity": "cosine"})
    if report.baseline:
        rows += _baseline_rows(report.baseline, measured_by)
    opinions = list(_opinion_rows(report, measured_by))
    audit = {"id": report.id, "model": model.name, "weights": model.weights.label}
    direction = {"translation": method.direction}
    shared = {"quantity": "score", **audit, **({"measure": "equivariance"} if opinions else {})}
    types = REPORT_TYPES | (OPINION_TYPES if opinions else {}) | ({"interpolation": FLOAT} if method.warps else {})
    if any(isinstance(row.get("amount"), float) for row in [*rows, *opinions]):
        types = types | {"amount": AMOUNT}
    return _frame([{**shared, "direction": direction.get(row["kind"]), **row} for row in [*rows, *opinions]], types)


def _opinion_rows(report: Report, shared: Row) -> Iterator[Row]:
    """Yield a row for each number of other measures, those of parts first, of the untrained architecture last."""
    for name, part in in_depth_order(report.parts):
        yield from _opinions_of(part.second_opinion, {**shared, "level": "part", "part": name})
    for block in report.blocks:
        place = {"level": "block", "part": block.part, "block": block.name}
        yield from _opinions_of(block.second_opinion, {**shared, **place})
    yield from _consistency_rows(report.consistency, shared)
    if report.baseline:
        untrained = {**shared, "quantity": "untrained"}
        for name, opinion in in_depth_order(report.baseline.second_opinion or {}):
            yield from _opinions_of(opinion, {**untrained, "level": "part", "part": name})
        yield from _consistency_rows(report.baseline.consistency, untrained)


def _opinions_of(opinion: SecondOpinion | None, shared: Row) -> Iterator[Row]:
    if opinion is None:
        return
    for row in opinion.deformation:
        place = {**shared, "kind": "deformation", "amount": row.displacement_px, "reason": row.reason}
        for measure in ("gradient", "deformation", "noise"):
            yield {**place, "measure": measure, "value": getattr(row, measure)}
        yield {**place, "measure": "ratio", "value": row.ratio, **_interval_cells("value", row.ratio_interval)}
    for measure in ("local_error", "variance"):
        for kind, found in getattr(opinion, measure).items():
            cells = {"value": found.value, **_interval_cells("value", found.interval), "reason": found.reason}
            yield {**shared, "kind": kind, "measure": measure, **cells}


def _consistency_rows(found: Consistency | None, shared: Row) -> Iterator[Row]:
    if found is None:
        return
    place = {**shared, "level": "model", "kind": "window", "measure": "consistency", "transforms": found.draws}
    yield {**place, "value": found.value, **_interval_cells("value", found.interval), "reason": found.reason}
    if found.published is not None:
        yield {**place, "measure": "published_consistency", "value": found.published}


def comparison_frame(comparison: Comparison) -> "pandas.DataFrame":
    """Make the data frame of :meth:`zooaudit.Comparison.to_dataframe`."""
    rows = []
    for audit in comparison.audits:
        shared = audit.model_dump(exclude={"parts", "consistency"})
        for part_name, part in in_depth_order(audit.parts):
            for transform in comparison.method.transforms:
                related = getattr(comparison.accuracy.get(part_name), transform, None)
                residuals = {
                    f"{score_name}_residual": getattr(related, score_name).residuals.get(audit.id) if related else None
                    for score_name in SCORES
                }
                score = getattr(part, transform)
                cells = {**_score_cells(score), "interpolation": getattr(score, "interpolation", None)}
                rows.append({**shared, "part": part_name, "kind": transform, **cells, **residuals})
    opinions = [
        {**audit.model_dump(exclude={"parts", "consistency"}), **row}
        for audit in comparison.audits
        for row in _compared_opinions(audit)
    ]
    return _with_opinions(rows, opinions, COMPARISON_TYPES, bool(comparison.method.warps))


def _with_opinions(
    rows: list[Row], opinions: list[Row], types: Mapping[str, str], has_warps: bool
) -> "pandas.DataFrame":
    """Make a data frame of scores and what other measures say, whose columns are there only if something does."""
    types = {**types, **({"interpolation": FLOAT} if has_warps else {})}
    if opinions:
        rows = [{**row, "measure": "equivariance"} for row in rows]
        types |= {**OPINION_TYPES, "amount": AMOUNT}
    return _frame([*rows, *opinions], types)


def _compared_opinions(audit: ComparedAudit) -> Iterator[Row]:
    for part_name, part in in_depth_order(audit.parts):
        yield from _opinions_of(part.second_opinion, {"part": part_name})
    yield from _consistency_rows(audit.consistency, {})


def leaderboard_frame(board: Leaderboard) -> "pandas.DataFrame":
    """Make the data frame of :meth:`zooaudit.Leaderboard.to_dataframe`."""
    rows = []
    for row in board.rows:
        shared = row.model_dump(exclude={"parts", "consistency"})
        for part_name, part in in_depth_order(row.parts):
            for transform in board.method.transforms if board.method else ():
                score = getattr(part, transform)
                held_out = {
                    "layer_held_out": score.layer_held_out,
                    "layer_held_out_low": (score.layer_held_out_interval or (None, None))[0],
                    "layer_held_out_high": (score.layer_held_out_interval or (None, None))[1],
                    "top1_agreement": score.top1_agreement,
                    "interpolation": getattr(score, "interpolation", None),
                }
                rows.append({**shared, "part": part_name, "kind": transform, **held_out, **_score_cells(score)})
    opinions = [
        {**row.model_dump(exclude={"parts", "consistency"}), **opinion}
        for row in board.rows
        for opinion in _compared_opinions(row)
    ]
    return _with_opinions(rows, opinions, LEADERBOARD_TYPES, bool(board.method and board.method.warps))


def accuracy_frame(comparison: Comparison) -> "pandas.DataFrame":
    """Make the data frame of :meth:`zooaudit.Comparison.accuracy_dataframe`."""
    rows = []
    for part_name, part in in_depth_order(comparison.accuracy):
        for transform in comparison.method.transforms:
            for score_name in SCORES:
                relation = getattr(getattr(part, transform), score_name)
                low, high = relation.interval or (None, None)
                numbers = relation.model_dump(exclude={"interval", "residuals"})
                shared = {"part": part_name, "kind": transform, "score": score_name}
                rows.append({**shared, **numbers, "low": low, "high": high})
    return _frame(rows, ACCURACY_TYPES)


def differences_frame(comparison: Comparison) -> "pandas.DataFrame":
    """Make the data frame of :meth:`zooaudit.Comparison.differences_dataframe`."""
    rows = []
    for audit in comparison.differences.audits if comparison.differences else ():
        for part_name, part in in_depth_order(audit.parts):
            for transform in comparison.method.transforms:
                for score_name, found in dict(getattr(part, transform)).items():
                    if found is None:
                        continue
                    low, high = found.interval or (None, None)
                    numbers = found.model_dump(exclude={"interval", "value"})
                    place = {"id": audit.id, "part": part_name, "kind": transform, "score": score_name}
                    rows.append({**place, **numbers, "difference": found.value, "low": low, "high": high})
    reference = comparison.differences.reference if comparison.differences else None
    return _frame([{"reference": reference, **row} for row in rows], DIFFERENCES_TYPES)


def measures_frame(agreement: MeasureAgreement) -> "pandas.DataFrame":
    """Make the data frame of :meth:`zooaudit.MeasureAgreement.to_dataframe`."""
    rows = []
    for matrix in agreement.matrices:
        for pair in matrix.pairs:
            low, high = pair.interval or (None, None)
            place = {"over": agreement.over, "level": matrix.level, "low": low, "high": high}
            rows.append({**place, **pair.model_dump(exclude={"interval"})})
    return _frame(rows, MEASURES_TYPES)


def _part_rows(parts: Mapping[PartName, Part], shared: Row) -> Iterator[Row]:
    for part_name, part in in_depth_order(parts):
        yield from _score_rows(part, {**shared, "level": "part", "part": part_name})


def _score_rows(scores: Part | Block, shared: Row) -> Iterator[Row]:
    """Yield the mean over all transforms, the mean over the shifts that are whole at the block, and each transform.

    ``shared`` are the cells that all these rows have in common.
    """
    translation, rotation, reflection = scores.translation, scores.rotation, scores.reflection
    shifted, rotated, mirrored = ({**shared, "kind": kind} for kind in ("translation", "rotation", "reflection"))
    mean, single = {"statistic": "mean"}, {"statistic": "transform", "transforms": 1}
    yield {**shifted, **mean, "transforms": len(translation.by_transform), **_mean_cells(translation)}
    if aligned := translation.aligned:
        cells = aligned.model_dump(exclude={"shifts"})
        yield {**shifted, "statistic": "aligned", "transforms": aligned.shifts, **cells}
    for shift in translation.by_transform:
        yield {**shifted, **single, "amount": shift.shift_px, **_row_cells(shift)}
    yield {**rotated, **mean, "transforms": len(rotation.by_transform), **_mean_cells(rotation)}
    for angle in rotation.by_transform:
        yield {**rotated, **single, "amount": angle.angle_deg, **_row_cells(angle)}
    if reflection is not None:
        yield {**mirrored, **mean, "transforms": len(reflection.by_transform), **_mean_cells(reflection)}
        for mirror in reflection.by_transform:
            yield {**mirrored, **single, "direction": mirror.axis, **_row_cells(mirror)}
    for kind in KINDS:
        warp: WarpScore | None = getattr(scores, kind)
        if warp is not None:
            cells = {**_mean_cells(warp), "interpolation": warp.interpolation}
            yield {**shared, "kind": kind, **mean, "transforms": len(warp.by_transform), **cells}
            for row in warp.by_transform:
                yield {**shared, "kind": kind, **single, "amount": row.amount, **_row_cells(row)}


def _baseline_rows(baseline: Baseline, shared: Row) -> Iterator[Row]:
    for part_name, part in in_depth_order(baseline.parts):
        for transform in ALL_TRANSFORMS:
            learned: LearnedScore | None = getattr(part, transform)
            if learned is None:
                continue
            cells = {**shared, "level": "part", "part": part_name, "kind": transform, "statistic": "mean"}
            for quantity, estimate in (("untrained", "untrained"), ("learned", "difference")):
                yield {**cells, "quantity": quantity, **_estimate_cells(learned, estimate)}
            by_seed = zip(baseline.seeds, learned.channel.by_seed, learned.layer.by_seed, strict=True)
            for seed, channel, layer in by_seed:
                yield {**cells, "quantity": "untrained", "seed": seed, "channel": channel, "layer": layer}


def _estimate_cells(learned: LearnedScore, name: str) -> Row:
    """Give the estimate called ``name`` of both scores, with the reason of the channel score, else of the layer."""
    channel, layer = getattr(learned.channel, name), getattr(learned.layer, name)
    return {
        "channel": channel.value,
        "layer": layer.value,
        **_interval_cells("channel", channel.interval),
        **_interval_cells("layer", layer.interval),
        "reason": channel.reason or layer.reason,
    }


def _mean_cells(score: TranslationScore | RotationScore | ReflectionScore | WarpScore) -> Row:
    return {**_score_cells(score), "top1_agreement": mean_agreement(score)}


def _score_cells(score: Score) -> Row:
    cells: Row = {"reason": score.reason}
    for name in (*SCORES, "layer_held_out", "top1_agreement"):
        cells |= {name: getattr(score, name), **_interval_cells(name, getattr(score, f"{name}_interval"))}
    return cells


def _row_cells(row: Agreed) -> Row:
    """Return the cells of one transform, without the transform itself."""
    interval = _interval_cells("top1_agreement", row.top1_agreement_interval)
    return row.model_dump(exclude={"shift_px", "angle_deg", "axis", "amount", "top1_agreement_interval"}) | interval


def _interval_cells(score_name: str, interval: tuple[float, float] | None) -> Row:
    low, high = interval or (None, None)
    return {f"{score_name}_low": low, f"{score_name}_high": high}


def _frame(rows: list[Row], types: Mapping[str, str]) -> "pandas.DataFrame":
    """Make a data frame with the columns of ``types`` and their data types."""
    try:
        import pandas
    except ImportError:
        raise ImportError("Data frames need pandas: pip install 'zooaudit[pandas]', or pip install pandas") from None
    return pandas.DataFrame(
        {column: pandas.Series([row.get(column) for row in rows], dtype=dtype) for column, dtype in types.items()}
    )
