"""The audit log: who did what to which audit, when, and from where."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from zooaudit.contract.annotations import AnnotationsChange
from zooaudit.contract.base import Contract, omit_none

Action = Literal["submit", "cancel", "label", "archive", "delete", "import", "retention"]
Result = Literal["queued", "canceled", "stopping", "changed", "archived", "unarchived", "deleted", "imported"]


class LogEntry(Contract):
    """One thing that was done to an audit. Times are UTC.

    ``who`` is the name of the key, "anonymous" where there are no keys, and "retention" for the service itself.
    ``address`` is the one that the request came from, which is a proxy's if there is one before the service.
    """

    id: str
    at: datetime
    who: str
    action: Action
    audit: str
    model: str
    result: Result
    address: str | None
    change: Annotated[AnnotationsChange | None, Field(description="What was written on the audit.")] = Field(
        default=None, exclude_if=omit_none
    )


class LogPage(Contract):
    """One page of the audit log, newest first. The last page has no ``next_cursor``."""

    entries: tuple[LogEntry, ...]
    next_cursor: str | None
