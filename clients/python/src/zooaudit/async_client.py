"""The client of the audit service for asyncio; its methods are those of :class:`zooaudit.AuditClient`::

async with AsyncAuditClient("http://127.0.0.1:8000") as client:
    handle = await client.audit("timm/resnet18.a1_in1k", dataset="synthetic", num_images=64)
    report = await handle.wait(progress=True)
    print(report.parts["Early"].rotation.channel)
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar, Unpack

import httpx

from zooaudit import contract, flows
from zooaudit.contract import (
    Access,
    Action,
    Archived,
    AuditRequest,
    Axis,
    Health,
    LogEntry,
    ModelDetail,
    ModelList,
    Problem,
    Sort,
    Status,
    WarpKind,
)
from zooaudit.exchange import Exchange, Flow, HttpRequest, Reply
from zooaudit.flows import HasId
from zooaudit.handle import AsyncAuditHandle
from zooaudit.options import LeaderboardOptions, Options, several
from zooaudit.results import (
    Audit,
    Comparison,
    Cost,
    Explanation,
    Leaderboard,
    LeastEquivariant,
    MeasureAgreement,
    Report,
)

T = TypeVar("T")


class AsyncAuditClient:
    """A client of one audit service that does not block the event loop. It is an async context manager.

    All arguments and methods are those of :class:`zooaudit.AuditClient`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 10.0,
        retry_s: float = 5.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._service = Exchange(base_url, api_key, timeout, retry_s)
        self._http = self._service.open(httpx.AsyncClient, transport)

    @property
    def base_url(self) -> str:
        """The service's address."""
        return self._service.base_url

    async def __aenter__(self) -> "AsyncAuditClient":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncAuditClient({self.base_url!r})"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def audit(self, model: str | AuditRequest, **options: Unpack[Options]) -> AsyncAuditHandle:
        """Ask for an audit, and return a handle to wait for it::

        report = await (await client.audit("timm/resnet18", num_images=64)).wait()
        """
        return AsyncAuditHandle(self, await self.submit(model, **options))

    async def submit(self, model: str | AuditRequest, **options: Unpack[Options]) -> Audit:
        """Ask for an audit."""
        return await self._run(flows.submit(self._service, model, options))

    async def submit_all(self, requests: Iterable[AuditRequest]) -> list[Audit | Problem]:
        """Ask for many audits at once. Return, in order, each audit, or the problem for which it was refused."""
        return await self._run(flows.submit_all(self._service, requests))

    async def cost(self, model: str | AuditRequest, **options: Unpack[Options]) -> Cost:
        """Ask what an audit would cost, and ask for nothing."""
        return await self._run(flows.cost(self._service, model, options))

    async def repeat(self, report: contract.Report) -> Audit:
        """Ask for the audit of ``report`` once more."""
        return await self._run(flows.repeat(self._service, report))

    async def status(self, audit_id: str) -> Audit:
        """Fetch the audit as it is now."""
        return await self._run(flows.status(self._service, audit_id))

    async def wait(
        self,
        audit_id: str,
        timeout: float | None = None,
        *,
        poll_s: float | None = None,
        on_progress: Callable[[Audit], object] | None = None,
    ) -> Audit:
        """Wait until the audit has ended in any way, and return it: its ``status`` says how."""
        return await self._run(flows.wait(self._service, audit_id, timeout, poll_s, on_progress))

    async def report(self, audit_id: str) -> Report:
        """Fetch the report of an audit."""
        return await self._run(flows.report(self._service, audit_id))

    async def report_json(self, audit_id: str, unless_sha256: str | None = None) -> bytes | None:
        """Fetch the report of an audit byte for byte as it is stored."""
        return await self._run(flows.report_json(self._service, audit_id, unless_sha256))

    async def import_report(self, content: str) -> Audit:
        """Let a report that was measured elsewhere join the service's store."""
        return await self._run(flows.import_report(self._service, content))

    async def explain(
        self,
        audit_id: str,
        *,
        block: str,
        image: int | str = 0,
        shift_px: int | None = None,
        angle_deg: int | None = None,
        axis: Axis | None = None,
        warp: WarpKind | None = None,
        amount: float | None = None,
        timeout: float | None = None,
    ) -> Explanation:
        """Fetch the maps of the strongest channels of ``block`` for one ``image``."""
        transform = flows.AskedTransform(shift_px=shift_px, angle_deg=angle_deg, axis=axis, warp=warp, amount=amount)
        return await self._run(flows.explain(self._service, audit_id, block, image, transform, timeout))

    async def least_equivariant(
        self,
        audit_id: str,
        *,
        shift_px: int | None = None,
        angle_deg: int | None = None,
        axis: Axis | None = None,
        warp: WarpKind | None = None,
        amount: float | None = None,
        timeout: float | None = None,
    ) -> LeastEquivariant:
        """Fetch the images on which the model is least equivariant under a transform."""
        transform = flows.AskedTransform(shift_px=shift_px, angle_deg=angle_deg, axis=axis, warp=warp, amount=amount)
        return await self._run(flows.least_equivariant(self._service, audit_id, transform, timeout))

    async def cancel(self, audit_id: str) -> Audit:
        """Cancel a queued or running audit."""
        return await self._run(flows.cancel(self._service, audit_id))

    async def annotate(
        self,
        audit_id: str,
        *,
        labels: Iterable[str] | None = None,
        note: str | None = None,
        archived: bool | None = None,
    ) -> Audit:
        """Write on an audit what is no part of its request or report, and return the audit."""
        change = {"labels": None if labels is None else several(labels), "note": note, "archived": archived}
        return await self._run(flows.annotate(self._service, audit_id, change))

    async def delete(self, audit_id: str) -> Audit:
        """Delete an audit with its report, its labels and its note, and return it as it was."""
        return await self._run(flows.delete(self._service, audit_id))

    async def access(self) -> Access:
        """Fetch the name and the role of the key that is sent, and what it has used of its quotas."""
        return await self._run(flows.access(self._service))

    async def log(
        self,
        *,
        since: datetime | None = None,
        action: Action | None = None,
        audit: str | HasId | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[LogEntry]:
        """Iterate over the audit log, newest first: ``async for entry in client.log()``."""
        pages = flows.LogPages(self._service, since, action, audit, limit)
        while not pages.done:
            for entry in await self._run(pages.next_page()):
                yield entry

    async def audits(
        self,
        *,
        status: Status | str | None = None,
        model: str | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
        label: str | None = None,
        archived: Archived | None = None,
    ) -> AsyncIterator[Audit]:
        """Iterate over audits, fetched page by page: ``async for audit in client.audits()``."""
        pages = flows.AuditPages(self._service, status, model, sort, limit, label, archived)
        while not pages.done:
            for audit in await self._run(pages.next_page()):
                yield audit

    async def compare(
        self,
        audits: Iterable[str | HasId],
        top1: Mapping[str, float] | None = None,
        reference: str | HasId | None = None,
    ) -> Comparison:
        """Compare audits with one another, and their scores with ImageNet accuracy."""
        return await self._run(flows.compare(self._service, audits, top1, reference))

    async def second_opinion(
        self, audits: str | HasId | Iterable[str | HasId], top1: Mapping[str, float] | None = None
    ) -> MeasureAgreement:
        """Ask whether measures agree: over the blocks of one audit, or over the models of several."""
        return await self._run(flows.second_opinion(self._service, audits, top1))

    async def models(
        self,
        q: str | None = None,
        *,
        family: str | None = None,
        source: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> ModelList:
        """List the architectures that match all arguments."""
        return await self._run(flows.models(self._service, q, family, source, limit, offset))

    async def model(self, name: str, wait_s: float = 30.0) -> ModelDetail:
        """Fetch one model with its depth: the ``blocks`` that an audit measures."""
        return await self._run(flows.model(self._service, name, wait_s))

    async def leaderboard(self, *, wait_s: float = 30.0, **options: Unpack[LeaderboardOptions]) -> Leaderboard:
        """Fetch the models that one method has measured, the newest audit of each."""
        return await self._run(flows.leaderboard(self._service, options, wait_s))

    async def health(self) -> Health:
        """Fetch the state of the service."""
        return await self._run(flows.health(self._service))

    async def _run(self, flow: Flow[T]) -> T:
        reply: Reply = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as done:
                result: T = done.value
                return result
            reply = await self._perform(step)

    async def _perform(self, step: HttpRequest | float) -> Reply:
        if not isinstance(step, HttpRequest):
            await asyncio.sleep(step)
            return None
        try:
            return await self._http.request(
                step.method,
                step.path,
                params=step.params,
                content=step.content,
                headers=step.headers,
                timeout=step.timeout,
            )
        except httpx.RequestError as error:
            return error
