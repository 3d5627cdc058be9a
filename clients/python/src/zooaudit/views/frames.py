"""Reports and comparisons as pandas data frames in long form, a row for each pair of a channel and a layer score."""

from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from zooaudit.contract import (
    PARTS,
    Baseline,
    Comparison,
    Learned,
    Part,
    PartName,
    Report,
    RotationScore,
    Score,
    TranslationScore,
)

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]
KINDS = ("translation", "rotation")
SCORES = ("channel", "channel_low", "channel_high", "layer", "layer_low", "layer_high")
STR, INT, FLOAT = "str", "Int64", "float64"
REPORT_TYPES = {
    **dict.fromkeys(("id", "model", "weights", "similarity", "border", "level", "part", "block", "kind"), STR),
    "statistic": STR,
    "amount": INT,
    "transforms": INT,
    "quantity": STR,
    "seed": INT,
    **dict.fromkeys((*SCORES, "top1_agreement"), FLOAT),
    "reason": STR,
}
COMPARISON_TYPES = {
    **dict.fromkeys(("id", "model", "family", "weights"), STR),
    **dict.fromkeys(("parameters", "input_size"), INT),
    "imagenet_top1": FLOAT,
    "images": INT,
    **dict.fromkeys(("part", "kind"), STR),
    **dict.fromkeys((*SCORES, "channel_residual", "layer_residual"), FLOAT),
    "reason": STR,
}
ACCURACY_TYPES = {
    **dict.fromkeys(("part", "kind", "score"), STR),
    "models": INT,
    **dict.fromkeys(("spearman", "low", "high", "p_value", "slope", "intercept"), FLOAT),
    "reason": STR,
}


def report_frame(report: Report) -> "pandas.DataFrame":
    """See :meth:`zooaudit.Report.to_dataframe`."""
    method, model = report.method, report.model
    main = {
        "similarity": "correlation" if method.similarity == "both" else method.similarity,
        "border": "crop" if method.border == "all" else method.border,
    }
    rows = list(_parts(report.parts, main))
    for block in report.blocks:
        where = {**main, "level": "block", "part": block.part, "block": block.name}
        rows += _part(block.translation, block.rotation, where)
    for border, parts in (report.borders or {}).items():
        if border != main["border"]:
            rows += _parts(parts, {**main, "border": border})
    if report.cosine:
        rows += _parts(report.cosine.parts, {**main, "similarity": "cosine"})
    if report.baseline:
        rows += _baseline(report.baseline, main)
    whole = {"id": report.id, "model": model.name, "weights": model.weights.label}
    return _frame([{"quantity": "score", **whole, **row} for row in rows], REPORT_TYPES)


def comparison_frame(comparison: Comparison) -> "pandas.DataFrame":
    """See :meth:`zooaudit.Comparison.to_dataframe`."""
    rows = []
    for audit in comparison.audits:
        whole = audit.model_dump(exclude={"parts"})
        for name in _in_order(audit.parts):
            for kind in KINDS:
                related = getattr(comparison.accuracy.get(name), kind, None)
                above = {
                    f"{score}_residual": getattr(related, score).residuals.get(audit.id) if related else None
                    for score in ("channel", "layer")
                }
                row = _scores(getattr(audit.parts[name], kind))
                rows.append({**whole, "part": name, "kind": kind, **row, **above})
    return _frame(rows, COMPARISON_TYPES)


def accuracy_frame(comparison: Comparison) -> "pandas.DataFrame":
    """See :meth:`zooaudit.Comparison.accuracy_dataframe`."""
    rows = []
    for name in _in_order(comparison.accuracy):
        for kind in KINDS:
            for score in ("channel", "layer"):
                relation = getattr(getattr(comparison.accuracy[name], kind), score)
                low, high = relation.interval or (None, None)
                known = relation.model_dump(exclude={"interval", "residuals"})
                rows.append({"part": name, "kind": kind, "score": score, **known, "low": low, "high": high})
    return _frame(rows, ACCURACY_TYPES)


def _in_order(parts: Container[PartName]) -> list[PartName]:
    return [name for name in PARTS if name in parts]


def _parts(parts: Mapping[PartName, Part], where: Row) -> Iterator[Row]:
    for name in _in_order(parts):
        yield from _part(parts[name].translation, parts[name].rotation, {**where, "level": "part", "part": name})


def _part(translation: TranslationScore, rotation: RotationScore, where: Row) -> Iterator[Row]:
    """The mean over transforms, over those shifts that are whole at the block, and each transform's own."""
    shifted, turned = {**where, "kind": "translation"}, {**where, "kind": "rotation"}
    mean, one = {"statistic": "mean"}, {"statistic": "transform", "transforms": 1}
    yield {**shifted, **mean, "transforms": len(translation.by_transform), **_scores(translation)}
    if aligned := translation.aligned:
        yield {
            **shifted,
            "statistic": "aligned",
            "transforms": aligned.shifts,
            **aligned.model_dump(exclude={"shifts"}),
        }
    for shift in translation.by_transform:
        yield {**shifted, **one, "amount": shift.shift_px, **shift.model_dump(exclude={"shift_px"})}
    yield {**turned, **mean, "transforms": len(rotation.by_transform), **_scores(rotation)}
    for angle in rotation.by_transform:
        yield {**turned, **one, "amount": angle.angle_deg, **angle.model_dump(exclude={"angle_deg"})}


def _baseline(baseline: Baseline, where: Row) -> Iterator[Row]:
    for name in _in_order(baseline.parts):
        for kind in KINDS:
            both = getattr(baseline.parts[name], kind)
            place = {**where, "level": "part", "part": name, "kind": kind, "statistic": "mean"}
            for quantity, of in (("untrained", "untrained"), ("learned", "difference")):
                yield {**place, "quantity": quantity, **_estimates(both.channel, both.layer, of)}
            for seed, channel, layer in zip(baseline.seeds, both.channel.by_seed, both.layer.by_seed, strict=True):
                yield {**place, "quantity": "untrained", "seed": seed, "channel": channel, "layer": layer}


def _estimates(channel: Learned, layer: Learned, of: str) -> Row:
    row: Row = {}
    for name, learned in (("channel", channel), ("layer", layer)):
        estimate = getattr(learned, of)
        row |= {name: estimate.value, **_interval(name, estimate.interval)}
        row["reason"] = row.get("reason") or estimate.reason
    return row


def _scores(found: Score) -> Row:
    intervals = _interval("channel", found.channel_interval) | _interval("layer", found.layer_interval)
    return {"channel": found.channel, "layer": found.layer, **intervals, "reason": found.reason}


def _interval(name: str, interval: tuple[float, float] | None) -> Row:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _frame(rows: list[Row], types: Mapping[str, str]) -> "pandas.DataFrame":
    try:
        import pandas
    except ImportError:
        raise ImportError("Data frames need pandas: pip install 'zooaudit[pandas]', or pip install pandas") from None
    return pandas.DataFrame(
        {name: pandas.Series([row.get(name) for row in rows], dtype=kind) for name, kind in types.items()}
    )
