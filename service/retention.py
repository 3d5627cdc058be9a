"""Remove audits by age or number, where the operator says so, and finish deletions that were begun."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from zooaudit.contract import KEEP

from service.annotations import AnnotationStore
from service.api_keys import RETENTION
from service.audit_log import AuditLog
from service.audit_rows import AuditRows
from service.deletion import Deletions
from service.errors import StoreUnavailable
from service.queue import AuditQueue, AuditRow

log = logging.getLogger("zooaudit.service")

CHECK_EVERY_S = 5.0
TURN_KEY = "zooaudit:retention"
"""Redis key of the process that looks for audits to remove in this minute; the others do not."""
TURN_S = 60


class Retention:
    """Removes ended audits that are older than ``days``, or of which there are more than ``newest`` newer ones. An
    imported audit is as old as its import.

    Audits with the label "keep" are neither removed nor counted. Without ``days`` and ``newest`` none is removed.
    """

    def __init__(
        self,
        connection: Redis,
        queue: AuditQueue,
        rows: AuditRows,
        annotations: AnnotationStore,
        deletions: Deletions,
        audit_log: AuditLog,
        days: int | None,
        newest: int | None,
    ) -> None:
        self._redis: Any = connection
        self._queue = queue
        self._rows = rows
        self._annotations = annotations
        self._deletions = deletions
        self._log = audit_log
        self._days = days
        self._newest = newest
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to remove audits, in the background, until :meth:`stop`. Never raises."""
        threading.Thread(target=self._watch, name="retention", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def remove_expired(self) -> None:
        """Remove the audits that may go now, each noted in the audit log first."""
        if self._days is None and self._newest is None:
            return
        if not self._queue.is_restored():
            return  # the newest are not known yet
        for row in list(self._expired()):
            # The record, since somebody may have written the label just now, or asked for the audit again. Another
            # process may have removed it, too.
            audit = self._queue.get(row.id)
            if audit is None or not audit.status.final or KEEP in self._annotations.load(row.id).labels:
                continue
            self._log.write(RETENTION, None, "retention", row.id, row.model, "deleted")
            self._deletions.delete(row.id)
        self._rows.expire()

    def _expired(self) -> Iterator[AuditRow]:
        written = self._annotations.all()
        ended = [
            (max(row.finished_at, row.imported_at or row.finished_at), row)
            for row in self._rows.by_id().values()
            if row.finished_at and not (row.id in written and KEEP in written[row.id].labels)
        ]
        ended.sort(key=lambda pair: (pair[0], pair[1].id), reverse=True)
        oldest = datetime.now(UTC) - timedelta(days=self._days) if self._days else None
        for place, (since, row) in enumerate(ended):
            if (oldest and since < oldest) or (self._newest is not None and place >= self._newest):
                yield row

    def _watch(self) -> None:
        loaded = False
        while not self._stopped.wait(CHECK_EVERY_S):
            try:
                if not loaded:
                    self._annotations.reload()  # a process may have died between the store and Redis
                    loaded = True
                self._deletions.finish()
                if self._redis.set(TURN_KEY, "1", nx=True, ex=TURN_S):
                    self.remove_expired()
            except (RedisError, StoreUnavailable) as error:
                log.warning("could not look after what is to be removed: %s", error)
            except Exception:
                log.exception("could not look after what is to be removed")
