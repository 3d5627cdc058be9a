"""Several reports side by side, how their scores relate to ImageNet top-1 accuracy, and how they differ."""

import re
from collections.abc import Iterator, Mapping, Sequence

from zooaudit.contract import (
    PARTS,
    AccuracyRelation,
    ComparedAudit,
    Comparison,
    Deformations,
    FieldError,
    RelatedPart,
    RelatedScores,
    Report,
    Score,
    Warps,
    compared_audit,
    deformation_text,
    shared_method,
    warps_text,
)
from zooaudit.views.text import ranges

from service.differences import differences
from service.errors import invalid, refused

MIN_AUDITS, MAX_AUDITS = 2, 200
MIN_MODELS = 4
"""The fewest models whose scores are related to accuracy: with fewer, Fisher's z has no standard error."""
MAX_NAMED = 10
"""How many audits of each group a refusal names."""


def parse_query(
    audits: str, top1: str | None, reference: str | None
) -> tuple[list[str], list[float | None] | None, str]:
    """Split a query into audits' ids and accuracies, and find the reference, by default the first audit.

    Refuses a wrong query with 422.
    """
    identifiers = audits.split(",") if audits else []
    accuracies = None if top1 is None else top1.split(",")
    for field, message in _query_errors(identifiers, accuracies, reference):
        raise invalid([{"loc": (field,), "msg": message}], "request")
    stated = None if accuracies is None else [float(text) if text else None for text in accuracies]
    return identifiers, stated, reference or identifiers[0]


def _query_errors(
    identifiers: Sequence[str], accuracies: Sequence[str] | None, reference: str | None
) -> Iterator[tuple[str, str]]:
    """Yield everything that is wrong with a query, as a field and a message."""
    count = len(identifiers)
    if not MIN_AUDITS <= count <= MAX_AUDITS:
        yield "audits", f"{MIN_AUDITS} to {MAX_AUDITS} audits can be compared, not {count}"
    for index, identifier in enumerate(identifiers):
        if not re.fullmatch(r"[0-9a-f]{32}", identifier):
            yield "audits", f"{identifier[:64]!r} is not an audit's id, 32 hexadecimal digits in lower case"
        if identifier in identifiers[:index]:
            yield "audits", f"{identifier} is there twice"
    if reference is not None and reference not in identifiers:
        yield "reference", f"{reference[:64]!r} is not one of the audits; name one of them"
    if accuracies is not None and len(accuracies) != count:
        yield "top1", f"one for each of the {count} audits, not {len(accuracies)}; an empty one where unknown"
    for identifier, text in zip(identifiers, accuracies or (), strict=False):
        if text and not (re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,12})?", text) and float(text) <= 100):
            yield "top1", f"{text[:64]!r}, of {identifier}, is not a number from 0 to 100"


def compare(
    reports: Sequence[Report], top1: Sequence[float | None] | None = None, reference: str | None = None
) -> Comparison:
    """Put the scores of the reports into one table, relate each score to accuracy, and tell how far each report
    differs from the one of the audit ``reference``, by default the first.

    ``top1``, in per cent, replaces the zoo's figure for a report where it is not None. Refuses with 422 reports
    that differ in method or images.
    """
    _require_same_method(reports)
    audits = tuple(
        compared_audit(report, stated) for report, stated in zip(reports, top1 or [None] * len(reports), strict=True)
    )
    method = shared_method(reports[0])
    accuracy = {
        part: RelatedPart(
            **{
                transform: _relate_scores(audits, [getattr(audit.parts[part], transform) for audit in audits])
                for transform in method.transforms
            }
        )
        for part in PARTS
        if all(part in audit.parts for audit in audits)
    }
    return Comparison(
        method=method,
        audits=audits,
        accuracy=accuracy,
        differences=differences(reports, reference or reports[0].id),
    )


def _require_same_method(reports: Sequence[Report]) -> None:
    """Refuse with 422 reports whose methods or images differ, and name the differences and the audits."""
    methods = [dict(shared_method(report)) for report in reports]
    errors = [
        FieldError(field=field, message=_groups_by_value(reports, values))
        for field in methods[0]
        if len(set(values := [_value_text(method[field]) for method in methods])) > 1
    ]
    if not {error.field for error in errors} & {"dataset", "num_images", "seed"}:
        # The requests ask for the same images, so a different list means a different folder behind the data set's name.
        lists = [f"list {report.images.sha256[:12]}" for report in reports]
        if len(set(lists)) > 1:
            errors.append(FieldError(field="images.sha256", message=_groups_by_value(reports, lists)))
    if errors:
        detail = "; ".join(f"{error.field} is {error.message}" for error in errors)
        raise refused(
            "methods-differ",
            f"Scores compare only between audits of one method on the same images: {detail}.",
            errors=tuple(errors),
        )


def _groups_by_value(reports: Sequence[Report], values: Sequence[str]) -> str:
    """Tell which audits have which value: count the largest group, and name the audits of the others.

    For example "0 in 7 audits, 1 in ID (timm/resnet18)".
    """
    groups: dict[str, list[Report]] = {}
    for report, value in zip(reports, values, strict=True):
        groups.setdefault(value, []).append(report)
    (first, most), *others = sorted(groups.items(), key=lambda group: -len(group[1]))
    counted = [f"{first} in {_audit_names(most) if len(most) == 1 else f'{len(most)} audits'}"]
    return ", ".join(counted + [f"{value} in {_audit_names(group)}" for value, group in others])


def _audit_names(reports: Sequence[Report]) -> str:
    names = [f"{report.id} ({report.model.name})" for report in reports[:MAX_NAMED]]
    return " and ".join(names + ([f"{len(reports) - MAX_NAMED} more"] if len(reports) > MAX_NAMED else []))


def _value_text(value: object) -> str:
    if isinstance(value, Deformations):
        return deformation_text(value)
    if not isinstance(value, tuple):
        return str(value)
    if value and isinstance(value[0], Warps):
        return warps_text(value)
    return ",".join(value) if value and isinstance(value[0], str) else ranges(value)


def _relate_scores(audits: Sequence[ComparedAudit], scores: Sequence[Score]) -> RelatedScores:
    top1 = {audit.id: audit.imagenet_top1 for audit in audits}
    return RelatedScores(
        channel=relate({audit.id: score.channel for audit, score in zip(audits, scores, strict=True)}, top1),
        layer=relate({audit.id: score.layer for audit, score in zip(audits, scores, strict=True)}, top1),
    )


def relate(scores: Mapping[str, float | None], top1: Mapping[str, float | None]) -> AccuracyRelation:
    """Relate a score to accuracy over the audits that have both; :mod:`.accuracy_statistics` has the formulas."""
    both = [(name, score, top1[name]) for name, score in scores.items() if score is not None and top1[name] is not None]
    reason = None
    if len(both) < MIN_MODELS:
        reason = f"{len(both)} of {len(scores)} audits have both a score and a top-1 accuracy; this takes {MIN_MODELS}."
    elif len({score for _, score, _ in both}) == 1:
        reason = f"The score is the same for all {len(both)} models."
    elif len({accuracy for _, _, accuracy in both}) == 1:
        reason = f"The top-1 accuracy is the same for all {len(both)} models."
    if reason:
        return AccuracyRelation(
            models=len(both),
            spearman=None,
            interval=None,
            p_value=None,
            slope=None,
            intercept=None,
            residuals={},
            reason=reason,
        )

    import numpy as np  # here, because importing numpy and scipy takes longer than starting the service

    from service import accuracy_statistics

    names = [name for name, _, _ in both]
    y = np.array([score for _, score, _ in both])
    x = np.array([accuracy for _, _, accuracy in both], dtype=float)
    rho, p_value = accuracy_statistics.spearman(x, y)
    interval = accuracy_statistics.spearman_interval(rho, len(names))
    slope, intercept, residuals = accuracy_statistics.least_squares(x, y)
    return AccuracyRelation(
        models=len(names),
        spearman=rho,
        interval=interval,
        p_value=p_value,
        slope=slope,
        intercept=intercept,
        residuals=dict(zip(names, residuals, strict=True)),
        reason=None if interval else f"A rho of {rho:+.0f} has no interval.",
    )
