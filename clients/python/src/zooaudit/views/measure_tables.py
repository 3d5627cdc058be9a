"""Whether measures agree, as tables."""

from collections.abc import Iterator

from zooaudit.contract import MeasureAgreement, MeasureMatrix, MeasurePair
from zooaudit.views.figures.measures import labelled, level_name, square
from zooaudit.views.tables import Table
from zooaudit.views.text import printable, signed

COLUMNS = 7
"""A matrix of more measures is shown in pieces of so many columns, which fit a terminal."""
SHOWN_PAIRS = 10


def measure_tables(agreement: MeasureAgreement) -> list[Table]:
    """Show what each matrix says in a line; the first of them, be it of all blocks or of the models through the whole
    depth, unless it has no number at all; and with their intervals the pairs of it that agree least."""
    first = agreement.matrices[0]
    subject = printable(agreement.models[0]) if len(agreement.models) == 1 else f"{len(agreement.models)} models"
    summaries = [matrix.summary for matrix in agreement.matrices]
    return [
        Table((), (), f"{subject}: do measures agree?", notes=summaries),
        *(_pieces(first) if any(pair.rho is not None for pair in first.pairs) else ()),
        *_pairs_table(first),
        Table((), (), notes=agreement.notes),
    ]


def _pieces(matrix: MeasureMatrix) -> Iterator[Table]:
    """Yield the lower half of a matrix, ``COLUMNS`` columns at a time; numbers stand for the names above columns."""
    cells, count = square(matrix), len(matrix.measures)
    for start in range(0, count - 1, COLUMNS):
        columns = range(start, min(start + COLUMNS, count - 1))
        rows = [
            [
                str(row + 1),
                labelled(matrix.measures[row]),
                *(_rho(cells[row][column]) if column < row else "" for column in columns),
            ]
            for row in range(start, count)
        ]
        title = f"Spearman's rho. {level_name(matrix)}" if start == 0 else None
        yield Table(("", "Measure", *(str(column + 1) for column in columns)), rows, title, numbers_from=2, flexible=1)


def _pairs_table(matrix: MeasureMatrix) -> Iterator[Table]:
    labels = {measure.name: labelled(measure) for measure in matrix.measures}
    known = sorted((pair for pair in matrix.pairs if pair.rho is not None), key=lambda pair: pair.rho or 0)
    if known:
        rows = [
            [f"{labels[pair.first]} – {labels[pair.second]}", signed(pair.rho, pair.interval), str(pair.n)]
            for pair in known[:SHOWN_PAIRS]
        ]
        all_of_them = "All pairs, those that agree least first"
        shown = (
            all_of_them if len(known) <= SHOWN_PAIRS else f"The {SHOWN_PAIRS} of {len(known)} pairs that agree least"
        )
        title = f"{shown}, with a 95 % interval"
        yield Table(("Measures", "rho", "n"), rows, title, numbers_from=1, flexible=0)
    reasons = {pair.reason for pair in matrix.pairs if pair.rho is None and pair.reason}
    if reasons:
        yield Table((), (), notes=[f"No rho: {reason}" for reason in sorted(reasons)])


def _rho(pair: MeasurePair | None) -> str:
    return "–" if pair is None else signed(pair.rho)
