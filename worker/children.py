"""Work that may hang, die or take all memory, done in a child process that is killed at its limits."""

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.processes import start_as_child

FORK = multiprocessing.get_context("fork")

LOOK_EVERY_S = 1.0
KILL_WAIT_S = 5.0
"""How long a killed child may take to end: one that waits for a dead disk cannot be killed at all."""


class ChildTimedOut(Exception):
    """The child was killed at its limit; the message reads "took longer than 10 s"."""


class ChildDied(Exception):
    """The child ended without an answer, by ``signal`` if one ended it; the message reads "was ended by signal 9"."""

    def __init__(self, exit_code: int | None) -> None:
        self.signal = -exit_code if exit_code is not None and exit_code < 0 else None
        super().__init__(f"was ended by signal {self.signal}" if self.signal else "ended without an answer")


def in_child(work: Callable[[], str], limit_s: float, beat: Callable[[], None] = lambda: None) -> str:
    """Return what ``work()`` returns, computed in a fork of this process, which is killed after ``limit_s`` seconds.

    ``beat()`` is called about once a second meanwhile. Raises ChildTimedOut or ChildDied.
    """
    ours, theirs = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_send, args=(work, theirs, os.getpid()))
    child.start()
    theirs.close()
    deadline = time.monotonic() + limit_s
    try:
        while not ours.poll(max(0.0, min(LOOK_EVERY_S, deadline - time.monotonic()))):
            beat()
            if time.monotonic() >= deadline:
                raise ChildTimedOut(f"took longer than {limit_s:g} s")
        return ours.recv_bytes().decode()
    except EOFError:
        child.join(KILL_WAIT_S)
        raise ChildDied(child.exitcode) from None
    finally:
        child.kill()
        child.join(KILL_WAIT_S)
        ours.close()


def _send(work: Callable[[], str], pipe: Any, parent: int) -> None:
    start_as_child(parent)
    pipe.send_bytes(work().encode())


def limit_memory(more_bytes: int) -> None:
    """Let this process have no more than ``more_bytes`` of memory beyond what it has now. Works on Linux only."""
    if sys.platform != "linux":
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def machine_memory_bytes() -> int:
    """Return how much memory this machine has, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
