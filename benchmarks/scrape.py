"""Measure how long a scrape of /metrics takes with many audits: ``python -m benchmarks.scrape [AUDITS]``."""

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from redis import Redis
from zooaudit.contract import AuditRequest

from service.accepted import AcceptedAudit
from service.app import create_app
from service.redis_server import EmbeddedRedis
from service.settings import ServiceSettings
from tests.fakes import ASK


async def measure(audits: int) -> None:
    """Print the time of the first scrape, and of the following ones once the last has become old."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedRedis(Path(folder))
        server.start()
        try:
            app = create_app(ServiceSettings(redis_url=server.url, store=folder, api_keys=()))
            for seed in range(audits):
                request = AuditRequest.model_validate(ASK | {"seed": seed})
                app.state.queue.take_up(AcceptedAudit(request=request, accepted_at=datetime.now(UTC)))
            with Redis.from_url(server.url) as redis:
                print(redis.zcard("zooaudit:audits"), "audits")
            for number in range(6):
                began = time.perf_counter()
                await app.state.metrics.text()
                print(f"scrape {number + 1}: {1000 * (time.perf_counter() - began):.0f} ms")
                await asyncio.sleep(1)
        finally:
            server.stop()


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
