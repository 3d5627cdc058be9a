"""Takes up again, from the report store, the finished audits that Redis has lost."""

import logging
import threading

from redis.exceptions import RedisError
from zooaudit.contract import Audit

from service.errors import StoreUnavailable
from service.queue import AuditQueue
from service.reports import ReportStore

log = logging.getLogger("zooaudit.service")

RESTORED = "restored"
"""Flag in Redis: the store has been gone through since this Redis was last empty."""


class Recovery:
    """Goes through the store in the background, one pass at a time."""

    def __init__(self, queue: AuditQueue, store: ReportStore) -> None:
        self._queue = queue
        self._store = store
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()

    def start(self) -> None:
        """Begins a pass unless one is under way. Never raises: whoever lists audits next begins another."""
        with self._lock:
            if self._idle.is_set():
                self._idle.clear()
                threading.Thread(target=self._pass, name="recovery", daemon=True).start()

    def ensure(self, wait_s: float) -> None:
        """Begins a pass if Redis has been emptied since the last one, and waits for it, ``wait_s`` at most."""
        if not self._queue.flag(RESTORED):
            self.start()
            self._idle.wait(wait_s)

    def one(self, identifier: str) -> Audit | None:
        """The finished audit of the report in the store, if there is one."""
        report = self._store.load(identifier)
        return None if report is None else self._queue.restore(report)

    def _pass(self) -> None:
        try:
            identifiers = list(self._store.identifiers())
            restored = 0
            for start in range(0, len(identifiers), 500):
                for identifier in self._queue.missing(identifiers[start : start + 500]):
                    restored += self.one(identifier) is not None
            self._queue.flag(RESTORED, True)
            if restored:
                log.info("took up %d finished audits from the report store", restored)
        except (RedisError, StoreUnavailable) as error:
            log.warning("could not take up finished audits from the report store: %s", error)
        finally:
            self._idle.set()
