"""The processes beside a worker that answer the service's questions: started, watched, and replaced when they fail."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkProcess
from multiprocessing.sharedctypes import RawValue
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from zooaudit.contract import TROUBLES_KEY

from worker.children import FORK, KILL_WAIT_S
from worker.processes import start_as_child

log = logging.getLogger("zooaudit.worker")

POLL_S = 5
"""How long one wait for a question lasts, and the pause after an error of Redis."""
SILENCE_LIMIT_S = 60.0
"""A process that gives no sign of life for this long is replaced: several times what a call of Redis may take."""
TROUBLE_S = 60.0
"""How long the service's health tells of a failure."""

Beat = Callable[[], None]
"""Gives a sign of life."""


def _silent() -> Any:
    return RawValue("d", 0.0)  # without a lock, which a process that dies would keep


@dataclass
class SideProcess:
    """A process that ``task`` describes ("finds depths"). ``run`` is what it does, and gives signs of life by its
    argument."""

    task: str
    run: Callable[[Beat], None]
    process: ForkProcess | None = None
    seen_s: Any = field(default_factory=_silent)

    def start(self) -> None:
        self.beat()
        self.process = FORK.Process(target=_begin, args=(self.run, self.beat, os.getpid()))
        self.process.start()

    def beat(self) -> None:
        self.seen_s.value = time.monotonic()

    def failure(self) -> str | None:
        """Say how the process has failed; None while it lives."""
        assert self.process is not None
        if (code := self.process.exitcode) is not None:
            return f"died (signal {-code})" if code < 0 else f"ended (status {code})"
        return "hung" if time.monotonic() - self.seen_s.value > SILENCE_LIMIT_S else None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join(KILL_WAIT_S)


def _begin(run: Callable[[Beat], None], beat: Beat, parent: int) -> None:
    start_as_child(parent)
    run(beat)


class SideProcesses:
    """The processes beside one worker. Only its main thread may call these methods, since they fork."""

    def __init__(self, processes: Sequence[SideProcess]) -> None:
        self._processes = processes

    def start(self) -> None:
        for one in self._processes:
            one.start()

    def look_after(self, redis: Any) -> None:
        """Replace the processes that have died or hang, and tell the service's health. Call this every few seconds."""
        for one in self._processes:
            if failure := one.failure():
                one.kill()
                one.start()
                tell(redis, f"The process of a worker that {one.task} {failure}; it was started again.")

    def kill(self) -> None:
        for one in self._processes:
            one.kill()


def tell(redis: Any, trouble: str) -> None:
    """Log a sentence about what goes wrong here, and show it in the service's health for TROUBLE_S seconds."""
    log.warning("%s", trouble)
    show(redis, trouble)


def show(redis: Any, trouble: str) -> None:
    """Show a sentence about what goes wrong here in the service's health for TROUBLE_S seconds."""
    now_s = time.time()
    try:
        with redis.pipeline() as pipe:
            pipe.zremrangebyscore(TROUBLES_KEY, "-inf", now_s)
            pipe.zadd(TROUBLES_KEY, {trouble: now_s + TROUBLE_S})
            pipe.execute()
    except RedisError as error:
        log.warning("health cannot tell of it: Redis: %s", error)


def show_at(redis_url: str, trouble: str) -> None:
    """Show a sentence in the service's health, like :func:`show`, if the Redis at ``redis_url`` answers at once."""
    with Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)) as redis:
        show(redis, trouble)


def serve(redis_url: str, answer_next: Callable[[Any], None], beat: Beat) -> None:
    """Call ``answer_next(redis)`` again and again, which waits up to POLL_S for a question, and never end.

    A Redis that is away or refuses is waited for; the log tells of each new reason once. Any other error is a bug: it
    is logged, and costs no more than the one question.
    """
    # No second tries: the loop itself tries again, and must give signs of life meanwhile.
    retry = Retry(NoBackoff(), 0)
    redis: Any = Redis.from_url(redis_url, socket_timeout=3 * POLL_S, socket_connect_timeout=POLL_S, retry=retry)
    reason = ""
    while True:
        beat()
        try:
            answer_next(redis)
            reason = ""
        except RedisError as error:
            if f"{error}" != reason:
                reason = f"{error}"
                log.warning("questions of the service wait for Redis: %s", reason)
            time.sleep(POLL_S)
        except Exception:
            log.exception("a question of the service")
            time.sleep(POLL_S)
