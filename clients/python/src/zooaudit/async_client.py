"""A client of the audit service for asyncio; its methods are those of :class:`zooaudit.AuditClient`::

async with AsyncAuditClient("http://127.0.0.1:8000") as client:
    handle = await client.audit("timm/resnet18.a1_in1k", dataset="synthetic", num_images=64)
    report = await handle.wait(progress=True)
    print(report.parts["Early"].rotation.channel)
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TypeVar, Unpack

import httpx

from zooaudit import flows
from zooaudit.contract import Audit, AuditRequest, Comparison, Health, ModelDetail, ModelList, Report, Sort, Status
from zooaudit.exchange import Call, Exchange, Flow, Outcome
from zooaudit.flows import HasId
from zooaudit.handle import AsyncAuditHandle
from zooaudit.options import Options

T = TypeVar("T")


class AsyncAuditClient:
    """Talks to one audit service without blocking the event loop. Usable as an async context manager.

    What it is made with, and what each method takes, does and raises, is as in :class:`zooaudit.AuditClient`.
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
        self._http = httpx.AsyncClient(
            base_url=self._service.url,
            headers=self._service.headers,
            transport=transport,
            trust_env=self._service.trust_env,
        )

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
        """Ask for an audit, and get a handle to wait for it::

        report = await (await client.audit("timm/resnet18", num_images=64)).wait()
        """
        return AsyncAuditHandle(self, await self.submit(model, **options))

    async def submit(self, model: str | AuditRequest, **options: Unpack[Options]) -> Audit:
        """Ask for an audit."""
        return await self._run(flows.submit(self._service, model, options))

    async def repeat(self, report: Report) -> Audit:
        """Ask for the audit of ``report`` once more."""
        return await self._run(flows.repeat(self._service, report))

    async def status(self, audit_id: str) -> Audit:
        """The audit as it is now."""
        return await self._run(flows.status(self._service, audit_id))

    async def wait(
        self,
        audit_id: str,
        timeout: float | None = None,
        *,
        poll_s: float | None = None,
        on_progress: Callable[[Audit], object] | None = None,
    ) -> Audit:
        """The audit once it has ended, in whatever way: look at its ``status``."""
        return await self._run(flows.wait(self._service, audit_id, timeout, poll_s, on_progress))

    async def report(self, audit_id: str) -> Report:
        """The report of an audit that succeeded."""
        return await self._run(flows.report(self._service, audit_id))

    async def cancel(self, audit_id: str) -> Audit:
        """Cancel a queued or running audit."""
        return await self._run(flows.cancel(self._service, audit_id))

    async def audits(
        self,
        *,
        status: Status | str | None = None,
        model: str | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Audit]:
        """Audits, by default newest first, fetched page by page: ``async for audit in client.audits()``."""
        listing = flows.Listing(self._service, status, model, sort, limit)
        while not listing.done:
            for audit in await self._run(listing.page()):
                yield audit

    async def compare(self, audits: Iterable[str | HasId], top1: Mapping[str, float] | None = None) -> Comparison:
        """Several audits side by side, and how their scores go with ImageNet accuracy."""
        return await self._run(flows.compare(self._service, audits, top1))

    async def models(
        self,
        q: str | None = None,
        *,
        family: str | None = None,
        source: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> ModelList:
        """Architectures that match all of the given."""
        return await self._run(flows.models(self._service, q, family, source, limit, offset))

    async def model(self, name: str, wait_s: float = 30.0) -> ModelDetail:
        """One model with its depth, the ``blocks`` that an audit measures."""
        return await self._run(flows.model(self._service, name, wait_s))

    async def health(self) -> Health:
        """How the service is."""
        return await self._run(flows.health(self._service))

    async def _run(self, flow: Flow[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as done:
                result: T = done.value
                return result
            outcome = await self._do(step)

    async def _do(self, step: Call | float) -> Outcome:
        if not isinstance(step, Call):
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
        except httpx.RequestError as failure:
            return failure
