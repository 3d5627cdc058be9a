"""What the clients return: the contract's reports, audits, costs and comparisons, with methods that show them."""

from typing import TYPE_CHECKING, Literal

from zooaudit import contract
from zooaudit.views import figures
from zooaudit.views.audit_tables import audit_table
from zooaudit.views.comparison_tables import comparison_tables
from zooaudit.views.cost_text import cost_lines
from zooaudit.views.frames import accuracy_frame, comparison_frame, report_frame
from zooaudit.views.report_tables import report_tables
from zooaudit.views.shard_table import shard_table
from zooaudit.views.tables import html, plain
from zooaudit.views.text import state, subject

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects


class EqualByContent:
    """Makes a record equal to the contract's record of the same content; to pydantic, two classes are never equal."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, contract.Contract):
            return NotImplemented
        are_related = isinstance(self, type(other)) or isinstance(other, type(self))
        return are_related and vars(self) == vars(other)


class Report(EqualByContent, contract.Report):
    """The result of an audit. It prints as a table, and gives a data frame and figures."""

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return every score and interval of the report in long form. Needs pandas.

        A row is a pair of scores, ``channel`` and ``layer``, with their intervals ``channel_low`` to ``layer_high``:

        ``level``, ``part``, ``block``  a "part", or a "block" with its name
        ``kind``                        "translation" or "rotation"
        ``statistic``, ``amount``       "mean" over all transforms; "aligned", the mean over those shifts that are whole
                                        at the block; or one "transform" of that many pixels or degrees
        ``transforms``                  the number of transforms in the mean
        ``similarity``, ``border``      the settings under which it was measured
        ``quantity``, ``seed``          "score" of the requested weights; with a baseline also "untrained", the mean and
                                        by seed, and "learned", the score beyond the untrained mean

        ``df.query("level == 'part' and statistic == 'mean'")`` is the table of the parts. Frames of several reports
        can be concatenated: each row has the audit's ``id``, ``model`` and ``weights``. A score that cannot be measured
        is NaN and has a ``reason``.
        """
        return report_frame(self)

    def __repr__(self) -> str:
        return plain(report_tables(self)[:1])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return html(report_tables(self))

    def plot(
        self, kind: Literal["parts", "shifts", "agreement", "depth"] = "parts", *others: contract.Report
    ) -> "plotly.graph_objects.Figure":
        """Draw this report, with ``others`` beside it: see :mod:`zooaudit.figures`. Needs ``zooaudit[plot]``."""
        return figures.draw(figures.of(kind, [self, *others]))


class Audit(EqualByContent, contract.Audit):
    """An accepted request, its state and its progress. It prints as one line. Times are UTC.

    While it is measured, ``sharing`` says which worker has which of its transforms, and how far each is.
    """

    def __repr__(self) -> str:
        return f"<Audit {self.id} {subject(self.request)}: {state(self)}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return html([audit_table(self), *([shard_table(self.sharing)] if self.sharing else [])])


class AuditList(EqualByContent, contract.AuditList):
    """One page of a list of audits."""

    audits: tuple[Audit, ...]


class Cost(EqualByContent, contract.Cost):
    """What a request for an audit would cost. It prints as two or three sentences."""

    def __repr__(self) -> str:
        return "\n".join(cost_lines(self))

    __str__ = __repr__


class Comparison(EqualByContent, contract.Comparison):
    """Audits of one method on the same images. It prints as tables, and gives data frames and figures."""

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return every score and interval in long form: a row for each audit, ``part`` and ``kind`` ("translation" or
        "rotation"). Needs pandas.

        ``channel_residual`` and ``layer_residual`` say how far a score lies above the line over ``imagenet_top1``.
        """
        return comparison_frame(self)

    def accuracy_dataframe(self) -> "pandas.DataFrame":
        """Return how each score relates to accuracy: a row for each ``part``, ``kind`` and ``score`` ("channel" or
        "layer") with ``spearman``, its interval ``low`` to ``high``, and the line. Needs pandas."""
        return accuracy_frame(self)

    def __repr__(self) -> str:
        return plain(comparison_tables(self)[:3])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return html(comparison_tables(self))

    def plot(self, kind: Literal["accuracy", "parts"] = "accuracy") -> "plotly.graph_objects.Figure":
        """Draw the comparison: see :mod:`zooaudit.figures`. Needs ``zooaudit[plot]``."""
        if kind not in ("accuracy", "parts"):
            raise ValueError(f"there is no figure {kind!r} of a comparison: accuracy, or parts")
        return figures.draw(figures.accuracy(self) if kind == "accuracy" else figures.parts(self.audits))
