"""Find out within two seconds whether Redis and workers are there, however many ask and whatever else goes on."""

import asyncio
from typing import Literal

import anyio
from redis.exceptions import RedisError
from zooaudit import __version__
from zooaudit.contract import Health

from service.queue import AuditQueue, QueueLoad, connect

REDIS_LIMIT_S = 1.0
LIMIT_S = 2.0


class HealthCheck:
    """Reads the health over a connection and in a thread of its own, once for all who ask at the same time."""

    def __init__(self, redis_url: str) -> None:
        self._queue = AuditQueue(connect(redis_url, timeout_s=REDIS_LIMIT_S, retries=0))
        self._thread = anyio.CapacityLimiter(1)
        self._reading: asyncio.Task[Health] | None = None

    async def read(self) -> Health:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(anyio.to_thread.run_sync(self._read, limiter=self._thread))
        try:
            # Shielded, because the others who wait for the same reading may be more patient.
            async with asyncio.timeout(LIMIT_S):
                return await asyncio.shield(self._reading)
        except TimeoutError:
            return _without_redis()

    def _read(self) -> Health:
        reasons = []
        try:
            load, catalogue = self._queue.load(), self._queue.catalogue()
            if not load.workers:
                reasons.append("No worker is running: audits wait until one is started.")
            reasons += self._queue.troubles()
        except RedisError:
            return _without_redis()
        return _health(reasons, True, load, catalogue.datasets if catalogue else {})


def _without_redis() -> Health:
    return _health(["Redis does not answer."], False, QueueLoad(workers=0, queued=0, running=0), {})


def _health(reasons: list[str], redis: bool, load: QueueLoad, datasets: dict[str, int | None]) -> Health:
    status: Literal["ok", "degraded"] = "degraded" if reasons else "ok"
    return Health(
        status=status,
        reasons=tuple(reasons),
        version=__version__,
        redis=redis,
        workers=load.workers,
        queued=load.queued,
        running=load.running,
        datasets=datasets,
    )
