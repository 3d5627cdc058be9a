"""Callbacks: tell the URLs that asked for it of an audit's end, at least once each.

What is still to be told is in the report store (see :mod:`service.callback_records`), so it outlives the service and
Redis. Redis holds only who is at it now and when the next attempt is due, so that several service processes share the
work; if Redis is emptied, a callback is at worst made twice.
"""

import logging
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpcore
from redis import Redis
from redis.exceptions import RedisError
from zooaudit import __version__
from zooaudit.contract import Audit
from zooaudit.contract.callbacks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature

from service.annotations import AnnotationStore
from service.audit_rows import AuditRows
from service.callback_addresses import CheckedNetwork, ForbiddenAddress, Resolve, refuse_private, resolve
from service.callback_records import CallbackRecord, CallbackRecords, name_of
from service.errors import StoreUnavailable, refused
from service.queue import AuditQueue
from service.recovery import Recovery
from service.settings import ServiceSettings

log = logging.getLogger("zooaudit.service")

MOST_URLS = 8
"""How many URLs may wait for the end of one audit."""
SENDERS = 8
MOST_AT_ONE_HOST = 4
"""How many senders may be at one host: one that takes long to fail must not hold up the others."""
HOST_BUSY_S = 5
LOOK_EVERY_S = 1.0
LIST_EVERY_S = 15.0
"""The pause between two lists of the store, which tell what other service processes were asked for."""
LIMIT_S = 15.0
"""How long one attempt may take."""
CLAIM_S = 90
"""How long an attempt keeps others from trying; longer than an attempt takes."""
TOLD_S = 3600
"""For how long Redis notes that a callback was made: much longer than LIST_EVERY_S."""
GIVE_UP_S = 86_400.0
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 3600.0
GONE = 410
"""The status by which a receiver says that it wants no more of these."""
COUNTS_KEY = "zooaudit:callbacks:counts"
"""Redis hash: how many callbacks were ``delivered``, how many attempts ``failed``, and how many were ``given up``."""


class Callbacks:
    """Takes callbacks on, and makes them in threads of its own."""

    def __init__(
        self,
        redis: Redis,
        records: CallbackRecords,
        queue: AuditQueue,
        rows: AuditRows,
        recovery: Recovery,
        annotations: AnnotationStore,
        settings: ServiceSettings,
        resolve: Resolve = resolve,
    ) -> None:
        self._redis: Any = redis  # redis-py types each answer as a union of all it could ever be
        self._records, self._queue, self._rows, self._recovery = records, queue, rows, recovery
        self._annotations = annotations
        secret = settings.callback_secret
        self._secret = secret.get_secret_value() if secret else None
        self._private: Collection[str] = settings.callback_private
        self._own_url = settings.callback_url
        self._resolve = resolve
        self._lock = threading.Lock()
        self._pending: dict[str, float] = {}
        """The names of the records that are to be looked after, with the time at which this process wrote each."""
        self._sending: set[str] = set()
        self._hosts: Counter[str] = Counter()
        """How many senders are at each host."""
        self._host_of: dict[str, str] = {}
        """The host of each record that this process has written or read."""
        self._wake, self._stopped = threading.Event(), threading.Event()

    def check(self, url: str | None, identifier: str) -> None:
        """Refuse with 422 a URL that cannot be told of this audit's end."""
        if url is None:
            return
        if self._secret is None:
            detail = (
                "This service makes no callbacks: its operator has set no ZOOAUDIT_CALLBACK_SECRET. Poll the audit."
            )
            raise refused("callback-refused", detail)
        refuse_private(url, self._private)
        with self._lock:
            waiting = {name for name in self._pending if name.startswith(identifier)}
        if len(waiting - {name_of(identifier, url)}) >= MOST_URLS:
            raise refused("callback-refused", f"{MOST_URLS} other URLs wait for this audit's end; poll the audit.")

    def add(self, identifier: str, url: str | None, enqueued: bool) -> None:
        """Take on to tell ``url``, and of an audit that was just enqueued also the operator's own URL."""
        for one in dict.fromkeys((url, self._own_url if enqueued else None)):
            if one is not None and self._secret is not None:
                self._add(identifier, one)

    def start(self) -> None:
        """Begin to make callbacks in the background, until :meth:`stop`."""
        if self._secret is not None:
            threading.Thread(target=self._watch, name="callbacks", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        self._wake.set()

    def waiting(self) -> int:
        """Count the callbacks that are still to be made, including those of audits that have not ended."""
        return len(self._pending)

    def counts(self) -> dict[str, int]:
        """Count how many callbacks were delivered and given up, and how many attempts have failed."""
        return {event.decode(): int(count) for event, count in self._redis.hgetall(COUNTS_KEY).items()}

    def _add(self, identifier: str, url: str) -> None:
        name = name_of(identifier, url)
        if self._records.load(name) is None:
            now = datetime.now(UTC)
            message_id = f"msg_{secrets.token_hex(16)}"
            self._records.keep(CallbackRecord(audit_id=identifier, url=url, message_id=message_id, asked_at=now))
            self._redis.delete(_claim_key(name), _attempts_key(name))
        with self._lock:
            self._pending[name] = time.monotonic()
            self._host_of[name] = urlsplit(url).hostname or ""
        self._wake.set()

    def _watch(self) -> None:
        next_list_s = 0.0
        while not self._stopped.is_set():
            begun_s = time.monotonic()
            try:
                if begun_s >= next_list_s:
                    self._list(begun_s)
                    next_list_s = time.monotonic() + LIST_EVERY_S
                self._look()
            except (RedisError, StoreUnavailable) as error:
                log.warning("could not look after the callbacks: %s", error)
            except Exception:
                log.exception("could not look after the callbacks")
            self._wake.wait(max(LOOK_EVERY_S, 10 * (time.monotonic() - begun_s)))
            self._wake.clear()

    def _list(self, begun_s: float) -> None:
        listed = dict.fromkeys(self._records.names(), 0.0)
        with self._lock:
            newer = {name: written_s for name, written_s in self._pending.items() if written_s >= begun_s}
            self._pending = listed | newer
            self._host_of = {name: host for name, host in self._host_of.items() if name in self._pending}

    def _look(self) -> None:
        """Start an attempt for each callback whose audit has ended, as far as there are senders.

        Those come first at whose host the fewest senders are, and of those the ones that were tried least, so that
        receivers that take long to fail do not hold up the others, however many callbacks wait for them.
        """
        with self._lock:
            names = [name for name in self._pending if name not in self._sending]
        if not names:
            return
        rows = self._rows.by_id()
        ended = []
        for name in names:
            row = rows.get(name.partition("-")[0])
            if row is None or row.status.final:
                ended.append(name)
        for name in self._due(ended):
            with self._lock:
                if len(self._sending) >= SENDERS:
                    return
                if self._senders_at(name) >= MOST_AT_ONE_HOST:
                    continue
                self._sending.add(name)
            threading.Thread(target=self._make, args=(name,), name="callback", daemon=True).start()

    def _due(self, names: list[str]) -> list[str]:
        """Return those that nobody is at and that need not wait, in the order in which they are to be tried."""
        if not names:
            return []
        claims = self._redis.mget(map(_claim_key, names))
        attempts = map(int, (count or 0 for count in self._redis.mget(map(_attempts_key, names))))
        due = {name: count for name, claim, count in zip(names, claims, attempts, strict=True) if claim is None}
        with self._lock:
            return sorted(due, key=lambda name: (self._senders_at(name), due[name]))

    def _senders_at(self, name: str) -> int:
        """Count the senders at the host of a record; 0 as long as this process has not read it."""
        return self._hosts[self._host_of.get(name, "")]

    def _make(self, name: str) -> None:
        try:
            if self._redis.set(_claim_key(name), "1", nx=True, ex=CLAIM_S):
                self._attempt(name)
        except (RedisError, StoreUnavailable) as error:
            log.warning("callback %s: %s", name, error)
        except Exception:
            log.exception("callback %s", name)
        finally:
            with self._lock:
                self._sending.discard(name)

    def _attempt(self, name: str) -> None:
        """Make one attempt, and note in store and Redis how it went."""
        record = self._records.load(name)
        if record is None:
            self._forget(name)
            return
        audit = self._queue.get(record.audit_id) or self._recovery.restore(record.audit_id)
        host = urlsplit(record.url).hostname or ""
        with self._lock:
            self._host_of[name] = host
        since = record.asked_at
        if audit is not None:
            if not audit.status.final:
                self._redis.expire(_claim_key(name), 5)  # it runs again
                return
            since = max(since, audit.finished_at or since)
        if audit is None:
            fault: str | None = "there is no such audit any more"
        else:
            with self._place_at(host) as is_free:
                if not is_free:
                    self._redis.expire(_claim_key(name), HOST_BUSY_S)
                    return
                fault = self._send(record, audit)
        if fault is None:
            self._records.drop(name)
            self._redis.set(_claim_key(name), "told", ex=TOLD_S)
            self._count("delivered")
            self._forget(name)
            return
        self._count("failed")
        attempts = self._redis.incr(_attempts_key(name))
        self._redis.expire(_attempts_key(name), int(2 * GIVE_UP_S))
        where = _shown(record.url)
        if (
            audit is None
            or fault == _status_fault(GONE)
            or datetime.now(UTC).timestamp() - since.timestamp() > GIVE_UP_S
        ):
            log.warning("%s: gave up telling %s of the audit's end: %s", record.audit_id, where, fault)
            self._records.drop(name)
            self._count("given up")
            self._forget(name)
        else:
            pause_s = pause_after(attempts)
            log.info("%s: could not tell %s: %s; next in %.0f s", record.audit_id, where, fault, pause_s)
            self._redis.set(_claim_key(name), "waits", px=max(1, int(1000 * pause_s)))

    @contextmanager
    def _place_at(self, host: str) -> Iterator[bool]:
        """Tell whether another sender may be at this host, and count it there until the end of the block."""
        with self._lock:
            is_free = self._hosts[host] < MOST_AT_ONE_HOST
            self._hosts[host] += is_free
        try:
            yield is_free
        finally:
            with self._lock:
                self._hosts[host] -= is_free
                self._hosts += Counter()  # drops the hosts that nobody is at

    def _send(self, record: CallbackRecord, audit: Audit) -> str | None:
        """POST the audit. Returns what went wrong, None if nothing did."""
        body = self._annotations.show(audit).model_dump_json().encode()
        timestamp = str(int(time.time()))
        headers: dict[bytes | str, bytes | str] = {
            "Host": urlsplit(record.url).netloc,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "User-Agent": f"zooaudit/{__version__}",
            "Connection": "close",
            ID_HEADER: record.message_id,
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: signature(self._secret or "", record.message_id, timestamp, body),
        }
        # The operator's own URL may be anywhere.
        private = record.url == self._own_url or (urlsplit(record.url).hostname or "") in self._private
        network = CheckedNetwork(private, LIMIT_S, self._resolve)
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), LIMIT_S)
        try:
            with (
                httpcore.ConnectionPool(network_backend=network) as pool,
                pool.stream(
                    "POST", record.url, headers=headers, content=body, extensions={"timeout": timeouts}
                ) as answer,
            ):
                # What the receiver answers beyond its status is not read, and a redirect not followed.
                return None if 200 <= answer.status < 300 else _status_fault(answer.status)
        except ForbiddenAddress:
            return "its host leads into a private network; ZOOAUDIT_CALLBACK_PRIVATE can allow it"
        except (httpcore.TimeoutException, TimeoutError):
            return f"it did not answer within {LIMIT_S:g} seconds"
        except httpcore.ConnectError as error:  # refused, or no address, or a certificate that is not trusted
            return f"it cannot be reached ({error})"
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
            return f"it cannot be reached ({type(error).__name__})"

    def _forget(self, name: str) -> None:
        with self._lock:
            self._pending.pop(name, None)

    def _count(self, event: str) -> None:
        self._redis.hincrby(COUNTS_KEY, event, 1)


def pause_after(attempts: int) -> float:
    """Choose how long to wait after this many attempts: twice as long each time, up to an hour, and a random part
    shorter, so that many callbacks to one receiver do not come back all at once."""
    longest_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 20))
    return longest_s * random.uniform(0.5, 1.0)


def _status_fault(status: int) -> str:
    return f"it answered with {status}"


def _shown(url: str) -> str:
    """Shorten a URL to what may be logged: paths and queries of callbacks often hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _claim_key(name: str) -> str:
    return f"zooaudit:callback:{name}"


def _attempts_key(name: str) -> str:
    return f"zooaudit:callback:{name}:attempts"
