"""A comparison as tables of text."""

from collections.abc import Mapping, Sequence

from zooaudit.contract import PARTS, AccuracyRelation, ComparedAudit, Comparison, PartName
from zooaudit.views.tables import HALF_WIDTH, KINDS, Kind, ScoreName, Table, cell, how, in_order
from zooaudit.views.text import printable, score, signed

Relations = Mapping[PartName, Mapping[Kind, AccuracyRelation]]


def comparison_tables(comparison: Comparison, name: ScoreName = "channel") -> list[Table]:
    """One score of each audit by part, for translation and for rotation; how it goes with accuracy; and what it is
    above what accuracy predicts."""
    notes = _notes(comparison)
    relations: Relations = {
        part: {kind: getattr(getattr(related, kind), name) for kind in KINDS}
        for part, related in in_order(comparison.accuracy)
    }
    residuals = [_residuals(comparison, relations, kind, name) for kind in KINDS]
    return [
        *(_scores(comparison, kind, name, notes if kind == KINDS[-1] else ()) for kind in KINDS),
        _spearman(relations, name),
        *(table for table in residuals if table.rows),
    ]


def _notes(comparison: Comparison) -> list[str]:
    method = comparison.method
    notes = [f"{method.num_images} images of {printable(method.dataset)}, seed {method.seed}; {how(method)}"]
    scores = [
        (audit, part, kind, getattr(both, kind))
        for audit in comparison.audits
        for part, both in in_order(audit.parts)
        for kind in KINDS
    ]
    if any(found.channel_interval for *_, found in scores):
        notes.append(HALF_WIDTH)
    reasons = {
        f"{printable(audit.model)}, {part} {kind}: {printable(found.reason)}"
        for audit, part, kind, found in scores
        if found.reason
    }
    return notes + sorted(reasons)


def _scores(comparison: Comparison, kind: Kind, name: ScoreName, notes: Sequence[str]) -> Table:
    audits = comparison.audits
    known = any(audit.imagenet_top1 is not None for audit in audits)
    rows = [
        [
            _model(comparison, audit),
            *([_top1(audit.imagenet_top1)] if known else []),
            *(cell(audit.parts, part, kind, name) for part in PARTS),
        ]
        for audit in audits
    ]
    weights = {audit.weights for audit in audits}
    of = f", {weights.pop()} weights" if len(weights) == 1 else ""
    title = f"{kind.capitalize()}: {name} equivariance{of}"
    return Table(("Model", *(["Top-1 %"] if known else []), *PARTS), rows, title, numbers_from=1, notes=notes)


def _model(comparison: Comparison, audit: ComparedAudit) -> str:
    """The model, and its weights where they are not those of all."""
    mixed = len({one.weights for one in comparison.audits}) > 1 and audit.weights != "pretrained"
    return printable(audit.model) + (f" ({audit.weights})" if mixed else "")


def _top1(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _spearman(relations: Relations, name: ScoreName) -> Table:
    title = f"Spearman's rho of {name} equivariance with ImageNet top-1, and its 95 % interval"
    columns = ("Part", "Models", "Translation", "p", "Rotation", "p")
    rows = []
    where: dict[str, list[str]] = {}
    for part, kinds in relations.items():
        models = dict.fromkeys(str(relation.models) for relation in kinds.values())
        row = [part, ", ".join(models)]
        for kind, relation in kinds.items():
            row += [signed(relation.spearman, relation.interval), score(relation.p_value)]
            if relation.reason:
                where.setdefault(printable(relation.reason), []).append(f"{part} {kind}")
        rows.append(row)
    every = len(KINDS) * len(relations)
    notes = [reason if len(places) == every else f"{', '.join(places)}: {reason}" for reason, places in where.items()]
    if all(relation.spearman is None for kinds in relations.values() for relation in kinds.values()):
        return Table((), (), title, notes=notes)
    return Table(columns, rows, title, numbers_from=1, notes=notes)


def _residuals(comparison: Comparison, relations: Relations, kind: Kind, name: ScoreName) -> Table:
    above = {part: kinds[kind].residuals for part, kinds in relations.items()}
    rows = [
        [_model(comparison, audit), *(_residual(above.get(part, {}).get(audit.id)) for part in PARTS)]
        for audit in comparison.audits
        if any(audit.id in found for found in above.values())
    ]
    title = f"{kind.capitalize()} given accuracy: {name} equivariance above the line over top-1"
    return Table(("Model", *PARTS), rows, title, numbers_from=1)


def _residual(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"
