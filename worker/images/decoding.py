"""Decode images to canvases in other processes, ahead of the measuring."""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

from PIL import UnidentifiedImageError

from worker.errors import ProcessDied, own_words
from worker.images.canvas import Canvas, Preprocessing, canvas
from worker.images.dataset import Load
from worker.processes import die_with_parent

PREFETCH = 8
"""How many canvases each decoding process keeps ready."""

_DEATH = re.compile(r"DataLoader worker \(pid.*?\) (?:is killed by signal: (?P<signal>[^.]+)|exited unexpectedly)")

Item = TypeVar("Item")

_log = logging.getLogger(__name__)


def canvases(
    names: Sequence[str], load: Load, preprocessing: Preprocessing, canvas_size: int, *, processes: int
) -> Iterable[tuple[str, Canvas | str]]:
    """Return an iterable of (name, canvas) in the order of ``names``, which can be iterated any number of times.

    Names are made printable. In place of the canvas of an image that cannot be decoded is the reason why not.

    ``load`` loads an image by name. ``processes`` other processes decode ahead (0: this process decodes one at a time).
    They start with the first iteration, serve later ones as well, and end when the returned object is deleted or
    this process ends. Memory does not grow with the number of names.
    """
    decoded = _Canvases(names, load, preprocessing, canvas_size)
    processes = min(processes, cores())
    if processes <= 0:
        return decoded

    # Imported here: without other processes, decoding needs no torch.
    import torch
    from torch.utils.data import DataLoader

    return DataLoader(
        cast(Any, decoded),
        batch_size=None,
        num_workers=processes,
        prefetch_factor=PREFETCH,
        multiprocessing_context="fork",
        persistent_workers=True,
        # Arrays go through pipes as they are: tensors would go through /dev/shm, which is tiny in containers.
        collate_fn=_unchanged,
        worker_init_fn=partial(_end_with, os.getpid()),
        # A generator of its own, or the loader would draw from torch's global one.
        generator=torch.Generator(),
    )


def default_processes(workers: int = 1) -> int:
    """Return how many processes decode for each of so many ``workers`` on this machine, unless the operator says it.

    That is one for each core of the worker's share but one, in which the worker itself runs; and at most 8.
    """
    return min(8, max(1, cores() // workers - 1))


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def naming_deaths() -> Iterator[None]:
    """Within this context, raise ProcessDied when a decoding process was killed.

    torch then raises a RuntimeError out of whatever the main thread happens to do, so the context must be around
    everything that is done between two images, too.
    """
    try:
        yield
    except Exception as error:
        if death := _death(error):
            by_signal = f", killed by the signal {death['signal']!r}" if death["signal"] else ""
            raise ProcessDied(
                f"A process that decodes images died{by_signal}. Memory may have run out: ask for the audit again, and "
                "if it happens again, give the machine more memory or take the largest images out of the data set."
            ) from error
        raise


def _death(error: BaseException | None) -> re.Match[str] | None:
    """Return what says in ``error``, or in what it came from, that a decoding process died, with the signal if it is
    known; None if nothing does."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    deaths = [match for link in chain if isinstance(link, RuntimeError) and (match := _DEATH.search(str(link)))]
    return max(deaths, key=lambda death: death["signal"] is not None, default=None)


class _Canvases:
    """A sequence of (name, canvas), each decoded when it is indexed."""

    def __init__(self, names: Sequence[str], load: Load, preprocessing: Preprocessing, canvas_size: int) -> None:
        self.names = names
        self.load = load
        self.preprocessing = preprocessing
        self.canvas_size = canvas_size

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, Canvas | str]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> tuple[str, Canvas | str]:
        name = self.names[index]
        # Bytes in a file's name that are not UTF-8 would fit in no report.
        printable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        try:
            return printable, canvas(self.load(name), self.preprocessing, self.canvas_size)
        except Exception as error:  # A decoder can raise anything; the audit counts and names what it skips.
            _log.warning("%s cannot be decoded: %s: %s", printable, type(error).__name__, error)
            return printable, _reason(error)


def _reason(error: Exception) -> str:
    """Say in a few words, and without the path of a file, why an image cannot be decoded."""
    match error:
        case UnidentifiedImageError():
            return "it is no image of a format that is read here"
        case OSError() if error.strerror:
            return error.strerror
    return str(error) if type(error) in (OSError, ValueError) and str(error) else own_words(error)


def _end_with(parent: int, _: int) -> None:
    """Make a decoding process end with its ``parent``; torch's own watch lets it hang on a full pipe."""
    die_with_parent(parent)


def _unchanged(item: Item) -> Item:
    return item
