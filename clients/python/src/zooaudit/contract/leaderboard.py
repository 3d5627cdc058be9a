"""The zoo at a glance: one row for each model and weights, all measured by one method on the same images."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import Field

from zooaudit.contract.base import Contract
from zooaudit.contract.catalogue import Source
from zooaudit.contract.comparison import ComparedAudit, SharedMethod, compared_audit, shared_method
from zooaudit.contract.report import Report


class LeaderboardRow(ComparedAudit):
    """The newest audit of one model with one kind of weights."""

    source: Source
    finished_at: datetime

    @property
    def contestant(self) -> tuple[str, str]:
        """The model and its weights without a checkpoint's version: a checkpoint has one row, of its newest audit."""
        return self.model, self.weights.partition("@")[0]


class LeaderboardMethod(SharedMethod):
    """A method together with its images: audits under one name of a data set whose folders hold other images cannot be
    compared. ``images_sha256`` is the hash of the list of all chosen images."""

    images_sha256: str


class MeasuredMethod(Contract):
    """A method, and how many models have an audit by it."""

    method: LeaderboardMethod
    models: Annotated[int, Field(ge=1)]


class ReportSummary(Contract):
    """What a leaderboard needs of one report."""

    method: LeaderboardMethod
    row: LeaderboardRow


class Leaderboard(Contract):
    """The models that were measured by one ``method``, and the other ``methods`` that there are, those of the most
    models first. ``method`` is null while no audit has succeeded, or if none matches the requested settings.

    ``rows`` is one page of the ``total`` rows that match. ``families`` counts the method's rows by family, whether or
    not they match. ``pending`` counts the reports that the service has yet to read: until it is 0, rows are missing.
    """

    method: LeaderboardMethod | None
    methods: tuple[MeasuredMethod, ...]
    rows: tuple[LeaderboardRow, ...]
    total: Annotated[int, Field(ge=0)]
    families: dict[str, int]
    pending: Annotated[int, Field(ge=0)]


def leaderboard_row(report: Report) -> LeaderboardRow:
    """Return the row of a leaderboard that shows ``report``."""
    return LeaderboardRow(
        **dict(compared_audit(report)), source=report.model.source, finished_at=report.timing.finished_at
    )


def summary_of(report: Report) -> ReportSummary:
    """Return what a leaderboard needs of ``report``: its row, and what it can be compared with."""
    method = LeaderboardMethod(**dict(shared_method(report)), images_sha256=report.images.sha256)
    return ReportSummary(method=method, row=leaderboard_row(report))


def newest_rows(rows: Iterable[LeaderboardRow]) -> list[LeaderboardRow]:
    """Keep the newest row of each model and weights. All ``rows`` must be of one method."""
    ordered = sorted(rows, key=lambda row: (row.finished_at, row.id))
    return list({row.contestant: row for row in ordered}.values())
