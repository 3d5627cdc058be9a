"""Several reports side by side, and how their scores go with ImageNet top-1 accuracy."""

import re
from collections.abc import Iterator, Mapping, Sequence

from zooaudit.contract import (
    PARTS,
    AccuracyRelation,
    ComparedAudit,
    ComparedPart,
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
"""Fisher's z has no standard error below; a rank correlation of three says nothing anyway."""
PERMUTED_BELOW = 30
"""Models below which the p-value is by permutation."""
PERMUTATIONS = 9999
NAMED = 10
"""Audits that a refusal names of each group."""


def asked(audits: str, top1: str | None) -> tuple[list[str], list[float | None] | None]:
    """The ids, and the accuracies given with them, of a query. Raises a 422 for what is wrong with it."""
    identifiers = audits.split(",")
    accuracies = None if top1 is None else top1.split(",")
    for field, message in _wrong(identifiers, accuracies):
        raise invalid([{"loc": (field,), "msg": message}], "request")
    return identifiers, None if accuracies is None else [float(text) if text else None for text in accuracies]


def _wrong(identifiers: Sequence[str], accuracies: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    """What is wrong with a query: the field, and why."""
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
    """The reports' scores in one table, and each score against accuracy.

    ``top1``, per cent, takes the place of the zoo's figures where it is not None. Raises a 422 ``methods-differ`` when
    the reports are not of one method on the same images.
    """
    _same_method(reports)
    audits = tuple(
        _audit(report, stated) for report, stated in zip(reports, top1 or [None] * len(reports), strict=True)
    )
    accuracy = {
        part: RelatedPart(
            translation=_related(audits, [audit.parts[part].translation for audit in audits]),
            rotation=_related(audits, [audit.parts[part].rotation for audit in audits]),
        )
        for part in PARTS
        if all(part in audit.parts for audit in audits)
    }
    return Comparison(method=_method(reports[0]), audits=audits, accuracy=accuracy)


def _method(report: Report) -> SharedMethod:
    """What has to be equal. A report of both similarities, or of all borders, has its main parts by the correlation,
    under border "crop". Canvas and resize are each model's own preprocessing."""
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


def _same_method(reports: Sequence[Report]) -> None:
    methods = [_method(report).model_dump() for report in reports]
    errors = [
        FieldError(field=field, message=_groups(reports, values))
        for field in methods[0]
        if len(set(values := [_words(method[field]) for method in methods])) > 1
    ]
    if not {error.field for error in errors} & {"dataset", "num_images", "seed"}:
        # The same images were asked for, so that another list means another folder under the data set's name.
        lists = [f"list {report.images.sha256[:12]}" for report in reports]
        if len(set(lists)) > 1:
            errors.append(FieldError(field="images.sha256", message=_groups(reports, lists)))
    if errors:
        detail = "; ".join(f"{error.field} is {error.message}" for error in errors)
        raise refused(
            "methods-differ",
            f"Scores compare only between audits of one method on the same images: {detail}.",
            errors=tuple(errors),
        )


def _groups(reports: Sequence[Report], values: Sequence[str]) -> str:
    """Which audits have which value: the largest group as a number, the others by name.

    "0 in 7 audits, 1 in ID (timm/resnet18)"
    """
    groups: dict[str, list[Report]] = {}
    for report, value in zip(reports, values, strict=True):
        groups.setdefault(value, []).append(report)
    (first, most), *others = sorted(groups.items(), key=lambda group: -len(group[1]))
    named = [f"{first} in {_names(most) if len(most) == 1 else f'{len(most)} audits'}"]
    return ", ".join(named + [f"{value} in {_names(group)}" for value, group in others])


def _names(reports: Sequence[Report]) -> str:
    names = [f"{report.id} ({report.model.name})" for report in reports[:NAMED]]
    return " and ".join(names + ([f"{len(reports) - NAMED} more"] if len(reports) > NAMED else []))


def _words(value: object) -> str:
    return ranges(value) if isinstance(value, tuple) else str(value)


def _audit(report: Report, top1: float | None) -> ComparedAudit:
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
            name: ComparedPart(translation=_score(part.translation), rotation=_score(part.rotation))
            for name, part in report.parts.items()
        },
    )


def _score(score: Score) -> Score:
    """The score without its rows by transform."""
    return Score(**{field: getattr(score, field) for field in Score.model_fields})


def _related(audits: Sequence[ComparedAudit], scores: Sequence[Score]) -> RelatedScores:
    top1 = {audit.id: audit.imagenet_top1 for audit in audits}
    return RelatedScores(
        channel=relate({audit.id: score.channel for audit, score in zip(audits, scores, strict=True)}, top1),
        layer=relate({audit.id: score.layer for audit, score in zip(audits, scores, strict=True)}, top1),
    )


def relate(scores: Mapping[str, float | None], top1: Mapping[str, float | None]) -> AccuracyRelation:
    """Spearman's rho of score against accuracy, over the audits that have both, and the least-squares line.

    The 95 % interval is Fisher's: tanh(atanh(rho) ± 1.96 s), with the standard error s = sqrt((1 + rho² / 2) / (n - 3))
    of Bonett and Wright (2000, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations",
    Psychometrika 65). It does not exist at rho = ±1. The two-sided p-value of no association is by permutation of the
    accuracies below 30 models (all n! up to 7 models, else 9999 drawn with a fixed seed), by Student's t from there on.
    """
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

    import numpy as np  # here, since scipy.stats takes longer to import than the service takes to start
    from scipy import stats  # type: ignore[import-untyped]

    names = [name for name, _, _ in both]
    y = np.array([score for _, score, _ in both])
    x = np.array([accuracy for _, _, accuracy in both], dtype=float)
    found = stats.spearmanr(x, y)
    rho, p_value = float(found.statistic), float(found.pvalue)
    if abs(rho) > 1 - 1e-12:
        rho = float(round(rho))
    if len(names) < PERMUTED_BELOW:
        # Of ranks nothing but the sum of products changes when they are paired anew; it is exact, so that ties count.
        ranks = stats.rankdata(y)
        permuted = stats.permutation_test(
            (stats.rankdata(x),),
            lambda paired, axis: (paired * ranks).sum(axis),
            permutation_type="pairings",
            vectorized=True,
            n_resamples=PERMUTATIONS,
            rng=np.random.default_rng(0),
        )
        p_value = float(permuted.pvalue)
    interval = None
    if abs(rho) < 1:
        half = stats.norm.ppf(0.975) * np.sqrt((1 + rho**2 / 2) / (len(names) - 3))
        interval = (float(np.tanh(np.arctanh(rho) - half)), float(np.tanh(np.arctanh(rho) + half)))
    line = stats.linregress(x, y)
    residuals = y - (line.intercept + line.slope * x)
    return AccuracyRelation(
        models=len(names),
        spearman=rho,
        interval=interval,
        p_value=p_value,
        slope=float(line.slope),
        intercept=float(line.intercept),
        residuals=dict(zip(names, residuals.tolist(), strict=True)),
        reason=None if interval else f"A rho of {rho:+.0f} has no interval.",
    )
