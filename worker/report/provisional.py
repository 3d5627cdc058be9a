"""What a report would say of its parts if the audit ended now."""

from collections.abc import Sequence

from zooaudit.contract import Provisional, ProvisionalPart, Score

from worker.measure.scores import ScoreTable
from worker.report.build import score_fields


def provisional(table: ScoreTable, groups: Sequence[int]) -> Provisional:
    """Summarise the scores known so far, over ``groups`` of images, by part."""
    return Provisional(
        images=sum(groups),
        parts={
            name: ProvisionalPart(
                **{transform: Score(**score_fields(curve.mean, groups)) for transform, curve in curves.items()}
            )
            for name, curves in table.parts.items()
        },
    )
