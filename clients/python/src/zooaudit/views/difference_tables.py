"""The tables of how audits differ from one of them."""

from collections.abc import Sequence

from zooaudit.contract import (
    PARTS,
    ComparedAudit,
    Comparison,
    Difference,
    DifferentAudit,
    PartName,
    ScoreName,
    TransformName,
)
from zooaudit.views.tables import Table, with_narrower
from zooaudit.views.text import counted, printable, spoken

TIE = "≈"


def difference_tables(comparison: Comparison, score_name: ScoreName) -> list[Table]:
    """Show one score of all audits less that of the reference, by part: for each kind of transform."""
    if comparison.differences is None:
        return []
    audits = {audit.id: audit for audit in comparison.audits}
    return [_table(comparison, audits, transform, score_name) for transform in comparison.method.transforms]


def _table(
    comparison: Comparison, audits: dict[str, ComparedAudit], transform: TransformName, score_name: ScoreName
) -> Table:
    assert comparison.differences is not None
    reference, others = audits[comparison.differences.reference], comparison.differences.audits
    rows = [
        [_named(audits[audit.id], comparison), *(_cell(audit, part, transform, score_name) for part in PARTS)]
        for audit in others
    ]
    transforms = comparison.method.transforms
    notes = _notes(others, transforms, score_name) if transform == transforms[-1] else []
    title = f"{spoken(transform).capitalize()}: {score_name} equivariance less that of {_named(reference, comparison)}"
    return with_narrower(Table(("Model", *PARTS), rows, title, numbers_from=1, notes=notes, flexible=0))


def _named(audit: ComparedAudit, comparison: Comparison) -> str:
    """Name an audit: by its model, with its weights or the start of its id where another one has the same."""
    same = [one for one in comparison.audits if one.model == audit.model and one.id != audit.id]
    if not same:
        return printable(audit.model)
    detail = audit.weights if all(one.weights != audit.weights for one in same) else audit.id[:8]
    return f"{printable(audit.model)} ({printable(detail)})"


def _cell(audit: DifferentAudit, part: PartName, transform: TransformName, score_name: ScoreName) -> str:
    if part not in audit.parts:
        return "–"
    return difference_cell(getattr(getattr(audit.parts[part], transform), score_name))


def difference_cell(difference: Difference) -> str:
    """Write a difference with half the width of its interval; a tie is marked.

    >>> from zooaudit.contract import Difference
    >>> fields = {"value": 0.0312, "interval": (0.0302, 0.0322), "p_value": 0.01, "p_adjusted": 0.02}
    >>> difference_cell(Difference(**fields, differs=True)), difference_cell(Difference(**fields, differs=False))
    ('+0.031 ±0.001', '≈+0.031 ±0.001')
    """
    if difference.value is None:
        return "–"
    value = f"{difference.value + 0.0:+.3f}"
    tie = TIE if difference.differs is False else "?" if difference.differs is None else ""
    if difference.interval is None:
        return f"{tie}{value}"
    low, high = difference.interval
    return f"{tie}{value} ±{(high - low) / 2:.3f}"


def _notes(others: tuple[DifferentAudit, ...], transforms: Sequence[TransformName], score_name: ScoreName) -> list[str]:
    found = [
        getattr(getattr(part, transform), score_name)
        for audit in others
        for part in audit.parts.values()
        for transform in transforms
    ]
    notes = []
    if any(difference.differs is not None for difference in found):
        adjusted = "" if len(others) == 1 else f", adjusted by Holm over {counted(len(others), 'audit')},"
        notes.append(
            f"{TIE} is a tie: p{adjusted} is 0.05 or more. ± is half of a paired 95 % interval: what two models have "
            "in common, on the same images, cancels"
        )
    reasons = {difference.reason for difference in found if difference.reason and difference.value is not None}
    return notes + sorted(f"? {printable(reason)}" for reason in reasons)
