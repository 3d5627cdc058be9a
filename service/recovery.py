"""Put back into Redis what it has lost: finished audits from their reports, accepted ones from their requests."""

import logging
import threading
import time

from redis.exceptions import RedisError
from zooaudit.contract import Audit

from service.accepted import AcceptedAudits
from service.errors import StoreUnavailable
from service.queue import AuditQueue, Workers
from service.reports import ReportStore

log = logging.getLogger("zooaudit.service")

IDS_PER_BATCH = 500
CHECK_EVERY_S = 5.0
"""The pause between two checks of the accepted audits; longer if a check takes long."""
PROBE_EVERY_S = 30.0
SWEEP_EVERY_S = 86_400.0
"""The pause between two searches of the store for shards that nobody will ask for."""
MISSING_FOR_S = 15.0
"""How long Redis must not know an accepted audit before it is enqueued again. A worker that is measuring it writes it
down again at its next sign of life, within a third of ZOOAUDIT_WORKER_TTL_S, and goes on."""


class Recovery:
    """Restores one audit on request, all finished ones when Redis was emptied, and the accepted ones that it lost."""

    def __init__(self, queue: AuditQueue, store: ReportStore, accepted: AcceptedAudits, workers: Workers) -> None:
        self._queue = queue
        self._store = store
        self._accepted = accepted
        self._workers = workers
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._stopped = threading.Event()
        self._missing_since_s: dict[str, float] = {}

    def restore(self, identifier: str) -> Audit | None:
        """Find an audit that Redis does not know in the report store, and restore it if it has finished.

        Returns None when the store does not know it either.
        """
        if report := self._store.load(identifier):
            return self._queue.restore(report, self._store.load_import(report))
        accepted = self._accepted.load(identifier)
        return self._queue.waiting(accepted) if accepted else None

    def ensure_known(self, identifier: str) -> None:
        """Put an audit back into Redis at once if Redis has lost it."""
        if self._queue.missing([identifier]):
            self._take_up(identifier)

    def forget(self, identifier: str) -> None:
        """Do not put a canceled audit back into Redis, even if Redis is emptied now. Never raises."""
        try:
            self._accepted.drop(identifier)
        except StoreUnavailable as error:
            log.warning("%s: could not forget this canceled audit yet: %s", identifier, error)

    def ensure_all_restored(self, wait_s: float) -> bool:
        """If Redis was emptied since the last pass, begin another and wait for it, but no longer than ``wait_s``.

        Returns whether there was anything to wait for: rows that were read before may lack audits.
        """
        if self._queue.is_restored():
            return False
        self._begin_pass()
        self._idle.wait(wait_s)
        return True

    def unrestored(self) -> int:
        """Count the finished audits that Redis does not know yet; 0 once a pass has restored them all."""
        if self._queue.is_restored():
            return 0
        identifiers = list(self._store.identifiers())
        starts = range(0, len(identifiers), IDS_PER_BATCH)
        return sum(len(self._queue.missing(identifiers[start : start + IDS_PER_BATCH])) for start in starts)

    def start(self) -> None:
        """Begin to restore, in the background, whatever Redis loses until :meth:`stop`. Never raises."""
        self._begin_pass()
        threading.Thread(target=self._watch, name="recovery", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def check_accepted(self) -> None:
        """Enqueue the accepted audits that Redis has lost for MISSING_FOR_S, and drop those that have ended."""
        identifiers = list(self._accepted.identifiers())
        known = {row.id: row for row in self._queue.rows(dict.fromkeys(identifiers, 0.0))}
        now_s = time.monotonic()
        self._missing_since_s = {
            identifier: self._missing_since_s.get(identifier, now_s)
            for identifier in identifiers
            if identifier not in known
        }
        for identifier, since_s in self._missing_since_s.items():
            if now_s - since_s >= MISSING_FOR_S:
                self._take_up(identifier)
        for row in known.values():
            if row.status.final:
                self._accepted.drop(row.id)

    def _watch(self) -> None:
        pause_s = CHECK_EVERY_S
        next_probe_s = next_sweep_s = 0.0
        while not self._stopped.wait(pause_s):
            begun_s = time.monotonic()
            try:
                if not self._queue.is_restored():
                    self._begin_pass()
                self.check_accepted()
                if begun_s >= next_probe_s:
                    next_probe_s = begun_s + PROBE_EVERY_S
                    self._probe()
                if begun_s >= next_sweep_s:
                    next_sweep_s = begun_s + SWEEP_EVERY_S
                    self._accepted.drop_old_shards()
            except (RedisError, StoreUnavailable) as error:
                log.warning("could not look after the accepted audits: %s", error)
            except Exception:
                log.exception("could not look after the accepted audits")
            pause_s = max(CHECK_EVERY_S, 20 * (time.monotonic() - begun_s))

    def _probe(self) -> None:
        try:
            self._accepted.probe()
        except StoreUnavailable as error:
            self._workers.add_trouble(f"The service cannot write the report store: {error}.", for_s=2 * PROBE_EVERY_S)

    def _take_up(self, identifier: str) -> None:
        if report := self._store.load(identifier):
            self._queue.restore(report, self._store.load_import(report))
        elif (accepted := self._accepted.load(identifier)) and self._queue.take_up(accepted):
            log.warning("%s: Redis had lost this audit; it is in the queue again", identifier)

    def _begin_pass(self) -> None:
        """Restore all finished audits in the background, unless that is under way."""
        with self._lock:
            if self._idle.is_set():
                self._idle.clear()
                threading.Thread(target=self._restore_all, name="restoring", daemon=True).start()

    def _restore_all(self) -> None:
        try:
            identifiers = list(self._store.identifiers())
            restored = 0
            for start in range(0, len(identifiers), IDS_PER_BATCH):
                for identifier in self._queue.missing(identifiers[start : start + IDS_PER_BATCH]):
                    try:
                        restored += self.restore(identifier) is not None
                    except (RedisError, StoreUnavailable):
                        raise
                    except Exception:  # one report must not keep the others away
                        log.exception("%s: could not restore this audit", identifier)
            self._queue.mark_restored()
            if restored:
                log.info("restored %d finished audits from the report store", restored)
        except (RedisError, StoreUnavailable) as error:
            log.warning("could not restore finished audits from the report store: %s", error)
        finally:
            self._idle.set()
