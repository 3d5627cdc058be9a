"""Explanations: read from the report store, or asked of the workers, which alone have torch."""

import time
from typing import Any

from pydantic import ValidationError
from redis import Redis
from zooaudit.contract import (
    EXPLAINING_KEY,
    MAX_WAITING,
    WANTED_EXPLANATIONS_KEY,
    Explanation,
    ExplanationQuestion,
    LeastEquivariant,
    PendingExplanation,
    Problem,
    explanation_key,
    failure_key,
    problem,
)

from service.errors import Refused, refused, unavailable
from service.queue import Workers
from service.reports import ReportStore

LATE_S = 3600.0
"""How long a question may wait: longer than all that may wait before it take."""
RETRY_AFTER_S = 10

ASK = """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 1 end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
"""
"""Lua: let the question ARGV[1] wait, unless as many as ARGV[3] do. ARGV[2] is the time. A former failure is
forgotten."""


class Explanations:
    """The explanations in the ``store``, and those that workers make. Raises ``redis.RedisError`` and StoreUnavailable.

    A worker that dies loses the question that it answers: it is then unknown, and can be asked again.
    """

    def __init__(self, connection: Redis, store: ReportStore, workers: Workers) -> None:
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._store = store
        self._workers = workers

    def ask(self, question: ExplanationQuestion) -> bytes | PendingExplanation:
        """Return the answer as JSON, or how far it is. What is not there yet is asked of the workers.

        Raises Refused when nobody could answer, or too many questions wait.
        """
        if found := self._found(question) or self._pending(question):
            return found
        if not self._workers.load().workers:
            raise unavailable("No worker is running that could make the explanation; start one, or try again.")
        asked = question.model_dump_json()
        keys = (WANTED_EXPLANATIONS_KEY, failure_key(question))
        if not self._redis.eval(ASK, 2, *keys, asked, time.time(), MAX_WAITING):
            detail = f"{MAX_WAITING} explanations wait for a worker, as many as may; ask again when some are there."
            raise Refused(problem("too-many-explanations", detail), {"Retry-After": str(RETRY_AFTER_S)})
        return self._pending(question) or PendingExplanation(state="making")

    def look(self, question: ExplanationQuestion) -> bytes | PendingExplanation:
        """Return the answer as JSON, or how far it is. Raises Refused with the reason if there is none, and if nobody
        has asked for it."""
        if found := self._found(question) or self._pending(question):
            return found
        if failure := self._redis.get(failure_key(question)):
            raise Refused(Problem.model_validate_json(failure))
        # A worker may have stored it since the first look.
        if found := self._found(question):
            return found
        raise refused("unknown-explanation", "Nobody has asked for this explanation lately; ask for it with POST.")

    def _found(self, question: ExplanationQuestion) -> bytes | None:
        """Read an answer; None when there is none, or only one that this version cannot read."""
        content = self._store.read_object(explanation_key(question))
        record = Explanation if question.maps else LeastEquivariant
        try:
            return content if content is not None and record.model_validate_json(content) else None
        except ValidationError:
            return None

    def _pending(self, question: ExplanationQuestion) -> PendingExplanation | None:
        asked = question.model_dump_json()
        with self._redis.pipeline() as pipe:
            pipe.zscore(EXPLAINING_KEY, asked)
            pipe.zscore(WANTED_EXPLANATIONS_KEY, asked)
            pipe.zrank(WANTED_EXPLANATIONS_KEY, asked)
            lapses_s, asked_s, rank = pipe.execute()
        if asked_s is not None and time.time() - asked_s > LATE_S:
            self._redis.zrem(WANTED_EXPLANATIONS_KEY, asked)
            self._workers.add_trouble("No worker makes explanations: a question waited for an hour. See their logs.")
            raise unavailable("No worker has begun to make it within an hour; see GET /health, and ask again.")
        if asked_s is not None:
            return PendingExplanation(state="waiting", before=rank)
        return PendingExplanation(state="making") if lapses_s is not None and lapses_s > time.time() else None
