"""Handles: an audit that a client asked for, and what can be done with it.

``client.audit(...)`` makes a handle. If you only know the id of an audit, use
``AuditHandle(client, client.status(audit_id))``.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from zooaudit.errors import raise_unless_succeeded
from zooaudit.results import Audit, Report
from zooaudit.views.terminal import ShowAudit, following
from zooaudit.views.text import subject


class BlockingClient(Protocol):
    """What :class:`AuditHandle` needs of a client."""

    def status(self, audit_id: str) -> Audit: ...

    def wait(
        self, audit_id: str, timeout: float | None = None, *, on_progress: Callable[[Audit], object] | None = None
    ) -> Audit: ...

    def report(self, audit_id: str) -> Report: ...

    def cancel(self, audit_id: str) -> Audit: ...

    def annotate(
        self,
        audit_id: str,
        *,
        labels: Iterable[str] | None = None,
        note: str | None = None,
        archived: bool | None = None,
    ) -> Audit: ...

    def delete(self, audit_id: str) -> Audit: ...


class AwaitedClient(Protocol):
    """What :class:`AsyncAuditHandle` needs of a client."""

    async def status(self, audit_id: str) -> Audit: ...

    async def wait(
        self, audit_id: str, timeout: float | None = None, *, on_progress: Callable[[Audit], object] | None = None
    ) -> Audit: ...

    async def report(self, audit_id: str) -> Report: ...

    async def cancel(self, audit_id: str) -> Audit: ...

    async def annotate(
        self,
        audit_id: str,
        *,
        labels: Iterable[str] | None = None,
        note: str | None = None,
        archived: bool | None = None,
    ) -> Audit: ...

    async def delete(self, audit_id: str) -> Audit: ...


@dataclass(frozen=True, eq=False, repr=False)
class AuditHandle:
    """One audit of a service. ``audit`` is its state when the handle was made."""

    _client: BlockingClient
    audit: Audit

    @property
    def id(self) -> str:
        """The id by which any client finds the audit."""
        return self.audit.id

    def __repr__(self) -> str:
        return _handle_repr(self)

    def status(self) -> Audit:
        """Fetch the audit as it is now."""
        return self._client.status(self.id)

    def wait(self, timeout: float | None = None, progress: bool = True) -> Report:
        """Wait until the audit has succeeded, and return its report.

        Raises :class:`AuditFailed` or :class:`AuditCanceled` when it ends without one, and :class:`WaitTimeout` after
        ``timeout`` seconds; the audit then goes on. ``progress`` shows on standard error how far the audit is: as a
        bar if that is a terminal and rich is installed, else as a line now and then. Ctrl-C ends the wait, not the
        audit.
        """
        with _progress(self.audit, progress) as show:
            ended = self._client.wait(self.id, timeout, on_progress=show)
        raise_unless_succeeded(ended)
        return self._client.report(self.id)

    def report(self) -> Report:
        """Fetch the report. Raises :class:`Conflict` if the audit has not succeeded yet."""
        return self._client.report(self.id)

    def cancel(self) -> Audit:
        """Cancel the audit, queued or running."""
        return self._client.cancel(self.id)

    def annotate(
        self, *, labels: Iterable[str] | None = None, note: str | None = None, archived: bool | None = None
    ) -> Audit:
        """Write labels and a note on the audit, or archive it: see :meth:`AuditClient.annotate`."""
        return self._client.annotate(self.id, labels=labels, note=note, archived=archived)

    def delete(self) -> Audit:
        """Delete the audit with its report, its labels and its note."""
        return self._client.delete(self.id)


@dataclass(frozen=True, eq=False, repr=False)
class AsyncAuditHandle:
    """One audit of a service, for asyncio: see :class:`AuditHandle`."""

    _client: AwaitedClient
    audit: Audit

    @property
    def id(self) -> str:
        """The id by which any client finds the audit."""
        return self.audit.id

    def __repr__(self) -> str:
        return _handle_repr(self)

    async def status(self) -> Audit:
        """Fetch the audit as it is now."""
        return await self._client.status(self.id)

    async def wait(self, timeout: float | None = None, progress: bool = True) -> Report:
        """Wait until the audit has succeeded, and return its report; see :meth:`AuditHandle.wait`."""
        with _progress(self.audit, progress) as show:
            ended = await self._client.wait(self.id, timeout, on_progress=show)
        raise_unless_succeeded(ended)
        return await self._client.report(self.id)

    async def report(self) -> Report:
        """Fetch the report. Raises :class:`Conflict` if the audit has not succeeded yet."""
        return await self._client.report(self.id)

    async def cancel(self) -> Audit:
        """Cancel the audit, queued or running."""
        return await self._client.cancel(self.id)

    async def annotate(
        self, *, labels: Iterable[str] | None = None, note: str | None = None, archived: bool | None = None
    ) -> Audit:
        """Write labels and a note on the audit, or archive it: see :meth:`AuditClient.annotate`."""
        return await self._client.annotate(self.id, labels=labels, note=note, archived=archived)

    async def delete(self) -> Audit:
        """Delete the audit with its report, its labels and its note."""
        return await self._client.delete(self.id)


def _handle_repr(handle: AuditHandle | AsyncAuditHandle) -> str:
    return f"<{type(handle).__name__} {handle.id} {subject(handle.audit.request)}>"


def _progress(audit: Audit, is_shown: bool) -> AbstractContextManager[ShowAudit | None]:
    return following(audit) if is_shown else nullcontext()
