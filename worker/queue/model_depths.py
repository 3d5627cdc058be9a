"""Find which blocks of a model an audit would measure, with their channels and map sizes, when the service asks.

This runs beside the audits, in its own process at low priority. That process builds each model, untrained, in a child,
since a large model may take all the memory there is. A worker that has run for a while also counts the parameters of
the models whose zoo does not state them, and adds them to the catalogue.
"""

import logging
import multiprocessing
import os
import platform
import time
import warnings
from dataclasses import asdict
from multiprocessing.context import ForkProcess
from typing import Any

import torch
from redis import Redis
from redis.exceptions import RedisError
from zooaudit import __version__
from zooaudit.contract import CATALOGUE_KEY, DEPTHS_KEY, WANTED_DEPTHS_KEY, Catalogue, DepthBlock, ModelDepth

from worker import zoo
from worker.errors import AuditError
from worker.measure.forward import Subject, find_representations
from worker.processes import die_with_parent
from worker.queue.worker import publish
from worker.zoo.catalogue import ZOOS

log = logging.getLogger("zooaudit.worker")

FORK = multiprocessing.get_context("fork")

DEPTH_LIMIT_S = 300.0
"""The time limit for one model. Building it takes most of that."""
KEEP_S = 30 * 86_400
COUNT_AFTER_S = 60.0
"""How long a worker runs before it counts parameters. Building all architectures, even without memory for their
weights, keeps a core busy for minutes: too long for every start."""
POLL_S = 5
"""How long one wait for a question lasts, and the pause after an error of Redis."""


def depth_of(name: str) -> ModelDepth:
    """Find the depth of the model ``name``, or the reason why it has none."""
    parameters = None
    try:
        source, architecture, _ = zoo.resolve(name)
        parameters = zoo.parameters(source, architecture)
        if 4 * parameters > _memory_bytes() / 4:
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


def answer_service(redis_url: str) -> None:
    """Answer questions for depths, one at a time, until the process that started this one ends."""
    die_with_parent(os.getppid())
    os.nice(10)
    redis: Any = Redis.from_url(redis_url, socket_timeout=3 * POLL_S)
    versions_of_zoos = ", ".join(f"{source} {library.VERSION}" for source, library in ZOOS.items())
    versions = f"{__version__}, {versions_of_zoos}, {platform.machine()}"
    begun = time.monotonic()
    counter: ForkProcess | None = None
    while True:
        try:
            if redis.hget(DEPTHS_KEY, "versions") != versions.encode():
                redis.delete(DEPTHS_KEY)
                redis.hset(DEPTHS_KEY, "versions", versions)
                redis.expire(DEPTHS_KEY, KEEP_S)
                counter = None
            if counter is None and time.monotonic() > begun + COUNT_AFTER_S:
                counter = FORK.Process(target=_run_counter, args=(redis_url, os.getpid()))
                counter.start()
            if (question := redis.bzpopmin(WANTED_DEPTHS_KEY, timeout=POLL_S)) is None:
                continue
            name = question[1].decode()
            if not redis.hexists(DEPTHS_KEY, name):
                redis.hset(DEPTHS_KEY, name, _in_a_child(name).model_dump_json())
        except RedisError as error:
            log.warning("depths: Redis: %s", error)
            time.sleep(POLL_S)


def _in_a_child(name: str) -> ModelDepth:
    ours, theirs = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_send_depth, args=(name, theirs, os.getpid()))
    child.start()
    theirs.close()
    try:
        if ours.poll(DEPTH_LIMIT_S):
            return ModelDepth.model_validate_json(ours.recv())
        reason = f"Finding them took longer than {DEPTH_LIMIT_S:.0f} s."
    except EOFError:
        reason = "The process that looked for them died; perhaps memory ran out."
    finally:
        child.kill()
        child.join()
        ours.close()
    log.warning("depth of %s: %s", name, reason)
    return ModelDepth(blocks=None, blocks_reason=reason)


def _send_depth(name: str, pipe: Any, parent: int) -> None:
    die_with_parent(parent)
    torch.set_num_threads(1)  # the audits need the cores
    warnings.simplefilter("ignore")
    pipe.send(depth_of(name).model_dump_json())


def _run_counter(redis_url: str, parent: int) -> None:
    die_with_parent(parent)
    os.nice(10)
    count_parameters(Redis.from_url(redis_url))


def count_parameters(redis: Any) -> None:
    """Add the number of parameters to every entry of the published catalogue. Redis keeps what has been counted."""
    catalogue = Catalogue.model_validate_json(redis.hget(CATALOGUE_KEY, "json"))
    entries = []
    for entry in catalogue.entries:
        if entry.parameters is None:
            field = f"parameters of {entry.name}"
            known = redis.hget(DEPTHS_KEY, field)
            parameters = int(known) if known else zoo.parameters(entry.source, entry.architecture)
            redis.hset(DEPTHS_KEY, field, parameters)
            entry = entry.model_copy(update={"parameters": parameters})
        entries.append(entry)
    publish(catalogue.model_copy(update={"entries": tuple(entries)}), redis)


def _memory_bytes() -> int:
    """Return how much memory this machine has, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
