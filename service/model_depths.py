"""The depth of a model, as a worker finds it when somebody asks for the first time."""

import threading
import time
from typing import Any

from redis import Redis
from zooaudit.contract import DEPTHS_KEY, WANTED_DEPTHS_KEY, ModelDepth

WAIT_S = 6.0
"""Most models take a worker less than this; a request waits for it."""
WAITING = 8
"""So many requests may wait at once; others are told to come again."""
LOOK_EVERY_S = 0.1


class Depths:
    """Asks for depths, and finds those that are known."""

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._places = threading.Semaphore(WAITING)

    def known(self, name: str) -> ModelDepth | None:
        """The depth of the model of that full name; None when no worker has found it yet."""
        content = self._redis.hget(DEPTHS_KEY, name)
        return ModelDepth.model_validate_json(content) if content else None

    def ask(self, name: str, wait: bool) -> ModelDepth | None:
        """Has a worker find the depth; None while it has yet to, for which this waits a few seconds if it may."""
        self._redis.zadd(WANTED_DEPTHS_KEY, {name: time.time()}, nx=True)
        if not wait or not self._places.acquire(blocking=False):
            return None
        try:
            end = time.monotonic() + WAIT_S
            while time.monotonic() < end:
                time.sleep(LOOK_EVERY_S)
                if found := self.known(name):
                    return found
            return None
        finally:
            self._places.release()
