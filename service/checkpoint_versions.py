"""Ask the workers which content an operator's checkpoint has now, and whether it fits a model: only they have torch."""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from redis import Redis
from zooaudit.contract import (
    CHECKPOINT_QUESTIONS_KEY,
    CHECKPOINT_WORK_KEY,
    AuditRequest,
    CheckpointAnswer,
    CheckpointQuestion,
    Report,
    answer_key,
    audit_id,
)

from service.errors import Refused, refused, unavailable
from service.queue import AuditQueue, Workers

WAIT_S = 10.0
"""How long a request waits: enough for a worker to read some gigabytes, which it does once for each file."""
BLOCK_S = 1
"""How long one read from Redis blocks: less than the connection's own timeout."""


class CheckpointVersions:
    """The versions of the operator's checkpoints, as the ``workers`` report them."""

    def __init__(self, connection: Redis, workers: Workers) -> None:
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._workers = workers

    def pin(
        self, request: AuditRequest, queue: AuditQueue, load_report: Callable[[str], Report | None]
    ) -> AuditRequest:
        """Fill in the present version of the checkpoint if the request names a checkpoint without one.

        Raises Refused when the audit would fail: there is no such checkpoint, it does not fit the model, or it no
        longer has the version that the request names, unless the audit of that version exists or ``load_report`` finds
        its report. Raises Refused, too, when there is no worker, and when no worker answers in time.
        """
        weights, _, name = request.weights.partition(":")
        if weights != "checkpoint" or (request.checkpoint_version and _exists(request, queue, load_report)):
            return request
        if not self._workers.load().workers:
            raise unavailable("No worker is running that could look at the checkpoint; start one, or try again.")
        answer = self._ask_workers(name, request.model)
        if answer.error is not None and answer.error.status == 503:
            raise unavailable(answer.error.detail)
        if answer.version is not None and request.checkpoint_version not in (None, answer.version):
            now = f"its version is {answer.version}, not {request.checkpoint_version}"
            raise refused("checkpoint-replaced", f"{request.weights} has been replaced: {now}. Ask for it anew.")
        if answer.error is not None:
            raise Refused(answer.error)
        return request.model_copy(update={"checkpoint_version": answer.version})

    def _ask_workers(self, name: str, model: str) -> CheckpointAnswer:
        question = CheckpointQuestion(token=uuid4().hex, name=name, model=model)
        asked = question.model_dump_json()
        self._redis.rpush(CHECKPOINT_QUESTIONS_KEY, asked)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if popped := self._redis.blpop([answer_key(question.token)], timeout=BLOCK_S):
                _key, answer = popped
                return CheckpointAnswer.model_validate_json(answer)
        self._redis.lrem(CHECKPOINT_QUESTIONS_KEY, 0, asked)
        at_work = [
            looked_at.decode() for looked_at in self._redis.zrangebyscore(CHECKPOINT_WORK_KEY, time.time(), "inf")
        ]
        if name in at_work:
            raise unavailable(f"A worker is still reading checkpoint:{name} and goes on with it. Try again shortly.")
        if at_work:
            others = ", ".join(f"checkpoint:{other}" for other in at_work)
            raise unavailable(f"The workers are busy reading {others}. Try again shortly.")
        self._workers.add_trouble(
            f"No worker answers questions about checkpoints: one waited for {WAIT_S:g} s. See the workers' logs."
        )
        raise unavailable(
            f"No worker has said within {WAIT_S:g} s what is in checkpoint:{name}. A worker's helper process may have "
            "died or hang; it is replaced within a minute. Try again shortly."
        )


def _exists(request: AuditRequest, queue: AuditQueue, load_report: Callable[[str], Report | None]) -> bool:
    """Whether the audit waits, runs or has a report: then it is answered by what it was."""
    audit = queue.get(audit_id(request))
    return (audit is not None and not audit.status.final) or load_report(audit_id(request)) is not None
