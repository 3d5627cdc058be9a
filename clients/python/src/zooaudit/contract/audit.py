"""An audit from acceptance to its end, and the health of the service."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from zooaudit.contract.annotations import Labels, Note
from zooaudit.contract.base import Contract, omit_empty, omit_none
from zooaudit.contract.problems import Problem
from zooaudit.contract.request import AuditRequest
from zooaudit.contract.scores import ByTransform, PartName, Score
from zooaudit.contract.shards import Sharing


class Status(StrEnum):
    """The state of an audit; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)


class ProvisionalPart(ByTransform[Score]):
    """One for each kind of transform."""


class Provisional(Contract):
    """The scores of the parts so far: over the first ``images`` images, and possibly only some of the transforms."""

    images: int
    parts: dict[PartName, ProvisionalPart]


class Progress(Contract):
    """How far a running audit has come: ``done`` of ``total`` units of its present phase."""

    phase: Literal["queued", "loading", "downloading", "measuring", "storing", "done"] = "queued"
    done: Annotated[int, Field(ge=0)] = 0
    total: Annotated[int, Field(ge=0)] = 0
    unit: Literal["forward images", "bytes"] = "forward images"
    eta_s: Annotated[float, Field(ge=0.0)] | None = None
    provisional: Annotated[
        Provisional | None, Field(description="The scores so far, while the audit is measuring.")
    ] = Field(default=None, exclude_if=omit_none)


class QueuePosition(Contract):
    """Where an audit stands in the queue: ``position`` is 1 for the one that a worker takes next.

    ``starts_in_s`` is about when it starts, in steps as coarse as the estimate. It is null while no worker is alive,
    or if nobody knows how long one of the audits before it takes.
    """

    position: Annotated[int, Field(ge=1)]
    starts_in_s: Annotated[float, Field(ge=0.0)] | None


class Import(Contract):
    """How a report that this service's workers have not measured came into its store: ``at`` is UTC, and ``who`` the
    name of the key with which it came, "anonymous" where there are no keys."""

    at: datetime
    who: str


class Links(Contract):
    self: str
    report: str


class Audit(Contract):
    """An accepted request, its state and its progress. Times are UTC. ``sharing`` is there while workers measure it,
    ``queue`` while it waits for one; ``labels``, ``note`` and ``archived`` if somebody has written them; ``imported``
    if its report was measured elsewhere."""

    id: str
    status: Status
    request: AuditRequest
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: Progress
    error: Problem | None
    links: Links
    sharing: Sharing | None = Field(default=None, exclude_if=omit_none)
    queue: QueuePosition | None = Field(default=None, exclude_if=omit_none)
    labels: Labels = Field(default=(), exclude_if=omit_empty)
    note: Note = Field(default="", exclude_if=omit_empty)
    archived: bool = Field(default=False, exclude_if=omit_empty)
    imported: Import | None = Field(default=None, exclude_if=omit_none)


Sort = Literal["created", "-created", "model", "-model", "status", "-status", "duration", "-duration"]
"""How a list of audits is sorted; a minus sign means descending."""


class AuditList(Contract):
    """One page of the ``total`` audits that match, newest first by default. The last page has no ``next_cursor``."""

    audits: tuple[Audit, ...]
    total: Annotated[int, Field(ge=0)]
    next_cursor: str | None


class Health(Contract):
    """The state of the service: ``ok`` when audits can be accepted, measured and stored now, else ``degraded``.

    ``reasons`` says in sentences what is missing; it is empty when the status is ``ok``. ``devices`` are those of the
    workers, one for each; several workers may share a device, or have devices of the same name on different machines.
    """

    status: Literal["ok", "degraded"]
    reasons: tuple[str, ...] = ()
    version: str
    redis: bool
    workers: int
    devices: tuple[str, ...] = ()
    queued: int
    running: int
    datasets: dict[str, int | None]
