"""A client of the audit service that blocks::

with AuditClient("http://127.0.0.1:8000") as client:
    report = client.audit("timm/resnet18.a1_in1k", dataset="synthetic", num_images=64).wait(progress=True)
    print(report.parts["Early"].rotation.channel)
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar, Unpack

import httpx

from zooaudit import flows
from zooaudit.contract import Audit, AuditRequest, Comparison, Health, ModelDetail, ModelList, Report, Sort, Status
from zooaudit.exchange import Call, Exchange, Flow, Outcome
from zooaudit.flows import HasId
from zooaudit.handle import AuditHandle
from zooaudit.options import Options

T = TypeVar("T")


class AuditClient:
    """Talks to one audit service. Usable as a context manager; may be shared by threads.

    ``base_url``   else the environment's ZOOAUDIT_URL, else http://127.0.0.1:8000
    ``api_key``    else the environment's ZOOAUDIT_API_KEY, else none
    ``timeout``    seconds for the service to accept a connection, and to send the next piece of its answer
    ``retry_s``    seconds for which connection errors, 429 and 503 are tried again, with backoff or as Retry-After
                   asks. Every request may be repeated: an audit's id is made from its request.
    ``transport``  an httpx transport to use instead of the network
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 10.0,
        retry_s: float = 5.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._service = Exchange(base_url, api_key, timeout, retry_s)
        self._http = httpx.Client(
            base_url=self._service.url,
            headers=self._service.headers,
            transport=transport,
            trust_env=self._service.trust_env,
        )

    @property
    def base_url(self) -> str:
        """The service's address."""
        return self._service.base_url

    def __enter__(self) -> "AuditClient":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"AuditClient({self.base_url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def audit(self, model: str | AuditRequest, **options: Unpack[Options]) -> AuditHandle:
        """Ask for an audit, and get a handle to wait for it::

        report = client.audit("timm/resnet18", num_images=64).wait()
        """
        return AuditHandle(self, self.submit(model, **options))

    def submit(self, model: str | AuditRequest, **options: Unpack[Options]) -> Audit:
        """Ask for an audit.

        The same request gives the audit that exists; one that failed or was canceled runs again.
        """
        return self._run(flows.submit(self._service, model, options))

    def repeat(self, report: Report) -> Audit:
        """Ask for the audit of ``report`` once more: measured again, under the next repetition not yet taken."""
        return self._run(flows.repeat(self._service, report))

    def status(self, audit_id: str) -> Audit:
        """The audit as it is now."""
        return self._run(flows.status(self._service, audit_id))

    def wait(
        self,
        audit_id: str,
        timeout: float | None = None,
        *,
        poll_s: float | None = None,
        on_progress: Callable[[Audit], object] | None = None,
    ) -> Audit:
        """The audit once it has ended, in whatever way: look at its ``status``.

        ``timeout``      seconds; then :class:`WaitTimeout`, and the audit goes on. None waits for as long as it takes.
        ``poll_s``       seconds between polls, instead of what the service asks for
        ``on_progress``  called with the audit whenever it has changed

        A service that is away for up to a minute, such as for a restart, does not end the wait.
        """
        return self._run(flows.wait(self._service, audit_id, timeout, poll_s, on_progress))

    def report(self, audit_id: str) -> Report:
        """The report of an audit that succeeded.

        Raises :class:`AuditFailed` or :class:`AuditCanceled` when there will be none, :class:`Conflict` when not yet.
        """
        return self._run(flows.report(self._service, audit_id))

    def cancel(self, audit_id: str) -> Audit:
        """Cancel a queued or running audit."""
        return self._run(flows.cancel(self._service, audit_id))

    def audits(
        self,
        *,
        status: Status | str | None = None,
        model: str | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
    ) -> Iterator[Audit]:
        """Audits, fetched page by page as they are asked for; at most ``limit`` of them, newest first unless ``sort``
        says otherwise.

        ``status`` is one, or several with commas between them; ``model`` is a part of the full name, in any case.
        """
        listing = flows.Listing(self._service, status, model, sort, limit)
        while not listing.done:
            yield from self._run(listing.page())

    def compare(self, audits: Iterable[str | HasId], top1: Mapping[str, float] | None = None) -> Comparison:
        """Several audits side by side, and how their scores go with ImageNet accuracy.

        ``audits``  ids, or what has one: :class:`Audit`, :class:`Report`, :class:`AuditHandle`
        ``top1``    accuracies in per cent that the zoo does not state, by the model's full name, by what follows
                    "timm/" in it, as in timm's results-imagenet.csv, or by the audit's id. A name stands for its
                    pretrained weights; others have an accuracy by their audit's id only.

        Audits of different methods or images cannot be compared: :class:`InvalidRequest` says what differs.
        """
        return self._run(flows.compare(self._service, audits, top1))

    def models(
        self,
        q: str | None = None,
        *,
        family: str | None = None,
        source: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> ModelList:
        """Architectures that match all of the given: ``limit`` of them, after the first ``offset``."""
        return self._run(flows.models(self._service, q, family, source, limit, offset))

    def model(self, name: str, wait_s: float = 30.0) -> ModelDetail:
        """One model with its depth, the ``blocks`` that an audit measures.

        The first time a worker has to find them, for which this waits up to ``wait_s`` seconds; where that is not
        enough, ``blocks`` is None and ``blocks_reason`` says why.
        """
        return self._run(flows.model(self._service, name, wait_s))

    def health(self) -> Health:
        """How the service is; ``status`` is "degraded" when Redis or every worker is missing."""
        return self._run(flows.health(self._service))

    def _run(self, flow: Flow[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as done:
                result: T = done.value
                return result
            outcome = self._do(step)

    def _do(self, step: Call | float) -> Outcome:
        if not isinstance(step, Call):
            time.sleep(step)
            return None
        try:
            return self._http.request(
                step.method,
                step.path,
                params=step.params,
                content=step.content,
                headers=step.headers,
                timeout=step.timeout,
            )
        except httpx.RequestError as failure:
            return failure
