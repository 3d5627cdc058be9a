"""The numbers of a report by name, as trackers of experiments keep them."""

from collections.abc import Iterator
from typing import NamedTuple

from zooaudit.contract import PARTS, PartName, Report, Score, TransformName
from zooaudit.views.text import ranges

SCORE_FIELDS = ("channel", "layer", "layer_held_out", "top1_agreement")
"""The fields of a Score that are numbers with an interval."""


class PartScore(NamedTuple):
    """One measured number of a part: its field of :data:`SCORE_FIELDS`, and its 95 % interval where there is one."""

    part: PartName
    transform: TransformName
    field: str
    value: float
    interval: tuple[float, float] | None


def part_scores(report: Report) -> Iterator[PartScore]:
    """Yield the scores of all parts, from Early to Final; what could not be measured is left out."""
    for part_name in PARTS:
        for transform in report.method.transforms if part_name in report.parts else ():
            score: Score = getattr(report.parts[part_name], transform)
            for field in SCORE_FIELDS:
                value = getattr(score, field)
                if value is not None:
                    yield PartScore(part_name, transform, field, value, getattr(score, f"{field}_interval"))


def metrics(report: Report) -> dict[str, float]:
    """Name each score ``PART/TRANSFORM/FIELD``, and the ends of its interval with ``_low`` and ``_high``; with a
    baseline also ``PART/TRANSFORM/FIELD_learned``."""
    named: dict[str, float] = {}
    for part, transform, field, value, interval in part_scores(report):
        name = f"{part}/{transform}/{field}"
        named[name] = value
        if interval:
            named |= {f"{name}_low": interval[0], f"{name}_high": interval[1]}
    for part_name, learned_part in (report.baseline.parts if report.baseline else {}).items():
        for transform in report.method.transforms:
            for field in ("channel", "layer"):
                learned = getattr(getattr(learned_part, transform), field).difference.value
                if learned is not None:
                    named[f"{part_name}/{transform}/{field}_learned"] = learned
    return named


def by_shift(report: Report) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield for each shift in pixels the scores under it, by ``by_shift/PART/FIELD``."""
    rows: dict[int, dict[str, float]] = {}
    for part_name, part in report.parts.items():
        for row in part.translation.by_transform:
            values = {field: getattr(row, field) for field in SCORE_FIELDS}
            named = {f"by_shift/{part_name}/{field}": value for field, value in values.items() if value is not None}
            rows.setdefault(row.shift_px, {}).update(named)
    yield from sorted(rows.items())


def by_depth(report: Report) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield for each block, counted from 0, its scores by ``by_depth/TRANSFORM/FIELD``."""
    transforms = report.method.transforms
    for place, block in enumerate(report.blocks):
        scores = {(name, f): getattr(getattr(block, name), f) for name in transforms for f in ("channel", "layer")}
        yield place, {f"by_depth/{name}/{f}": value for (name, f), value in scores.items() if value is not None}


def parameters(report: Report) -> dict[str, str | int | float]:
    """Name what was measured and how: all that two reports must share to be compared, and the model."""
    model, images, method = report.model, report.images, report.method
    return {
        "audit": report.id,
        "protocol": report.protocol,
        "repetition": report.repetition,
        "model": model.name,
        "family": model.family,
        "parameters": model.parameters,
        "input_size": model.input_size,
        "weights": model.weights.label,
        "weights_sha256": model.weights.sha256,
        "dataset": images.dataset,
        "images": images.count,
        "images_seed": images.seed,
        "images_sha256": images.sha256,
        "similarity": method.similarity,
        "border": method.border,
        "precision": method.precision,
        "translations_px": ranges(method.translations_px),
        **({} if method.direction == "diagonal" else {"direction": method.direction}),
        "rotations_deg": ranges(method.rotations_deg),
        **({"reflections": ",".join(method.reflections)} if method.reflections else {}),
        **({} if method.tolerance is None else {"tolerance": method.tolerance}),
    }
