"""Several workers on one machine, each in a process of its own: started, watched, started again, stopped together."""

import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkProcess

from worker.children import FORK
from worker.devices import Share
from worker.processes import die_with_parent

log = logging.getLogger("zooaudit.worker")

MAX_DEATHS = 5
"""A worker that dies more often than this within DEATHS_WITHIN_S is not started again."""
DEATHS_WITHIN_S = 600.0
WRONG_SETTINGS = 2
"""The exit status of a worker whose settings cannot work."""
LOOK_EVERY_S = 0.2
REMIND_EVERY_S = 30.0
"""How often the service's health is told of a worker that is not started again; it forgets after a minute."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)

Run = Callable[[Share], int]
"""Runs one worker, in the process that calls it, and returns its exit status."""
Tell = Callable[[str], None]
"""Shows a sentence in the service's health for a minute."""


@dataclass
class _Worker:
    share: Share
    process: ForkProcess | None = None
    """None when it has ended and is not started again."""
    deaths: list[float] = field(default_factory=list)
    gone: str = ""
    """A sentence that says why it is not started again."""


@dataclass
class _Output:
    name: str
    begun: bytes = b""
    """The line that does not end yet."""


class Supervisor:
    """Runs a worker for each of ``shares``. One that dies is started again, unless it dies too often.

    This process computes nothing and never touches a GPU, since the workers are forks of it. It passes signals on, and
    writes the workers' output to standard error, each line after the name of its worker.
    """

    def __init__(self, shares: Sequence[Share], run: Run, tell: Tell) -> None:
        self._workers = [_Worker(share) for share in shares]
        self._run = run
        self._tell = tell
        self._outputs = selectors.DefaultSelector()
        self._received: list[int] = []
        self._stopping = False
        self._last_status = 0
        self._reminded_s = float("-inf")

    def work(self) -> int:
        """Run the workers until a signal stops them (0), or until each has died too often (1) or cannot work (2)."""
        for number in SIGNALS:
            signal.signal(number, lambda number, _frame: self._received.append(number))
        for worker in self._workers:
            self._start(worker)
        while any(worker.process for worker in self._workers):
            self._relay(LOOK_EVERY_S)
            self._pass_signals_on()
            self._look_after()
            self._remind()
        while self._relay(0):
            pass
        return 0 if self._stopping else 2 if self._last_status == WRONG_SETTINGS else 1

    def _start(self, worker: _Worker) -> None:
        ours, theirs = os.pipe()
        arguments = (worker.share, self._run, theirs, os.getpid())
        worker.process = FORK.Process(target=_begin, args=arguments)
        # Until the worker has handlers of its own, a signal would be noted in its copy of this object, and lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        worker.process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.close(theirs)
        self._outputs.register(ours, selectors.EVENT_READ, _Output(worker.share.name))

    def _relay(self, wait_s: float) -> bool:
        """Write out what the workers have written, and return whether they had. Waits for it up to ``wait_s`` s."""
        ready = self._outputs.select(wait_s)
        for key, _ in ready:
            output: _Output = key.data
            content = os.read(key.fd, 65536)
            *lines, output.begun = (output.begun + content).split(b"\n")
            if not content:
                self._outputs.unregister(key.fd)
                os.close(key.fd)
                lines = [output.begun] if output.begun else []
            with suppress(OSError):  # nobody reads any more, which must not end the workers
                for line in lines:
                    sys.stderr.buffer.write(b"%s | %s\n" % (output.name.encode(), line))
                sys.stderr.buffer.flush()
        return bool(ready)

    def _pass_signals_on(self) -> None:
        while self._received:
            number = self._received.pop(0)
            self._stopping = True
            for worker in self._workers:
                if worker.process is not None and worker.process.exitcode is None:
                    os.kill(worker.process.pid or 0, number)

    def _look_after(self) -> None:
        for worker in self._workers:
            if worker.process is None or (status := worker.process.exitcode) is None:
                continue
            worker.process = None
            if not self._stopping:
                self._replace(worker, status)

    def _replace(self, worker: _Worker, status: int) -> None:
        now_s = time.monotonic()
        worker.deaths = [then_s for then_s in worker.deaths if now_s - then_s < DEATHS_WITHIN_S] + [now_s]
        self._last_status = status
        count, name = len(worker.deaths), worker.share.name
        how = f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"
        if status == WRONG_SETTINGS:
            worker.gone = f"The worker on {name} cannot work with its settings and is not started again; see its log."
        elif count > MAX_DEATHS:
            often = f"{count} times within {DEATHS_WITHIN_S / 60:.0f} minutes"
            worker.gone = f"The worker on {name} has died {often} ({how}) and is not started again; see its log."
        if worker.gone:
            log.error(worker.gone)
            self._reminded_s = float("-inf")
            return
        trouble = f"The worker on {name} has died ({how}) and is started again."
        log.warning(trouble)
        self._start(worker)
        self._tell(trouble)

    def _remind(self) -> None:
        """Tell the service's health every now and then of the workers that are not started again."""
        now_s = time.monotonic()
        if now_s - self._reminded_s < REMIND_EVERY_S:
            return
        self._reminded_s = now_s
        for worker in self._workers:
            if worker.gone:
                self._tell(worker.gone)


def _begin(share: Share, run: Run, output: int, parent: int) -> None:
    """Be the process of one worker."""
    die_with_parent(parent)
    # A session of its own: Ctrl+C would reach it from the terminal, and once more from its parent.
    os.setsid()
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    sys.exit(run(share))
