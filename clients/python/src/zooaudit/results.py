"""What the clients return: the contract's reports, audits, costs and comparisons, with methods that show them."""

from typing import TYPE_CHECKING, Literal

from zooaudit import contract
from zooaudit.views import figures
from zooaudit.views.audit_tables import audit_table
from zooaudit.views.comparison_tables import comparison_tables
from zooaudit.views.cost_text import cost_lines
from zooaudit.views.explanation_tables import channels_table, least_table
from zooaudit.views.frames import (
    accuracy_frame,
    comparison_frame,
    differences_frame,
    leaderboard_frame,
    measures_frame,
    report_frame,
)
from zooaudit.views.leaderboard_table import leaderboard_table
from zooaudit.views.measure_tables import measure_tables
from zooaudit.views.reading import reading, reading_table
from zooaudit.views.report_tables import report_tables, score_tables
from zooaudit.views.shard_table import shard_table
from zooaudit.views.tables import fitted, html, plain
from zooaudit.views.text import state, subject

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects


REPR_WIDTH = 128
"""A report that prints itself is not wider than this, if that can be."""


class EqualByContent:
    """Makes a record equal to the contract's record of the same content; to pydantic, two classes are never equal."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, contract.Contract):
            return NotImplemented
        are_related = isinstance(self, type(other)) or isinstance(other, type(self))
        return are_related and vars(self) == vars(other)


class Report(EqualByContent, contract.Report):
    """The result of an audit. It prints as a table, and gives a data frame and figures."""

    def reading(self) -> contract.Reading:
        """Return the report in words: ``sentences`` made from its numbers, and ``warnings`` before they are quoted."""
        return reading(self)

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return every score and interval of the report in long form. Needs pandas.

        A row has the scores ``channel``, ``layer`` and ``layer_held_out``, and at Final ``top1_agreement``, each with
        its interval, such as ``channel_low`` to ``channel_high``:

        ``level``, ``part``, ``block``  a "part", or a "block" with its name
        ``kind``                        "translation", "rotation", "reflection", or a warp such as "warp_rotation"
        ``statistic``, ``amount``       "mean" over all transforms; "aligned", the mean over those shifts that are whole
                                        at the block; or one "transform" of that many pixels or degrees, or of
                                        that factor
        ``direction``                   where shifts go, "diagonal", "right" or "down"; or how one reflection flips,
                                        "horizontal" or "vertical"
        ``transforms``                  the number of transforms in the mean
        ``similarity``, ``border``      the settings under which it was measured
        ``quantity``, ``seed``          "score" of the requested weights; with a baseline also "untrained", the mean and
                                        by seed, and "learned", the score beyond the untrained mean

        A report with warps has a column ``interpolation``, against which their scores are to be read. One with other
        measures has a row for each of their numbers, whose statistic is NaN, and more columns: ``measure``
        ("equivariance" of the scores, "local_error", "variance", "consistency", "published_consistency", and of
        deformations "gradient", "deformation", "noise" and "ratio"), and ``value`` with its interval, ``value_low`` to
        ``value_high``. Their ``kind`` is a generator, a transform, "deformation" or "window", and the ``amount`` of a
        deformation its mean displacement in pixels.

        ``df.query("level == 'part' and statistic == 'mean'")`` is the table of the parts. Frames of several reports
        can be concatenated: each row has the audit's ``id``, ``model`` and ``weights``. A score that cannot be measured
        is NaN and has a ``reason``.
        """
        return report_frame(self)

    def __repr__(self) -> str:
        return plain([fitted(table, REPR_WIDTH) or table for table in score_tables(self)])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return html([reading_table(self), *report_tables(self)])

    def plot(
        self,
        kind: Literal[
            "parts", "shifts", "agreement", "depth", "warps", "deformations", "local_error", "variance"
        ] = "parts",
        *others: contract.Report,
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


class Explanation(EqualByContent, contract.Explanation):
    """The maps of one block for one image. It prints as a table, and gives a figure."""

    def __repr__(self) -> str:
        return plain([channels_table(self)])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return html([channels_table(self)])

    def plot(self) -> "plotly.graph_objects.Figure":
        """Draw the maps of x and of T(x), and their difference, channel by channel. Needs ``zooaudit[plot]``."""
        return figures.draw(figures.maps(self))


class LeastEquivariant(EqualByContent, contract.LeastEquivariant):
    """The images on which a model is least equivariant. It prints as a table."""

    def __repr__(self) -> str:
        return plain([least_table(self)])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return html([least_table(self)])


class Comparison(EqualByContent, contract.Comparison):
    """Audits of one method on the same images. It prints as tables, and gives data frames and figures."""

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return every score and interval in long form: a row for each audit, ``part`` and ``kind`` ("translation",
        "rotation", ...). Other measures have rows and columns as in :meth:`Report.to_dataframe`. Needs pandas.

        ``channel_residual`` and ``layer_residual`` say how far a score lies above the line over ``imagenet_top1``.
        """
        return comparison_frame(self)

    def differences_dataframe(self) -> "pandas.DataFrame":
        """Return how each audit differs from the reference: a row for each audit, ``part``, ``kind`` and ``score``
        ("channel", "layer", "layer_held_out" or "top1_agreement") with the ``difference``, its paired interval
        ``low`` to ``high``, ``p_value``, ``p_adjusted`` and ``differs``, which is false for a tie. Needs pandas."""
        return differences_frame(self)

    def accuracy_dataframe(self) -> "pandas.DataFrame":
        """Return how each score relates to accuracy: a row for each ``part``, ``kind`` and ``score`` ("channel" or
        "layer") with ``spearman``, its interval ``low`` to ``high``, and the line. Needs pandas."""
        return accuracy_frame(self)

    def __repr__(self) -> str:
        return plain(comparison_tables(self, is_brief=True))

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return html(comparison_tables(self))

    def plot(self, kind: Literal["accuracy", "parts"] = "accuracy") -> "plotly.graph_objects.Figure":
        """Draw the comparison: see :mod:`zooaudit.figures`. Needs ``zooaudit[plot]``."""
        if kind not in ("accuracy", "parts"):
            raise ValueError(f"there is no figure {kind!r} of a comparison: accuracy, or parts")
        return figures.draw(figures.accuracy(self) if kind == "accuracy" else figures.parts(self.audits))


class MeasureAgreement(EqualByContent, contract.MeasureAgreement):
    """Whether measures agree, over the blocks of one audit or over models. It prints as tables, and gives a data frame
    and a figure."""

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return a row for each pair of measures at each ``level`` ("blocks"; over models "depth", "Early", ...): the
        names of both, ``first`` and ``second``, Spearman's ``rho``, its interval ``low`` to ``high``, ``n``, and the
        ``reason`` where there is none. Needs pandas.

        Errors, R and variances are turned around before they are correlated: +1 always means the same order.
        """
        return measures_frame(self)

    def __repr__(self) -> str:
        return plain(measure_tables(self))

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return html(measure_tables(self))

    def plot(self) -> "plotly.graph_objects.Figure":
        """Draw the matrices: see :mod:`zooaudit.figures`. Needs ``zooaudit[plot]``."""
        return figures.draw(figures.measures(self))


class Leaderboard(EqualByContent, contract.Leaderboard):
    """The newest audit of each model by one method. It prints as a table, and gives a data frame."""

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return a row for each ``id``, ``part`` and ``kind`` ("translation", ...), with the facts of the
        model, both scores and their intervals, and what other measures say, as :meth:`Comparison.to_dataframe` does.
        Needs pandas."""
        return leaderboard_frame(self)

    def __repr__(self) -> str:
        return plain([leaderboard_table(self)])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return html([leaderboard_table(self)])
