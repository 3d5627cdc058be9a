"""The numbers of a report by name, as trackers of experiments keep them."""

from collections.abc import Iterator
from typing import NamedTuple

from zooaudit.contract import (
    KINDS,
    PARTS,
    Report,
    Score,
    SecondOpinion,
    deformation_text,
    warps_text,
)
from zooaudit.views.text import ranges

SCORE_FIELDS = ("channel", "layer", "layer_held_out", "top1_agreement")
"""The fields of a Score that are numbers with an interval."""


class Measured(NamedTuple):
    """A number that was measured, by the words of its name, and its 95 % interval where there is one."""

    name: tuple[str, ...]
    value: float
    interval: tuple[float, float] | None = None


def measured(report: Report) -> Iterator[Measured]:
    """Yield the scores of all parts, from Early to Final, by ``PART, TRANSFORM, FIELD``, and then what other measures
    say: ``PART, local_error, GENERATOR``, ``PART, variance, TRANSFORM``, ``PART, deformation, 1px, ratio``, and
    ``consistency`` of the model. What could not be measured is left out."""
    parts = [(name, report.parts[name]) for name in PARTS if name in report.parts]
    for part_name, part in parts:
        for transform in report.method.transforms:
            score: Score = getattr(part, transform)
            for field in (*SCORE_FIELDS, *(["interpolation"] if transform in KINDS else [])):
                value = getattr(score, field)
                if value is not None:
                    yield Measured((part_name, transform, field), value, getattr(score, f"{field}_interval", None))
    for part_name, part in parts:
        for each in _opinions(part.second_opinion):
            yield each._replace(name=(part_name, *each.name))
    if report.consistency and report.consistency.value is not None:
        yield Measured(("consistency",), report.consistency.value, report.consistency.interval)


def _opinions(opinion: SecondOpinion | None) -> Iterator[Measured]:
    if opinion is None:
        return
    for row in opinion.deformation:
        name = f"{row.displacement_px:g}px"
        for field in ("gradient", "deformation", "noise", "ratio"):
            value = getattr(row, field)
            if value is not None:
                yield Measured(("deformation", name, field), value, row.ratio_interval if field == "ratio" else None)
    for measure in ("local_error", "variance"):
        for name, magnitude in getattr(opinion, measure).items():
            if magnitude.value is not None:
                yield Measured((measure, name), magnitude.value, magnitude.interval)


def metrics(report: Report) -> dict[str, float]:
    """Name each number by the words of :func:`measured`, ``PART/TRANSFORM/FIELD``, and the ends of its interval with
    ``_low`` and ``_high``; with a baseline also ``PART/TRANSFORM/FIELD_learned``."""
    named: dict[str, float] = {}
    for words, value, interval in measured(report):
        name = "/".join(words)
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
    """Yield for each block, counted from 0, its scores by ``by_depth/TRANSFORM/FIELD``, and other measures."""
    transforms = report.method.transforms
    for place, block in enumerate(report.blocks):
        scores = {f"{name}/{f}": getattr(getattr(block, name), f) for name in transforms for f in ("channel", "layer")}
        others = {"/".join(each.name): each.value for each in _opinions(block.second_opinion)}
        yield place, {f"by_depth/{name}": value for name, value in (scores | others).items() if value is not None}


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
        **({"warps": warps_text(method.warps)} if method.warps else {}),
        **({"deformation_px": deformation_text(method.deformation)} if method.deformation else {}),
        **({"local": "yes"} if method.local else {}),
        **({"consistency_draws": method.consistency_draws} if method.consistency_draws else {}),
        **({"variance": "yes"} if method.variance else {}),
        **({} if method.tolerance is None else {"tolerance": method.tolerance}),
    }
