"""Ask the workers which content an operator's checkpoint has now: only they can read its files."""

import time
from typing import Any
from uuid import uuid4

from redis import Redis
from zooaudit.contract import WANTED_VERSIONS_KEY, AuditRequest, CheckpointVersion, version_key

from service.errors import Refused, unavailable
from service.queue import AuditQueue

WAIT_S = 10.0
"""How long a request waits: enough for a worker to read some gigabytes, which it does once for each file."""
BLOCK_S = 1
"""How long one read from Redis blocks: less than the connection's own timeout."""


class CheckpointVersions:
    """The versions of the operator's checkpoints, as the workers report them."""

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be

    def pin(self, request: AuditRequest, queue: AuditQueue) -> AuditRequest:
        """Fill in the present version of the checkpoint if the request names a checkpoint without one.

        Raises Refused when there is no such checkpoint, when the ``queue`` has no worker, and when no worker answers in
        time.
        """
        weights, _, name = request.weights.partition(":")
        if weights != "checkpoint" or request.checkpoint_version is not None:
            return request
        if not queue.load().workers:
            raise unavailable("No worker is running that could look for the checkpoint; start one, or try again.")
        answer = self._ask_workers(name)
        if answer is None:
            raise unavailable("No worker has said yet which content the checkpoint has; try again shortly.")
        if answer.error is not None:
            raise Refused(answer.error)
        return request.model_copy(update={"checkpoint_version": answer.version})

    def _ask_workers(self, name: str) -> CheckpointVersion | None:
        token = uuid4().hex
        question = f"{token} {name}"
        self._redis.rpush(WANTED_VERSIONS_KEY, question)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if popped := self._redis.blpop([version_key(token)], timeout=BLOCK_S):
                _key, answer = popped
                return CheckpointVersion.model_validate_json(answer)
        self._redis.lrem(WANTED_VERSIONS_KEY, 0, question)
        return None
