"""Many audits asked for at once."""

from typing import Annotated

from pydantic import Field

from zooaudit.contract.audit import Audit
from zooaudit.contract.base import Contract, omit_none
from zooaudit.contract.cost import Cost
from zooaudit.contract.problems import Problem
from zooaudit.contract.request import AuditRequest

MAX_BATCH = 500


class Batch(Contract):
    """Requests for audits, each of which is accepted or refused by itself."""

    audits: Annotated[tuple[AuditRequest, ...], Field(min_length=1, max_length=MAX_BATCH)]


class BatchAnswer(Contract):
    """What one request of a batch would have been answered alone: the ``status``, and the ``audit``, or for a dry run
    the ``cost``, or the ``problem`` for which it was refused."""

    status: Annotated[int, Field(description="202 for a new audit, 200 for one that exists, else the problem's.")]
    audit: Audit | None = Field(default=None, exclude_if=omit_none)
    cost: Cost | None = Field(default=None, exclude_if=omit_none)
    problem: Problem | None = Field(default=None, exclude_if=omit_none)


class BatchAnswers(Contract):
    """One answer for each request of a batch, in the same order."""

    answers: tuple[BatchAnswer, ...]
