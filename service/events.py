"""Follow audits without polling: one reading a second of all audits that somebody follows, whoever and how many."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping

import anyio
from redis.exceptions import RedisError
from zooaudit.contract import Audit

from service.errors import StoreUnavailable, unavailable

log = logging.getLogger("zooaudit.service")

READ_EVERY_S = 1.0
HEARTBEAT_S = 15.0
"""The pause after which a silent stream shows that it is alive: less than proxies and clients wait."""
MOST_FOLLOWERS = 200
"""How many streams there may be at once. Each takes up a connection, of which there are about a thousand."""


class Events:
    """The audits that are followed now. ``read`` returns those of the given ids that exist, by id."""

    def __init__(self, read: Callable[[Collection[str]], Mapping[str, Audit]]) -> None:
        self._read = read
        self._followers: Counter[str] = Counter()
        self._latest: Mapping[str, Audit | None] = {}
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._thread = anyio.CapacityLimiter(1)

    def ensure_room(self) -> None:
        """Refuse with 503 if too many streams are open."""
        if self._followers.total() >= MOST_FOLLOWERS:
            raise unavailable("Too many clients follow audits by events; poll the audit, or try again later.")

    async def follow(self, audit: Audit) -> AsyncIterator[Audit | None]:
        """Yield the audit, and again whenever it has changed, until it has ended or is gone; None after each
        HEARTBEAT_S without a change."""
        self._followers[audit.id] += 1
        try:
            yield audit
            while not audit.status.final:
                if self._reading is None or self._reading.done():
                    self._reading = asyncio.create_task(self._read_on())
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        latest: Audit | None = audit
                        while latest == audit:
                            await self._changed.wait()
                            latest = self._latest.get(audit.id, audit)  # the reading may not have it yet
                except TimeoutError:
                    yield None
                    continue
                if latest is None:
                    return
                audit = latest
                yield audit
        finally:
            self._followers[audit.id] -= 1
            self._followers += Counter()  # drops those that nobody follows any more

    async def _read_on(self) -> None:
        """Read again and again while somebody follows anything."""
        while followed := list(self._followers):
            try:
                read = await anyio.to_thread.run_sync(self._read, followed, limiter=self._thread)
            except (RedisError, StoreUnavailable) as error:
                log.warning("cannot read the audits that are followed: %s", error)
            else:
                self._latest = {identifier: read.get(identifier) for identifier in followed}
                # Whoever waits is woken; the next reading has an event of its own.
                self._changed.set()
                self._changed = asyncio.Event()
            await asyncio.sleep(READ_EVERY_S)
