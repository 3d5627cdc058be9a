"""Jobs side by side, each in a process of its own, with their progress."""

import multiprocessing
import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from queue import Empty
from typing import Any, TypeVar

import torch

from experiments.progress import Steps
from worker.processes import start_as_child

Result = TypeVar("Result")
Job = Callable[[Steps], Result]
POLL_S = 0.2

_messages: "multiprocessing.Queue[tuple[str, float]] | None" = None
"""In a process of a job: where its progress goes."""


def run_all(jobs: Sequence[Job[Result]], shown: Steps, device: torch.device) -> list[Result]:
    """Run the jobs, which can be pickled, and return their results in the same order. Raises what a job raises.

    On a CPU, as many run at a time as there are cores, each with its share of them: small networks gain nothing from
    more threads, and lose much where others use the cores, too. On a GPU one job runs at a time.
    """
    cores = os.cpu_count() or 1
    processes = max(1, min(cores, len(jobs))) if device.type == "cpu" else 1
    context = multiprocessing.get_context("spawn")
    messages: multiprocessing.Queue[tuple[str, float]] = context.Queue()
    pool = ProcessPoolExecutor(processes, context, _begin, (messages, max(1, cores // processes), os.getpid()))
    try:
        futures = [pool.submit(_run, pickle.dumps(job)) for job in jobs]
        _follow(futures, messages, shown)
        return [future.result() for future in futures]
    except BaseException:
        for child in multiprocessing.active_children():  # or the others would be waited for
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _follow(
    futures: Sequence[Future[Result]], messages: "multiprocessing.Queue[tuple[str, float]]", shown: Steps
) -> None:
    """Show the progress of all jobs until they have ended, or one has failed."""
    while True:
        done = wait(futures, 0, FIRST_COMPLETED).done
        try:
            while message := messages.get(timeout=POLL_S):
                _show(message, shown)
        except Empty:
            pass
        if len(done) == len(futures) or any(future.exception() for future in done):
            return


def _show(message: tuple[str, float], shown: Steps) -> None:
    text, work = message
    if text:
        shown.begin(text)
    else:
        shown.add(work)


def _begin(messages: "multiprocessing.Queue[tuple[str, float]]", threads: int, parent: int) -> None:
    global _messages
    _messages = messages
    start_as_child(parent)
    torch.set_num_threads(threads)


def _run(pickled: bytes) -> Any:
    # Pickled beforehand, since torch would have the processes share the tensors, which needs the first one to answer.
    return pickle.loads(pickled)(_Sent())  # noqa: S301


class _Sent:
    """Sends the steps of a job to the process that shows them."""

    def begin(self, text: str) -> None:
        assert _messages is not None
        _messages.put((text, 0.0))

    def add(self, work: float) -> None:
        assert _messages is not None
        _messages.put(("", work))
