"""Turns: how many requests may wait for Redis and the report store at once.

Each of them holds one of the server's forty threads. Requests without a turn wait outside the threads, and not
for long, so that files of the dashboard and new requests never stand behind a Redis that stalls.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.errors import unavailable

LISTS = 8
"""Lists that may be read at once: while Redis is filled again from the report store, each of them waits for that."""
OTHERS = 16
WAIT_S = 2.0
"""Seconds after which a request that has not got its turn is refused."""


class Turns:
    """Lets ``limit`` requests go on at once."""

    def __init__(self, limit: int, wait_s: float = WAIT_S) -> None:
        self._free = asyncio.Semaphore(limit)
        self._wait_s = wait_s

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold a turn during the block. Refuses with 503 when none gets free in time."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise unavailable("Too many requests are waiting for the queue; try again shortly.") from None
        try:
            yield
        finally:
            self._free.release()
