"""Find out within two seconds whether Redis and workers are there, however many ask and whatever else goes on."""

import asyncio
from typing import Literal

import anyio
from redis.exceptions import RedisError
from zooaudit import __version__
from zooaudit.contract import Health, refusal

from service.queue import QueueLoad, Workers, connect

REDIS_LIMIT_S = 1.0
LIMIT_S = 2.0
NO_ANSWER = "Redis does not answer."
NOTHING = QueueLoad(workers=0, devices=(), queued=0, running=0)


class HealthCheck:
    """Reads the health over a connection and in a thread of its own, once for all who ask at the same time."""

    def __init__(self, redis_url: str) -> None:
        self._workers = Workers(connect(redis_url, timeout_s=REDIS_LIMIT_S, retries=0))
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
            return _health([NO_ANSWER], False, NOTHING, {})

    def _read(self) -> Health:
        load, datasets, reasons = NOTHING, {}, []
        redis = True
        try:
            load = self._workers.load()
            if not load.workers:
                reasons.append("No worker is running: audits wait until one is started.")
            if catalogue := self._workers.catalogue():
                datasets = catalogue.datasets
            self._workers.check_writable()
            reasons += self._workers.troubles()
        except RedisError as error:
            reason = refusal(error)
            redis = reason is not None
            reasons.insert(0, f"Redis refuses commands: {reason}." if reason else NO_ANSWER)
        return _health(reasons, redis, load, datasets)


def _health(reasons: list[str], redis: bool, load: QueueLoad, datasets: dict[str, int | None]) -> Health:
    status: Literal["ok", "degraded"] = "degraded" if reasons else "ok"
    return Health(
        status=status,
        reasons=tuple(reasons),
        version=__version__,
        redis=redis,
        workers=load.workers,
        devices=load.devices,
        queued=load.queued,
        running=load.running,
        datasets=datasets,
    )
