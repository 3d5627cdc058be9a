"""Make explanations, when the service asks.

This runs beside the audits, in a process of its own at low priority, so that nobody waits for the audit that runs, and
nothing here can disturb the queue. That process takes one question at a time; a child of it, which may die or be killed
at its limits, answers it and writes the answer into the report store, whole or not at all.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from pydantic import ValidationError
from redis.exceptions import RedisError
from zooaudit.contract import (
    EXPLAINING_KEY,
    WANTED_EXPLANATIONS_KEY,
    Contract,
    ExplanationQuestion,
    Problem,
    Report,
    explanation_key,
    failure_key,
    problem,
)

from worker.children import ChildDied, ChildTimedOut, in_child, limit_memory, machine_memory_bytes
from worker.errors import AuditError, own_words, ran_out_of_memory
from worker.images.decoding import cores
from worker.queue.report_store import ReportStore, StoreUnavailable
from worker.queue.side_processes import Beat, serve, tell

log = logging.getLogger("zooaudit.worker")

Explain = Callable[[ExplanationQuestion, Report], Contract]
"""Answers a question about the audit of a report. Raises AuditError."""

LIMIT_S = 600.0
"""The time limit for one explanation."""
MEMORY_SHARE = 4
"""An explanation may take one part in so many of the machine's memory."""
MOST_THREADS = 4
PAUSE_S = 0.5
"""The pause before the next look for a question."""
SHOWN_S = 15
"""How long others see that a question is being answered, unless its process says so again."""
KEEP_FAILURE_S = 600
"""How long the service tells why an explanation could not be made."""

TAKE = """
local taken = redis.call('ZPOPMIN', KEYS[1])
if #taken == 0 then return nil end
redis.call('ZADD', KEYS[2], ARGV[1], taken[1])
return taken[1]
"""
"""Lua: move the question that has waited longest from those that wait to those that are being answered."""


def answer_service(redis_url: str, store: str, explain: Explain, beat: Beat) -> None:
    """Answer questions, one at a time, without end. ``store`` is where reports are kept."""
    os.nice(10)
    serve(redis_url, partial(_answer_next, store, explain, beat), beat)


def _answer_next(store: str, explain: Explain, beat: Beat, redis: Any) -> None:
    taken = redis.eval(TAKE, 2, WANTED_EXPLANATIONS_KEY, EXPLAINING_KEY, time.time() + SHOWN_S)
    if taken is None:
        time.sleep(PAUSE_S)
        return
    try:
        question = ExplanationQuestion.model_validate_json(taken)
    except ValidationError:
        log.warning("a question for an explanation is not understood: is the service of another version?")
        redis.zrem(EXPLAINING_KEY, taken)
        return

    def at_work() -> None:
        beat()
        with suppress(RedisError):
            redis.zadd(EXPLAINING_KEY, {taken: time.time() + SHOWN_S})

    failure = answer(question, store, explain, redis, at_work)
    with redis.pipeline() as pipe:
        if failure is not None:
            pipe.set(failure_key(question), failure.model_dump_json(), ex=KEEP_FAILURE_S)
        pipe.zrem(EXPLAINING_KEY, taken)
        pipe.execute()


def answer(question: ExplanationQuestion, store: str, explain: Explain, redis: Any, beat: Beat) -> Problem | None:
    """Answer a question in a child, which stores the answer. Returns the reason if it has none."""
    what = f"The explanation of {question.audit}"
    try:
        said = in_child(partial(_answered, question, store, explain), LIMIT_S, beat)
    except ChildTimedOut as error:
        tell(redis, f"{what} {error} on a worker.")
        return problem(
            "timed-out", f"It {error}. Ask for a smaller block or another transform, or look at fewer images."
        )
    except ChildDied as error:
        tell(redis, f"{what} {error} on a worker.")
        return problem("worker-died", f"The process that made it {error}; perhaps memory ran out. Ask again.")
    failure = json.loads(said)
    return None if failure is None else Problem.model_validate(failure)


def _answered(question: ExplanationQuestion, location: str, explain: Explain) -> str:
    """Answer a question and store the answer. Return "null", or as JSON the problem because of which there is none."""
    torch.set_num_threads(min(MOST_THREADS, max(1, cores() // 2)))  # the audits need the other cores
    try:
        store = ReportStore(location)
        report = store.read(question.audit)
        if report is None:
            raise AuditError("report-lost", "The store has lost this report; ask for the audit again.")
        limit_memory(machine_memory_bytes() // MEMORY_SHARE)
        store.put(explanation_key(question), explain(question, report).model_dump_json().encode())
    except AuditError as error:
        return error.problem.model_dump_json()
    except StoreUnavailable as error:
        detail = f"The report store cannot be used: {error}. Ask again later."
        return problem("store-unavailable", detail).model_dump_json()
    except Exception as error:
        if ran_out_of_memory(error):
            detail = (
                f"It takes more memory than a worker spares for it, 1/{MEMORY_SHARE} of its machine's. Nothing but a "
                "larger machine helps."
            )
            return problem("out-of-memory", detail).model_dump_json()
        log.exception("explanation of %s", question.audit)
        return problem("internal-error", own_words(error)).model_dump_json()
    return "null"
