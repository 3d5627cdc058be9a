"""Find which blocks of a model an audit would measure, with their channels and map sizes, when the service asks.

This runs beside the audits, in its own process at low priority. That process builds each model, untrained, in a child,
since a large model may take all the memory there is. A worker that has run for a while also counts the parameters of
the models whose zoo does not state them, and adds them to the catalogue.
"""

import logging
import os
import platform
import sys
import time
import warnings
from dataclasses import asdict
from functools import partial
from multiprocessing.context import ForkProcess
from typing import Any

import torch
from redis import Redis
from redis.exceptions import RedisError
from zooaudit import __version__
from zooaudit.contract import CATALOGUE_KEY, DEPTHS_KEY, WANTED_DEPTHS_KEY, Catalogue, DepthBlock, ModelDepth

from worker import zoo
from worker.children import FORK, KILL_WAIT_S, ChildDied, ChildTimedOut, in_child, machine_memory_bytes
from worker.errors import AuditError
from worker.measure.forward import Subject, find_representations
from worker.processes import start_as_child
from worker.queue.side_processes import POLL_S, Beat, serve, tell
from worker.queue.worker import publish
from worker.zoo.catalogue import ZOOS

log = logging.getLogger("zooaudit.worker")

DEPTH_LIMIT_S = 300.0
"""The time limit for one model. Building it takes most of that."""
KEEP_S = 30 * 86_400
COUNT_AFTER_S = 60.0
"""How long a worker runs before it counts parameters. Building all architectures, even without memory for their
weights, keeps a core busy for minutes: too long for every start."""


def depth_of(name: str) -> ModelDepth:
    """Find the depth of the model ``name``, or the reason why it has none."""
    parameters = None
    try:
        source, architecture, _ = zoo.resolve(name)
        parameters = zoo.parameters(source, architecture)
        if 4 * parameters > machine_memory_bytes() / 4:
            gib = 4 * parameters / 2**30
            reason = f"Its weights take {gib:.1f} GiB: too much of this worker's memory for building it on the side."
            return ModelDepth(parameters=parameters, blocks=None, blocks_reason=reason)
        model = zoo.load(name, "untrained", lambda _progress: None)
        size = model.preprocessing.input_size
        subject = Subject(model.module, model.depth, (0.0,) * 3, (1.0,) * 3, "float32", torch.device("cpu"))
        blocks = tuple(DepthBlock(**asdict(representation)) for representation in find_representations(subject, size))
    except AuditError as error:
        return ModelDepth(parameters=parameters, blocks=None, blocks_reason=error.problem.detail)
    except Exception as error:
        log.exception("depth of %s", name)
        reason = f"It cannot be built and run: {type(error).__name__}: {error}"[:500]
        return ModelDepth(parameters=parameters, blocks=None, blocks_reason=reason)
    return ModelDepth(input_size=size, parameters=model.parameters, blocks=blocks)


def answer_service(redis_url: str, beat: Beat) -> None:
    """Answer questions for depths, one at a time, without end."""
    os.nice(10)
    serve(redis_url, partial(_answer_next, Counter(redis_url), beat), beat)


class Counter:
    """Counts the parameters of all models in a process of its own, once a worker has run for a while."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._next_s = time.monotonic() + COUNT_AFTER_S
        self._process: ForkProcess | None = None

    def start_when_due(self) -> None:
        if self._process is not None and self._process.exitcode not in (None, 0):
            self._process, self._next_s = None, time.monotonic() + COUNT_AFTER_S
        if self._process is None and time.monotonic() > self._next_s:
            self._process = FORK.Process(target=_run_counter, args=(self._redis_url, os.getpid()))
            self._process.start()

    def start_anew(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(KILL_WAIT_S)
        self._process = None


def _answer_next(counter: Counter, beat: Beat, redis: Any) -> None:
    versions_of_zoos = ", ".join(f"{source} {library.VERSION}" for source, library in ZOOS.items())
    versions = f"{__version__}, {versions_of_zoos}, {platform.machine()}"
    if redis.hget(DEPTHS_KEY, "versions") != versions.encode():
        redis.delete(DEPTHS_KEY)
        redis.hset(DEPTHS_KEY, "versions", versions)
        redis.expire(DEPTHS_KEY, KEEP_S)
        counter.start_anew()
    counter.start_when_due()
    if (question := redis.bzpopmin(WANTED_DEPTHS_KEY, timeout=POLL_S)) is None:
        return
    name = question[1].decode()
    if not redis.hexists(DEPTHS_KEY, name):
        redis.hset(DEPTHS_KEY, name, depth_in_child(name, redis, beat).model_dump_json())


def depth_in_child(name: str, redis: Any, beat: Beat = lambda: None) -> ModelDepth:
    """Find the depth of a model in a process that may die or be killed. Tells the service's health if it is."""
    try:
        return ModelDepth.model_validate_json(in_child(partial(_depth_json, name), DEPTH_LIMIT_S, beat))
    except ChildTimedOut as error:
        reason = f"Finding them {error}."
    except ChildDied as error:
        reason = f"The process that looked for them {error}; perhaps memory ran out."
    tell(redis, f"On a worker, the blocks of {name} could not be found. {reason}")
    return ModelDepth(blocks=None, blocks_reason=reason)


def _depth_json(name: str) -> str:
    torch.set_num_threads(1)  # the audits need the cores
    warnings.simplefilter("ignore")
    return depth_of(name).model_dump_json()


def _run_counter(redis_url: str, parent: int) -> None:
    start_as_child(parent)
    os.nice(10)
    try:
        count_parameters(Redis.from_url(redis_url, socket_timeout=3 * POLL_S))
    except RedisError as error:
        log.warning("parameters are counted later: Redis: %s", error)
        sys.exit(1)


def count_parameters(redis: Any) -> None:
    """Add the number of parameters to every entry of the published catalogue. Redis keeps what has been counted."""
    content = redis.hget(CATALOGUE_KEY, "json")
    if content is None:
        raise RedisError("the catalogue is not there yet")
    catalogue = Catalogue.model_validate_json(content)
    entries = []
    for entry in catalogue.entries:
        if entry.parameters is None and entry.source != "own":  # those are counted when they are first built
            field = f"parameters of {entry.name}"
            known = redis.hget(DEPTHS_KEY, field)
            parameters = int(known) if known else zoo.parameters(entry.source, entry.architecture)
            redis.hset(DEPTHS_KEY, field, parameters)
            entry = entry.model_copy(update={"parameters": parameters})
        entries.append(entry)
    publish(catalogue.model_copy(update={"entries": tuple(entries)}), redis)
