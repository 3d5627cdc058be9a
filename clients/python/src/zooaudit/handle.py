"""An audit that was asked for, and what can be done with it.

A handle is made by ``client.audit(...)``; for an audit of which only the id is known, by
``AuditHandle(client, client.status(audit_id))``.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zooaudit.contract import Audit, Report
from zooaudit.errors import raise_unless_succeeded
from zooaudit.views.terminal import Show, following
from zooaudit.views.text import subject

if TYPE_CHECKING:
    from zooaudit.async_client import AsyncAuditClient
    from zooaudit.client import AuditClient


@dataclass(frozen=True, eq=False, repr=False)
class AuditHandle:
    """One audit of a service. ``audit`` is what was known of it when it was asked for."""

    _client: "AuditClient"
    audit: Audit

    @property
    def id(self) -> str:
        """By which any client finds the audit."""
        return self.audit.id

    def __repr__(self) -> str:
        return _shown(self)

    def status(self) -> Audit:
        """The audit as it is now."""
        return self._client.status(self.id)

    def wait(self, timeout: float | None = None, progress: bool = True) -> Report:
        """The report, once the audit has succeeded.

        Raises :class:`AuditFailed` or :class:`AuditCanceled` when it ends without one, and :class:`WaitTimeout` after
        ``timeout`` seconds; the audit then goes on. ``progress`` shows how far it is on standard error: as a bar where
        that is a terminal and rich is installed, else as a line now and then. Ctrl-C ends the wait, not the audit.
        """
        with _progress(self.audit, progress) as show:
            ended = self._client.wait(self.id, timeout, on_progress=show)
        raise_unless_succeeded(ended)
        return self._client.report(self.id)

    def report(self) -> Report:
        """The report of an audit that has succeeded; :class:`Conflict` when it has not yet."""
        return self._client.report(self.id)

    def cancel(self) -> Audit:
        """Cancel the audit, queued or running."""
        return self._client.cancel(self.id)


@dataclass(frozen=True, eq=False, repr=False)
class AsyncAuditHandle:
    """One audit of a service, for asyncio: see :class:`AuditHandle`."""

    _client: "AsyncAuditClient"
    audit: Audit

    @property
    def id(self) -> str:
        """By which any client finds the audit."""
        return self.audit.id

    def __repr__(self) -> str:
        return _shown(self)

    async def status(self) -> Audit:
        """The audit as it is now."""
        return await self._client.status(self.id)

    async def wait(self, timeout: float | None = None, progress: bool = True) -> Report:
        """The report, once the audit has succeeded; as :meth:`AuditHandle.wait`."""
        with _progress(self.audit, progress) as show:
            ended = await self._client.wait(self.id, timeout, on_progress=show)
        raise_unless_succeeded(ended)
        return await self._client.report(self.id)

    async def report(self) -> Report:
        """The report of an audit that has succeeded; :class:`Conflict` when it has not yet."""
        return await self._client.report(self.id)

    async def cancel(self) -> Audit:
        """Cancel the audit, queued or running."""
        return await self._client.cancel(self.id)


def _shown(handle: AuditHandle | AsyncAuditHandle) -> str:
    return f"<{type(handle).__name__} {handle.id} {subject(handle.audit.request)}>"


def _progress(audit: Audit, wanted: bool) -> AbstractContextManager[Show | None]:
    return following(audit) if wanted else nullcontext()
