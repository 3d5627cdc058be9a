"""The client of the audit service that blocks::

with AuditClient("http://127.0.0.1:8000") as client:
    report = client.audit("timm/resnet18.a1_in1k", dataset="synthetic", num_images=64).wait(progress=True)
    print(report.parts["Early"].rotation.channel)
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from zooaudit.handle import AuditHandle
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


class AuditClient:
    """A client of one audit service. It is a context manager, and threads may share it.

    Where a method takes the id of an audit, the first digits are enough, four or more, if only one id starts so.

    ``base_url``   the service's address; by default the environment's ZOOAUDIT_URL, else http://127.0.0.1:8000
    ``api_key``    by default the environment's ZOOAUDIT_API_KEY, else none
    ``timeout``    seconds for the service to accept a connection, and to send the next piece of its answer
    ``retry_s``    seconds for which a request is repeated after connection errors, 429 and 503, with pauses that grow
                   or that Retry-After asks for. Every request may be repeated: an audit's id is made from its request.
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
        self._http = self._service.open(httpx.Client, transport)

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
        """Ask for an audit, and return a handle to wait for it::

        report = client.audit("timm/resnet18", num_images=64).wait()
        """
        return AuditHandle(self, self.submit(model, **options))

    def submit(self, model: str | AuditRequest, **options: Unpack[Options]) -> Audit:
        """Ask for an audit.

        The same request returns the audit that exists already; one that failed or was canceled runs again.
        """
        return self._run(flows.submit(self._service, model, options))

    def submit_all(self, requests: Iterable[AuditRequest]) -> list[Audit | Problem]:
        """Ask for many audits at once. Return, in order, each audit, or the problem for which it was refused.

        The same requests again return the audits that exist already.
        """
        return self._run(flows.submit_all(self._service, requests))

    def cost(self, model: str | AuditRequest, **options: Unpack[Options]) -> Cost:
        """Ask what an audit would cost, and ask for nothing: its forward images, and about how long they take.

        An audit that the service would refuse raises the error that :meth:`submit` would raise.
        """
        return self._run(flows.cost(self._service, model, options))

    def repeat(self, report: contract.Report) -> Audit:
        """Ask for the audit of ``report`` once more, under the next repetition that has no audit yet."""
        return self._run(flows.repeat(self._service, report))

    def status(self, audit_id: str) -> Audit:
        """Fetch the audit as it is now."""
        return self._run(flows.status(self._service, audit_id))

    def wait(
        self,
        audit_id: str,
        timeout: float | None = None,
        *,
        poll_s: float | None = None,
        on_progress: Callable[[Audit], object] | None = None,
    ) -> Audit:
        """Wait until the audit has ended in any way, and return it: its ``status`` says how.

        ``timeout``      seconds, after which :class:`WaitTimeout` is raised; the audit goes on. None sets no limit.
        ``poll_s``       seconds between two polls, instead of what the service asks for
        ``on_progress``  called with the audit whenever it has changed

        The wait survives a service that is away for up to a minute, such as for a restart.
        """
        return self._run(flows.wait(self._service, audit_id, timeout, poll_s, on_progress))

    def report(self, audit_id: str) -> Report:
        """Fetch the report of an audit.

        Raises :class:`AuditFailed` or :class:`AuditCanceled` if there will be none, :class:`Conflict` if there is none
        yet.
        """
        return self._run(flows.report(self._service, audit_id))

    def report_json(self, audit_id: str, unless_sha256: str | None = None) -> bytes | None:
        """Fetch the report of an audit byte for byte as it is stored; None if its SHA-256 is ``unless_sha256``."""
        return self._run(flows.report_json(self._service, audit_id, unless_sha256))

    def import_report(self, content: str) -> Audit:
        """Let a report that was measured elsewhere join the service's store: ``content`` is the report as JSON, as
        ``python -m worker.cli`` prints it or a report's ``model_dump_json()`` gives it.

        The service checks it by its seal, and marks the audit as imported. Raises :class:`InvalidRequest` if the report
        was changed, :class:`Conflict` if the store has another report of the audit.
        """
        return self._run(flows.import_report(self._service, content))

    def explain(
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
        """Fetch the maps of the strongest channels of ``block`` for one ``image``, under a transform that the audit has
        measured. A worker makes them unless that has been done.

        ``block``                  the name of a block with maps, as in the report
        ``image``                  its place in the order of measuring, from 0, or its relative path
        ``shift_px``, ``angle_deg``, ``axis``, ``warp``  one of the four: a shift, a rotation, a reflection or a warp
        ``amount``                 that of the warp
        ``timeout``                seconds to wait; a worker goes on after that. None sets no limit.
        """
        transform = flows.AskedTransform(shift_px=shift_px, angle_deg=angle_deg, axis=axis, warp=warp, amount=amount)
        return self._run(flows.explain(self._service, audit_id, block, image, transform, timeout))

    def least_equivariant(
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
        """Fetch the images on which the model is least equivariant under a transform, by what enters its
        classifier and what leaves it. A worker looks for them, among 256 at most, unless that has been done."""
        transform = flows.AskedTransform(shift_px=shift_px, angle_deg=angle_deg, axis=axis, warp=warp, amount=amount)
        return self._run(flows.least_equivariant(self._service, audit_id, transform, timeout))

    def cancel(self, audit_id: str) -> Audit:
        """Cancel a queued or running audit."""
        return self._run(flows.cancel(self._service, audit_id))

    def annotate(
        self,
        audit_id: str,
        *,
        labels: Iterable[str] | None = None,
        note: str | None = None,
        archived: bool | None = None,
    ) -> Audit:
        """Write on an audit what is no part of its request or report, and return the audit.

        ``labels``    all labels that it is to have, such as ``["paper", "keep"]``; an empty list removes them
        ``note``      plain text; an empty text removes the note
        ``archived``  whether lists leave the audit out; needs a key of the role admin

        What is None stays as it is.
        """
        change = {"labels": None if labels is None else several(labels), "note": note, "archived": archived}
        return self._run(flows.annotate(self._service, audit_id, change))

    def delete(self, audit_id: str) -> Audit:
        """Delete an audit with its report, its labels and its note, and return it as it was.

        One that has not ended is canceled first, and deleted once its worker has stopped. Needs a key of the role
        admin.
        """
        return self._run(flows.delete(self._service, audit_id))

    def access(self) -> Access:
        """Fetch the name and the role of the key that is sent, and what it has used of its quotas."""
        return self._run(flows.access(self._service))

    def log(
        self,
        *,
        since: datetime | None = None,
        action: Action | None = None,
        audit: str | HasId | None = None,
        limit: int | None = None,
    ) -> Iterator[LogEntry]:
        """Iterate over the audit log, newest first: who submitted, canceled, labelled, archived and deleted what.

        ``since`` is the time of the oldest entry, ``audit`` the id of the only audit; of a deleted one, the whole id.
        Needs a key of the role admin.
        """
        pages = flows.LogPages(self._service, since, action, audit, limit)
        while not pages.done:
            yield from self._run(pages.next_page())

    def audits(
        self,
        *,
        status: Status | str | None = None,
        model: str | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
        label: str | None = None,
        archived: Archived | None = None,
    ) -> Iterator[Audit]:
        """Iterate over audits, fetched page by page: at most ``limit`` of them, newest first unless ``sort`` says
        otherwise.

        ``status`` is one status, or several separated by commas. ``model`` is a part of the full name, in upper or
        lower case. ``label`` is one that the audits have. Archived audits are left out unless ``archived`` is "true",
        for these only, or "any".
        """
        pages = flows.AuditPages(self._service, status, model, sort, limit, label, archived)
        while not pages.done:
            yield from self._run(pages.next_page())

    def compare(
        self,
        audits: Iterable[str | HasId],
        top1: Mapping[str, float] | None = None,
        reference: str | HasId | None = None,
    ) -> Comparison:
        """Compare audits with one another, and their scores with ImageNet accuracy.

        ``audits``  ids, or objects with an id: :class:`Audit`, :class:`Report`, :class:`AuditHandle`
        ``top1``    accuracies in per cent that the zoo does not state. Keys are a model's full name, the name after
                    "timm/", as in timm's results-imagenet.csv, or an audit's id. A name stands for the model's
                    pretrained weights; for other weights use the audit's id. A warning says if an accuracy cannot
                    be taken.
        ``reference``  the audit that the others are set against, by default the first: ``differences`` has how far each
                    is from it, with a paired interval

        Audits of different methods or images cannot be compared: :class:`InvalidRequest` says what differs.
        """
        return self._run(flows.compare(self._service, audits, top1, reference))

    def second_opinion(
        self, audits: str | HasId | Iterable[str | HasId], top1: Mapping[str, float] | None = None
    ) -> MeasureAgreement:
        """Ask whether measures agree: Spearman's rho of any two of them, with its interval.

        ``audits``  the id of one audit, or an object with an id, for its blocks from Early to Late; a list of them, for
                    their models: through the whole depth, and at each part
        ``top1``    with several audits, accuracies as for :meth:`compare`

        Errors, R and variances, which are lower for the more equivariant network, are turned around first: +1 always
        means the same order.
        """
        return self._run(flows.second_opinion(self._service, audits, top1))

    def models(
        self,
        q: str | None = None,
        *,
        family: str | None = None,
        source: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> ModelList:
        """List the architectures that match all arguments: at most ``limit`` of them, after the first ``offset``."""
        return self._run(flows.models(self._service, q, family, source, limit, offset))

    def model(self, name: str, wait_s: float = 30.0) -> ModelDetail:
        """Fetch one model with its depth: the ``blocks`` that an audit measures.

        The first time, a worker has to find the blocks; this waits up to ``wait_s`` seconds for it. If that is not
        enough, ``blocks`` is None and ``blocks_reason`` says why.
        """
        return self._run(flows.model(self._service, name, wait_s))

    def leaderboard(self, *, wait_s: float = 30.0, **options: Unpack[LeaderboardOptions]) -> Leaderboard:
        """Fetch the models that one method has measured, the newest audit of each: at most ``limit`` of them, 100
        unless given, after the first ``offset``.

        ``sort``     a column such as "rotation.Late.channel", "imagenet_top1" or "model"; with a minus, descending
        ``q``, ``family``, ``source``, ``weights``, ``min_parameters``, ``max_parameters``, ``min_top1``, ``max_top1``
                     leave out the models that do not match
        ``dataset``, ``num_images``, ``translations_px`` and the other settings
                     choose the method; without them it is the one with the most models
        ``wait_s``   seconds to wait for a service that has just started to read its reports; if that is not enough,
                     ``pending`` says how many are missing
        """
        return self._run(flows.leaderboard(self._service, options, wait_s))

    def health(self) -> Health:
        """Fetch the state of the service; ``status`` is "degraded" if Redis or every worker is missing."""
        return self._run(flows.health(self._service))

    def _run(self, flow: Flow[T]) -> T:
        reply: Reply = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as done:
                result: T = done.value
                return result
            reply = self._perform(step)

    def _perform(self, step: HttpRequest | float) -> Reply:
        if not isinstance(step, HttpRequest):
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
        except httpx.RequestError as error:
            return error
