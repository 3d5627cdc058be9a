"""Which content an operator's checkpoint has now, as a worker says, who alone can see the files."""

import time
from typing import Any
from uuid import uuid4

from redis import Redis
from zooaudit.contract import WANTED_VERSIONS_KEY, AuditRequest, CheckpointVersion, version_key

from service.errors import Refused, unavailable
from service.queue import AuditQueue

WAIT_S = 10.0
"""Time to read a checkpoint of some gigabytes once; a worker knows its version after that."""
STEP_S = 1
"""Of the waiting: less than the connection's own patience."""


class Versions:
    """Asks the workers for versions of checkpoints."""

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be

    def pinned(self, request: AuditRequest, queue: AuditQueue) -> AuditRequest:
        """``request`` with the version of its checkpoint, if it asks for one and leaves open which content is meant.

        Raises Refused when there is no such checkpoint, and when no worker of the ``queue`` says so in time.
        """
        kind, _, name = request.weights.partition(":")
        if kind != "checkpoint" or request.checkpoint_version is not None:
            return request
        if not queue.load().workers:
            raise unavailable("No worker is running that could look for the checkpoint; start one, or try again.")
        answer = self._ask(name)
        if answer is None:
            raise unavailable("No worker has said yet which content the checkpoint has; try again shortly.")
        if answer.error is not None:
            raise Refused(answer.error)
        return request.model_copy(update={"checkpoint_version": answer.version})

    def _ask(self, name: str) -> CheckpointVersion | None:
        token = uuid4().hex
        question = f"{token} {name}"
        self._redis.rpush(WANTED_VERSIONS_KEY, question)
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            if found := self._redis.blpop([version_key(token)], timeout=STEP_S):
                return CheckpointVersion.model_validate_json(found[1])
        self._redis.lrem(WANTED_VERSIONS_KEY, 0, question)
        return None
