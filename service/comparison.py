"""Several reports side by side, and how their scores relate to ImageNet top-1 accuracy."""

import re
from collections.abc import Iterator, Mapping, Sequence

from zooaudit.contract import (
    PARTS,
    AccuracyRelation,
    ComparedAudit,
    ComparedPart,
    ComparedTranslation,
    Comparison,
    FieldError,
    RelatedPart,
    RelatedScores,
    Report,
    Score,
    SharedMethod,
)
from zooaudit.views.text import ranges

from service.errors import invalid, refused

MIN_AUDITS, MAX_AUDITS = 2, 200
MIN_MODELS = 4
"""The fewest models whose scores are related to accuracy: with fewer, Fisher's z has no standard error."""
MAX_NAMED = 10
"""How many audits of each group a refusal names."""


def parse_query(audits: str, top1: str | None) -> tuple[list[str], list[float | None] | None]:
    """Split a query into audits' ids and accuracies. Refuses a wrong query with 422."""
    identifiers = audits.split(",")
    accuracies = None if top1 is None else top1.split(",")
    for field, message in _query_errors(identifiers, accuracies):
        raise invalid([{"loc": (field,), "msg": message}], "request")
    return identifiers, None if accuracies is None else [float(text) if text else None for text in accuracies]


def _query_errors(identifiers: Sequence[str], accuracies: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    """Yield everything that is wrong with a query, as a field and a message."""
    count = len(identifiers)
    if not MIN_AUDITS <= count <= MAX_AUDITS:
        yield "audits", f"{MIN_AUDITS} to {MAX_AUDITS} audits can be compared, not {count}"
    for index, identifier in enumerate(identifiers):
        if not re.fullmatch(r"[0-9a-f]{32}", identifier):
            yield "audits", f"{identifier[:64]!r} is not an audit's id, 32 hexadecimal digits in lower case"
        if identifier in identifiers[:index]:
            yield "audits", f"{identifier} is there twice"
    if accuracies is not None and len(accuracies) != count:
        yield "top1", f"one for each of the {count} audits, not {len(accuracies)}; an empty one where unknown"
    for identifier, text in zip(identifiers, accuracies or (), strict=False):
        if text and not (re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,12})?", text) and float(text) <= 100):
            yield "top1", f"{text[:64]!r}, of {identifier}, is not a number from 0 to 100"


def compare(reports: Sequence[Report], top1: Sequence[float | None] | None = None) -> Comparison:
    """Put the scores of the reports into one table, and relate each score to accuracy.

    ``top1``, in per cent, replaces the zoo's figure for a report where it is not None. Refuses with 422 reports
    that differ in method or images.
    """
    _require_same_method(reports)
    audits = tuple(
        _compared_audit(report, stated) for report, stated in zip(reports, top1 or [None] * len(reports), strict=True)
    )
    accuracy = {
        part: RelatedPart(
            translation=_relate_scores(audits, [audit.parts[part].translation for audit in audits]),
            rotation=_relate_scores(audits, [audit.parts[part].rotation for audit in audits]),
        )
        for part in PARTS
        if all(part in audit.parts for audit in audits)
    }
    return Comparison(method=_shared_method(reports[0]), audits=audits, accuracy=accuracy)


def _require_same_method(reports: Sequence[Report]) -> None:
    """Refuse with 422 reports whose methods or images differ, and name the differences and the audits."""
    methods = [_shared_method(report).model_dump() for report in reports]
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


def _shared_method(report: Report) -> SharedMethod:
    """Return the part of the method that all compared reports must share.

    When a report has both similarities or all borders, its main parts are by the correlation and under border "crop".
    Canvas and resize are left out: they belong to each model's preprocessing.
    """
    method, images = report.method, report.images
    return SharedMethod(
        protocol=report.protocol,
        similarity="correlation" if method.similarity == "both" else method.similarity,
        border="crop" if method.border == "all" else method.border,
        translations_px=method.translations_px,
        rotations_deg=method.rotations_deg,
        precision=method.precision,
        tolerance=method.tolerance,
        dataset=images.dataset,
        num_images=images.requested or images.count + len(images.skipped),
        seed=images.seed,
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
    return ranges(value) if isinstance(value, tuple) else str(value)


def _compared_audit(report: Report, top1: float | None) -> ComparedAudit:
    model = report.model
    return ComparedAudit(
        id=report.id,
        model=model.name,
        family=model.family,
        weights=model.weights.label,
        parameters=model.parameters,
        input_size=model.input_size,
        imagenet_top1=model.imagenet_top1 if top1 is None else top1,
        images=report.images.count,
        parts={
            name: ComparedPart(
                translation=ComparedTranslation(
                    **dict(_bare_score(part.translation)), aligned=part.translation.aligned
                ),
                rotation=_bare_score(part.rotation),
            )
            for name, part in report.parts.items()
        },
    )


def _bare_score(score: Score) -> Score:
    """Copy the score without its rows by transform."""
    return Score(**{field: getattr(score, field) for field in Score.model_fields})


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
