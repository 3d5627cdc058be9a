"""An accepted request and what becomes of it, and how the service is."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from zooaudit.contract.base import Contract, omit_none
from zooaudit.contract.problems import Problem
from zooaudit.contract.request import AuditRequest
from zooaudit.contract.scores import PartName, Score


class Status(StrEnum):
    """Where an audit is in its life; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)


class ProvisionalPart(Contract):
    translation: Score
    rotation: Score


class Provisional(Contract):
    """The scores of the parts after the first ``images`` images, and maybe not all of the transforms."""

    images: int
    parts: dict[PartName, ProvisionalPart]


class Progress(Contract):
    """How far a running audit is: ``done`` of ``total`` units of the present phase."""

    phase: Literal["queued", "loading", "downloading", "measuring", "storing", "done"] = "queued"
    done: Annotated[int, Field(ge=0)] = 0
    total: Annotated[int, Field(ge=0)] = 0
    unit: Literal["forward images", "bytes"] = "forward images"
    eta_s: Annotated[float, Field(ge=0.0)] | None = None
    provisional: Annotated[
        Provisional | None, Field(description="The scores so far, while the audit is measuring.")
    ] = Field(default=None, exclude_if=omit_none)


class Links(Contract):
    self: str
    report: str


class Audit(Contract):
    """An accepted request and what has become of it. Times are UTC."""

    id: str
    status: Status
    request: AuditRequest
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: Progress
    error: Problem | None
    links: Links

    def __repr__(self) -> str:
        from zooaudit.views.text import state, subject

        return f"<Audit {self.id} {subject(self.request)}: {state(self)}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from zooaudit.views.tables import audit_table, html

        return html([audit_table(self)])


Sort = Literal["created", "-created", "model", "-model", "status", "-status", "duration", "-duration"]
"""The order of a list of audits; with a minus, descending."""


class AuditList(Contract):
    """One page of audits, by default newest first, of the ``total`` that match; ``next_cursor`` is null on the last."""

    audits: tuple[Audit, ...]
    total: Annotated[int, Field(ge=0)]
    next_cursor: str | None


class Health(Contract):
    """``ok`` when Redis answers and a worker is alive."""

    status: Literal["ok", "degraded"]
    version: str
    redis: bool
    workers: int
    queued: int
    running: int
    datasets: dict[str, int | None]
