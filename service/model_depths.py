"""Ask the workers for the depth of a model: one of them finds it at the first question about that model."""

import threading
import time
from typing import Any

from redis import Redis
from zooaudit.contract import DEPTHS_KEY, WANTED_DEPTHS_KEY, ModelDepth

from service.queue import Workers

WAIT_S = 6.0
"""How long a request waits for a worker to find a depth; most models take less."""
MAX_WAITING_REQUESTS = 8
"""How many requests may wait at the same time; further ones get an answer without the depth at once."""
POLL_EVERY_S = 0.1
LATE_S = 330.0
"""How long a question may wait: a little longer than a worker may take for the one before it."""


class ModelDepths:
    """The depths that the workers have found. Raises ``redis.RedisError`` when Redis does not answer."""

    def __init__(self, connection: Redis, workers: Workers) -> None:
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._workers = workers
        self._waiting = threading.Semaphore(MAX_WAITING_REQUESTS)

    def get(self, name: str) -> ModelDepth | None:
        """Return the depth of the model with the full name ``name``; None when no worker has found it yet."""
        content = self._redis.hget(DEPTHS_KEY, name)
        return ModelDepth.model_validate_json(content) if content else None

    def request(self, name: str, wait: bool) -> ModelDepth | None:
        """Have a worker find the depth of a model, and with ``wait`` wait up to WAIT_S for it.

        Returns None when the depth is not there yet.
        """
        self._redis.zadd(WANTED_DEPTHS_KEY, {name: time.time()}, nx=True)
        if not wait or not self._waiting.acquire(blocking=False):
            return None
        try:
            deadline = time.monotonic() + WAIT_S
            while time.monotonic() < deadline:
                time.sleep(POLL_EVERY_S)
                if depth := self.get(name):
                    return depth
            return None
        finally:
            self._waiting.release()

    def why_absent(self, name: str) -> str:
        """Say why a depth that was requested is not there yet. Tells the service's health if no worker looks for it."""
        asked_s = self._redis.zscore(WANTED_DEPTHS_KEY, name)
        if asked_s is None or time.time() - asked_s < LATE_S:
            return "A worker is finding them; ask again."
        self._workers.add_trouble(
            f"No worker looks for the blocks of models: a question waited for {LATE_S:g} s. See the workers' logs."
        )
        return f"No worker has begun to look for them within {LATE_S:g} s; see GET /health, and ask again."
