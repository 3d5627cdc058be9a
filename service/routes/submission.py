"""Asking for an audit: what POST /audit does for one request, and POST /audits for each of many."""

import time
from dataclasses import dataclass

from fastapi import Request
from zooaudit.contract import Audit, AuditRequest, Cost, audit_id, place_of

from service import cost
from service.catalogue import complete
from service.routes.dependencies import (
    AcceptedDep,
    AnnotationsDep,
    CallbacksDep,
    CatalogueDep,
    DepthsDep,
    LineDep,
    LogDep,
    QueueDep,
    QuotaDep,
    RowsDep,
    SpeedsDep,
    StoreDep,
    SubmitterDep,
    VersionsDep,
    WorkersDep,
)
from service.routes.responses import placed


@dataclass(frozen=True)
class Submission:
    """A caller's request to the parts of the application that accept audits. FastAPI fills it in."""

    http: Request
    caller: SubmitterDep
    catalogue: CatalogueDep
    queue: QueueDep
    store: StoreDep
    accepted: AcceptedDep
    rows: RowsDep
    line: LineDep
    versions: VersionsDep
    quota: QuotaDep
    speeds: SpeedsDep
    depths: DepthsDep
    workers: WorkersDep
    annotations: AnnotationsDep
    log: LogDep
    callbacks: CallbacksDep

    def cost_of(self, request: AuditRequest) -> Cost:
        """Tell what the audit would cost. Refuses what :meth:`submit` would refuse."""
        pinned, _ = self._pinned(request)
        self.quota.check(self.caller.key, pinned, self.rows.by_id)
        status = self.queue.status_of_existing(audit_id(pinned), self.store.load)
        measured, depth = self.rows.by_id().values(), self.depths.get(pinned.model)
        costs = cost.estimate(pinned, status, self.speeds, measured, self.catalogue, depth, self.workers.load())
        if status is not None:
            return costs
        place = place_of(pinned, time.time(), costs.seconds)
        return costs.model_copy(update={"queue": self.line.position_at(place)})

    def submit(self, request: AuditRequest) -> tuple[Audit, bool]:
        """Accept the audit, unless it exists. Return it, and whether it was enqueued."""
        pinned, callback_url = self._pinned(request)
        enqueued = False
        claim = self.quota.take(self.caller.key, pinned, self.rows.by_id)
        try:
            audit, enqueued = self.queue.submit(
                pinned, self.store.load, self.accepted, self._estimate_s, self.store.load_import
            )
        finally:
            if not enqueued:  # it failed, or the audit exists, which costs nothing
                self.quota.give_back(self.caller.key, claim)
        if enqueued:
            self.log.note(self.caller.name, self.caller.address, "submit", audit.id, pinned.model, "queued")
        self.rows.expire()
        self.line.expire()
        self.callbacks.add(audit.id, callback_url, enqueued)
        return self.annotations.show(self.line.show(placed(audit, self.http))), enqueued

    def _pinned(self, request: AuditRequest) -> tuple[AuditRequest, str | None]:
        """Fill in the model's full name, and the present version of a checkpoint. Take off the callback's URL: whoever
        may read the audit is not to see whom it tells."""
        callback_url, request = request.callback_url, request.model_copy(update={"callback_url": None})
        pinned = self.versions.pin(complete(request, self.catalogue), self.queue, self.store.load)
        self.callbacks.check(callback_url, audit_id(pinned))
        return pinned, callback_url

    def _estimate_s(self, asked: AuditRequest) -> float | None:
        recent, depth = self.rows.recent().values(), self.depths.get(asked.model)
        return cost.estimated_seconds(asked, self.speeds, recent, self.catalogue, depth)
