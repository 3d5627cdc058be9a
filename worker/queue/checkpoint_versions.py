"""Tell the service which content the operator's checkpoints have now, and whether they fit a model.

The service asks before it accepts an audit of a checkpoint, so that a request for a replaced file never gets the
report of the earlier file, and a file that cannot be measured is refused before it waits in the queue. This runs beside
the audits, in a process of its own. That process opens no file itself: each look at one is a child's.
"""

import hashlib
import json
import logging
import time
from contextlib import suppress
from functools import cache, partial
from typing import Any

import torch
from pydantic import ValidationError
from redis.exceptions import RedisError
from zooaudit import __version__
from zooaudit.contract import (
    CHECKPOINT_QUESTIONS_KEY,
    CHECKPOINT_WORK_KEY,
    CheckpointAnswer,
    CheckpointQuestion,
    ModelName,
    answer_key,
    problem,
)

from worker.children import ChildDied, ChildTimedOut, in_child, limit_memory, machine_memory_bytes
from worker.errors import AuditError
from worker.queue.side_processes import POLL_S, Beat, serve, tell
from worker.zoo import checkpoint_files, checkpoints, registered
from worker.zoo.catalogue import ZOOS
from worker.zoo.fitting import check_fit

log = logging.getLogger("zooaudit.worker")

VERSION_LIMIT_S = 600.0
"""How long it may take to read a file for its version, which happens once for each content: 100 GB at 170 MB/s."""
FIT_LIMIT_S = 300.0
"""How long it may take to find out whether a file fits a model: ten times what the largest models take."""
KEEP_ANSWER_S = 60
"""How long an answer stays in Redis: the service no longer waits for it then."""
KEEP_FIT_S = 86_400
"""How long Redis keeps whether a content fits a model."""
KEEP_DOUBT_S = 600
"""How long Redis keeps what the state of the machine may have decided, too."""
SURE = ("weights-mismatch", "weights-corrupt", "checkpoint-options", "unsuitable-model")
"""The problems that follow from the file and the model alone."""
WORK_SHOWN_S = 15
"""How long others see that a process looks at a checkpoint, unless it says so again."""
PAUSE_S = 0.2
"""The pause before a question is taken again whose checkpoint another process looks at."""


def answer_service(redis_url: str, location: str | None, beat: Beat) -> None:
    """Answer the service's questions without end.

    ``location`` is the folder or the bucket that holds the checkpoints.
    """
    serve(redis_url, partial(_answer_next, location, beat), beat)


def _answer_next(location: str | None, beat: Beat, redis: Any) -> None:
    popped = redis.blpop([CHECKPOINT_QUESTIONS_KEY], timeout=POLL_S)
    if popped is None:
        return
    try:
        question = CheckpointQuestion.model_validate_json(popped[1])
    except ValidationError:
        log.warning("a question about a checkpoint is not understood: is the service of another version?")
        return
    if (redis.zscore(CHECKPOINT_WORK_KEY, question.name) or 0) > time.time():
        # Another process looks at this file. Let this one take other questions meanwhile.
        redis.rpush(CHECKPOINT_QUESTIONS_KEY, popped[1])
        time.sleep(PAUSE_S)
        return
    at_work = partial(_show_work, question, redis, beat)
    at_work()
    found = answer(question, location, redis, at_work)
    key = answer_key(question.token)
    with redis.pipeline() as pipe:
        pipe.rpush(key, found.model_dump_json())
        pipe.expire(key, KEEP_ANSWER_S)
        pipe.zrem(CHECKPOINT_WORK_KEY, question.name)
        pipe.execute()


def _show_work(question: CheckpointQuestion, redis: Any, beat: Beat) -> None:
    """Give signs of life to the worker, and to the service."""
    beat()
    with suppress(RedisError):
        redis.zadd(CHECKPOINT_WORK_KEY, {question.name: time.time() + WORK_SHOWN_S})


def answer(question: CheckpointQuestion, location: str | None, redis: Any, beat: Beat) -> CheckpointAnswer:
    """Find the version of the checkpoint, and whether it fits the model: from ``redis`` if that is known already.

    If nobody can find out whether it fits, the answer has no error: the audit itself will tell.
    """
    checkpoint = f"checkpoint:{question.name}"
    try:
        found = json.loads(in_child(partial(_version_json, question.name, location), VERSION_LIMIT_S, beat))
    except (ChildTimedOut, ChildDied) as error:
        detail = f"Reading {checkpoint} {error}"
        tell(redis, f"{detail} on a worker.")
        return CheckpointAnswer(error=problem("unavailable", f"{detail}. Try again, or have the operator look at it."))
    checkpoint_files.digests.update({tuple(stamp): digest for stamp, digest in found["digests"]})
    version = CheckpointAnswer.model_validate_json(found["answer"])
    if version.error is not None:
        return version
    source, architecture, _ = ModelName.parse(question.model)
    code = registered.entry(architecture).code if source == "own" and architecture in registered.names() else None
    software = f"{_software()}:{code.function}:{code.sha256}" if code else _software()
    key = f"zooaudit:checkpoints:fit:{software}:{question.model}:{version.version}"
    if known := redis.get(key):
        return CheckpointAnswer.model_validate_json(known)
    try:
        work = partial(_fit_json, question.name, question.model, version, location)
        fit, keep_s = json.loads(in_child(work, FIT_LIMIT_S, beat))
    except (ChildTimedOut, ChildDied) as error:
        tell(redis, f"Checking on a worker whether {checkpoint} fits {question.model} {error}.")
        fit, keep_s = version.model_dump_json(), KEEP_DOUBT_S
    if keep_s:
        redis.set(key, fit, ex=keep_s)
    return CheckpointAnswer.model_validate_json(fit)


def _version_json(name: str, location: str | None) -> str:
    known = set(checkpoint_files.digests)
    try:
        version = CheckpointAnswer(version=checkpoints.version(name, location))
    except AuditError as error:
        version = CheckpointAnswer(error=error.problem)
    except Exception as error:
        log.exception("version of checkpoint %s", name)
        version = CheckpointAnswer(error=problem("internal-error", f"{type(error).__name__}"))
    new = [(stamp, digest) for stamp, digest in checkpoint_files.digests.items() if stamp not in known]
    return json.dumps({"answer": version.model_dump_json(), "digests": new})


def _fit_json(name: str, model: str, version: CheckpointAnswer, location: str | None) -> str:
    """Return the answer, as JSON, and for how many seconds it may be kept."""
    torch.set_num_threads(1)  # the audits need the cores
    error = None
    keep_s = KEEP_FIT_S
    try:
        # First of all, since this reads a bucket in a child, and the bucket's client works on one side of a fork.
        outline = checkpoints.open_outline(name, location)
        limit_memory(machine_memory_bytes() // 4)
        check_fit(model, outline)
    except AuditError as raised:
        error = raised.problem
        # The limits of time and memory also depend on what else the machine does.
        keep_s = KEEP_FIT_S if error.type.endswith(SURE) else KEEP_DOUBT_S
        if not error.type.endswith((*SURE, "weights-unsafe")):
            error = None  # it says nothing of the file, so the audit may do better
    except Exception:
        log.exception("whether checkpoint %s fits %s", name, model)
        keep_s = KEEP_DOUBT_S
    try:
        replaced = checkpoints.version(name, location) != version.version
    except AuditError:
        replaced = True
    if replaced:
        detail = "It was replaced while it was read. Ask for the audit again."
        error, keep_s = checkpoint_files.refused("checkpoint-replaced", name, detail).problem, 0
    return json.dumps((version.model_copy(update={"error": error}).model_dump_json(), keep_s))


@cache
def _software() -> str:
    """A digest of the versions of all that decides whether a checkpoint fits."""
    versions = [__version__, torch.__version__, *(zoo.VERSION for zoo in ZOOS.values())]
    return hashlib.sha256(" ".join(map(str, versions)).encode()).hexdigest()[:16]
