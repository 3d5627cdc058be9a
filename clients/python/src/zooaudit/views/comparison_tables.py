"""The tables of a comparison."""

from collections.abc import Mapping, Sequence

from zooaudit.contract import (
    KINDS,
    PARTS,
    AccuracyRelation,
    ComparedAudit,
    Comparison,
    PartName,
    ScoreName,
    TransformName,
)
from zooaudit.views.difference_tables import difference_tables
from zooaudit.views.report_tables import method_line, score_cell
from zooaudit.views.second_opinion_tables import compared_opinion_tables
from zooaudit.views.tables import Table, in_depth_order, interval_notes, with_narrower
from zooaudit.views.text import counted, printable, signed, spoken, three_decimals

Relations = Mapping[PartName, Mapping[TransformName, AccuracyRelation]]


def comparison_tables(comparison: Comparison, score_name: ScoreName = "channel", is_brief: bool = False) -> list[Table]:
    """Show one score of all audits by part, for each kind of transform; how it differs from that of the
    reference; how it relates to accuracy; how far each audit's score lies above what its accuracy predicts, unless
    ``is_brief`` and there is a reference; and what other measures say."""
    notes, transforms = _notes(comparison, score_name), comparison.method.transforms
    relations: Relations = {
        part_name: {transform: getattr(getattr(part, transform), score_name) for transform in transforms}
        for part_name, part in in_depth_order(comparison.accuracy)
    }
    with_residuals = () if is_brief and comparison.differences else transforms
    residuals = [_residual_table(comparison, relations, transform, score_name) for transform in with_residuals]
    return [
        *(
            _score_table(comparison, transform, score_name, notes if transform == transforms[-1] else ())
            for transform in transforms
        ),
        *difference_tables(comparison, score_name),
        _spearman_table(relations, transforms, score_name),
        *(table for table in residuals if table.rows),
        *(_interpolation_table(comparison, transform) for transform in transforms if transform in KINDS),
        *compared_opinion_tables(comparison, lambda audit: _model(comparison, audit)),
    ]


def _notes(comparison: Comparison, score_name: ScoreName) -> list[str]:
    method = comparison.method
    images = f"{counted(method.num_images, 'image')} of {printable(method.dataset)}, seed {method.seed}"
    notes = [f"{images}; {method_line(method)}"]
    scores = [
        (audit, part_name, transform, getattr(part, transform))
        for audit in comparison.audits
        for part_name, part in in_depth_order(audit.parts)
        for transform in method.transforms
    ]
    notes += interval_notes(
        score_cell(audit.parts, part_name, transform, score_name) for audit, part_name, transform, _ in scores
    )
    reasons = {
        f"{printable(audit.model)}, {part_name} {spoken(transform)}: {printable(score.reason)}"
        for audit, part_name, transform, score in scores
        if score.reason
    }
    return notes + sorted(reasons)


def _score_table(
    comparison: Comparison, transform: TransformName, score_name: ScoreName, notes: Sequence[str]
) -> Table:
    audits = comparison.audits
    has_top1 = any(audit.imagenet_top1 is not None for audit in audits)
    rows = [
        [
            _model(comparison, audit),
            *([_top1(audit.imagenet_top1)] if has_top1 else []),
            *(score_cell(audit.parts, part_name, transform, score_name) for part_name in PARTS),
        ]
        for audit in audits
    ]
    weights = {audit.weights for audit in audits}
    shared_weights = f", {weights.pop()} weights" if len(weights) == 1 else ""
    title = f"{spoken(transform).capitalize()}: {score_name} equivariance{shared_weights}"
    columns = ("Model", *(["Top-1 %"] if has_top1 else []), *PARTS)
    return with_narrower(Table(columns, rows, title, numbers_from=1, notes=notes, flexible=0))


def _interpolation_table(comparison: Comparison, transform: TransformName) -> Table:
    """Show what interpolation alone leaves of each model's maps, whatever the network does."""
    rows = [
        [
            _model(comparison, audit),
            *(
                three_decimals(getattr(getattr(audit.parts.get(part), transform, None), "interpolation", None))
                for part in PARTS
            ),
        ]
        for audit in comparison.audits
    ]
    title = f"{spoken(transform).capitalize()}: interpolation, against which each score is to be read"
    return Table(("Model", *PARTS), rows, title, numbers_from=1, flexible=0)


def _model(comparison: Comparison, audit: ComparedAudit) -> str:
    """Name the model, with its weights where the audits differ in them, and its id where another has the same."""
    is_mixed = len({one.weights for one in comparison.audits}) > 1 and audit.weights != "pretrained"
    has_twin = [(one.model, one.weights) for one in comparison.audits].count((audit.model, audit.weights)) > 1
    details = [audit.weights] * is_mixed + [audit.id[:8]] * has_twin
    return printable(audit.model) + (f" ({', '.join(details)})" if details else "")


def _top1(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _spearman_table(relations: Relations, transforms: Sequence[TransformName], score_name: ScoreName) -> Table:
    title = f"Spearman's rho of {score_name} equivariance with ImageNet top-1, and its 95 % interval"
    columns = ("Part", "Models", *(head for transform in transforms for head in (spoken(transform).capitalize(), "p")))
    rows = []
    places_by_reason: dict[str, list[str]] = {}
    for part_name, by_transform in relations.items():
        model_counts = dict.fromkeys(str(relation.models) for relation in by_transform.values())
        row = [part_name, ", ".join(model_counts)]
        for transform, relation in by_transform.items():
            row += [signed(relation.spearman, relation.interval), three_decimals(relation.p_value)]
            if relation.reason:
                places_by_reason.setdefault(printable(relation.reason), []).append(f"{part_name} {spoken(transform)}")
        rows.append(row)
    everywhere = len(transforms) * len(relations)
    notes = [
        reason if len(places) == everywhere else f"{', '.join(places)}: {reason}"
        for reason, places in places_by_reason.items()
    ]
    if all(relation.spearman is None for by_transform in relations.values() for relation in by_transform.values()):
        return Table((), (), title, notes=notes)
    return Table(columns, rows, title, numbers_from=1, notes=notes)


def _residual_table(
    comparison: Comparison, relations: Relations, transform: TransformName, score_name: ScoreName
) -> Table:
    residuals = {part_name: by_transform[transform].residuals for part_name, by_transform in relations.items()}
    rows = [
        [
            _model(comparison, audit),
            *(_residual(residuals.get(part_name, {}).get(audit.id)) for part_name in PARTS),
        ]
        for audit in comparison.audits
        if any(audit.id in by_audit for by_audit in residuals.values())
    ]
    title = f"{spoken(transform).capitalize()} given accuracy: {score_name} equivariance above the line over top-1"
    return Table(("Model", *PARTS), rows, title, numbers_from=1, flexible=0)


def _residual(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"
