"""Delete an audit with all that was stored of it, so that it is gone or as before, whatever fails meanwhile.

What is to be deleted is written down in the report store first. Whoever finds that there later finishes the deletion,
unless the same request has been submitted again since: what is newer stays.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from obstore.store import ObjectStore
from zooaudit.contract import explanations_prefix, imports_prefix, report_key, shards_prefix

from service import objects
from service.accepted import AcceptedAudits
from service.annotations import AnnotationStore
from service.callback_records import CallbackRecords
from service.queue import AuditQueue
from service.reports import ReportStore

FINISHED_AGAIN_AFTER = timedelta(seconds=30)
"""How long after it was begun a deletion is finished, once more if need be: another process may just then have put an
audit back into Redis whose report it had read before."""


class Deletions:
    """The deletions of audits. Raises StoreUnavailable and ``redis.RedisError`` when those do not answer.

    ``forget`` is called with the id of each, for whatever else remembers a report.
    """

    def __init__(
        self,
        store: ObjectStore,
        queue: AuditQueue,
        reports: ReportStore,
        accepted: AcceptedAudits,
        annotations: AnnotationStore,
        callbacks: CallbackRecords,
        forget: Callable[[str], None],
    ) -> None:
        self._store = store
        self._queue = queue
        self._reports = reports
        self._accepted = accepted
        self._annotations = annotations
        self._callbacks = callbacks
        self._forget = forget
        self._seen: set[str] = set()

    def delete(self, identifier: str) -> None:
        """Delete an audit that has ended. Once this has begun, it will be done, even if this process dies."""
        objects.put(self._store, _key(identifier), b"")
        self._remove(identifier, None)

    def finish(self) -> None:
        """Finish the deletions that were begun FINISHED_AGAIN_AFTER ago, by this process or another."""
        begun = dict(self._begun())
        if begun.keys() - self._seen:
            self._reports.brief.cache_clear()  # it may have a report that another process has deleted
        self._seen = set(begun)
        for identifier, at in begun.items():
            if at < datetime.now(UTC) - FINISHED_AGAIN_AFTER:
                self._remove(identifier, at)
                objects.remove(self._store, _key(identifier))

    def _remove(self, identifier: str, begun_at: datetime | None) -> None:
        """Remove what there is of an audit, but nothing that is newer than ``begun_at``, if that is given."""
        newest = begun_at or datetime.max.replace(tzinfo=UTC)
        audit = self._queue.get(identifier)
        if audit and not (audit.status.final and audit.created_at <= newest):
            return
        accepted = self._accepted.load(identifier)
        if accepted and accepted.accepted_at <= newest:
            self._accepted.drop(identifier)
        elif accepted:
            return
        stored_at = objects.modified_at(self._store, report_key(identifier))
        if stored_at and stored_at > newest:
            return
        # The report goes last in the store: as long as it is there, all of the audit is.
        for prefix in (shards_prefix(identifier), imports_prefix(identifier), explanations_prefix(identifier)):
            for path, _ in objects.below(self._store, prefix):
                objects.remove(self._store, path)
        objects.remove(self._store, report_key(identifier))
        self._reports.brief.cache_clear()
        self._queue.remove(identifier, newest)
        self._annotations.drop(identifier)
        self._callbacks.drop_all_of(identifier, newest)
        self._forget(identifier)

    def _begun(self) -> Iterator[tuple[str, datetime]]:
        for path, begun_at in objects.below(self._store, "deleting"):
            if match := re.fullmatch(r"deleting/([0-9a-f]{32})", path):
                yield match[1], begun_at


def _key(identifier: str) -> str:
    return f"deleting/{identifier}"
