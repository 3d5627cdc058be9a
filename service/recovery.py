"""Put finished audits that Redis has lost back into Redis, from the report store."""

import logging
import threading

from redis.exceptions import RedisError
from zooaudit.contract import Audit

from service.errors import StoreUnavailable
from service.queue import AuditQueue
from service.reports import ReportStore

log = logging.getLogger("zooaudit.service")

IDS_PER_BATCH = 500


class Recovery:
    """Restores one audit on request, or all audits in a background thread, one pass at a time."""

    def __init__(self, queue: AuditQueue, store: ReportStore) -> None:
        self._queue = queue
        self._store = store
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()

    def restore(self, identifier: str) -> Audit | None:
        """Restore one finished audit; None when the store has no report of it."""
        report = self._store.load(identifier)
        return None if report is None else self._queue.restore(report)

    def ensure_all_restored(self, wait_s: float) -> None:
        """If Redis was emptied since the last pass, begin another and wait for it, but no longer than ``wait_s``."""
        if not self._queue.is_restored():
            self.start()
            self._idle.wait(wait_s)

    def start(self) -> None:
        """Begin a pass in the background unless one is running. Never raises; the next list of audits tries again."""
        with self._lock:
            if self._idle.is_set():
                self._idle.clear()
                threading.Thread(target=self._restore_all, name="recovery", daemon=True).start()

    def _restore_all(self) -> None:
        try:
            identifiers = list(self._store.identifiers())
            restored = 0
            for start in range(0, len(identifiers), IDS_PER_BATCH):
                for identifier in self._queue.missing(identifiers[start : start + IDS_PER_BATCH]):
                    restored += self.restore(identifier) is not None
            self._queue.mark_restored()
            if restored:
                log.info("restored %d finished audits from the report store", restored)
        except (RedisError, StoreUnavailable) as error:
            log.warning("could not restore finished audits from the report store: %s", error)
        finally:
            self._idle.set()
