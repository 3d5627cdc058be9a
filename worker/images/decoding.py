"""Decode images to canvases in other processes, ahead of the measuring."""

import logging
import os
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

from PIL import Image, UnidentifiedImageError

from worker.errors import FAULTS, ProcessDied, own_words, ran_out_of_memory
from worker.images.canvas import Canvas, Preprocessing, canvas
from worker.images.dataset import Load
from worker.processes import die_with_parent

PREFETCH = 8
"""How many canvases each decoding process keeps ready."""

_DEATH = re.compile(r"DataLoader worker \(pid.*?\) (?:is killed by signal: (?P<signal>[^.]+)|exited unexpectedly)")

_OF_BYTES = (*FAULTS, EOFError, SyntaxError, struct.error, Image.DecompressionBombError, Image.DecompressionBombWarning)

Item = TypeVar("Item")

_log = logging.getLogger(__name__)


class PassingFault(str):
    """The reason why an image cannot be decoded, if it may be decoded another time: not its bytes are at fault, but
    reading them."""


class Canvases:
    """The (name, canvas) of each of ``names``, in their order, which can be iterated any number of times.

    Names are made printable. In place of the canvas of an image that cannot be decoded is the reason why not.

    ``load`` loads an image by name. ``processes`` other processes decode ahead (0: this process decodes one at a time).
    They start with the first iteration, serve later ones as well, and end when this object is deleted or this process,
    or the thread that began the first iteration, ends. Memory does not grow with the number of names.
    """

    def __init__(
        self, names: Sequence[str], load: Load, preprocessing: Preprocessing, canvas_size: int, *, processes: int
    ) -> None:
        self._decoder = _Decoder(names, load, preprocessing, canvas_size)
        self._order = _Order(len(names))
        self._ahead = _ahead(self._decoder, self._order, min(processes, cores())) if processes > 0 else None

    def __len__(self) -> int:
        return len(self._decoder)

    def __iter__(self) -> Iterator[tuple[str, Canvas | str]]:
        return self.beginning_at(0)

    def __getitem__(self, place: int) -> tuple[str, Canvas | str]:
        """Decode the image of one place here and now."""
        return self._decoder[place]

    def beginning_at(self, place: int) -> Iterator[tuple[str, Canvas | str]]:
        """Iterate over the names from ``place`` on."""
        self._order.first = place
        return iter(map(self._decoder.__getitem__, self._order) if self._ahead is None else self._ahead)

    def name(self, place: int) -> str:
        """Return the name of a place in a printable form."""
        return printable(self._decoder.names[place])


def _ahead(decoder: "_Decoder", order: "_Order", processes: int) -> Iterable[tuple[str, Canvas | str]]:
    """Return an iterable of what ``decoder`` makes of the places of ``order``, in so many other processes."""
    # Imported here: without other processes, decoding needs no torch.
    import torch
    from torch.utils.data import DataLoader

    return DataLoader(
        cast(Any, decoder),
        batch_size=None,
        sampler=order,
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


def printable(name: str) -> str:
    """Return a name without bytes that are not UTF-8, which would fit in no report."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Order:
    """The places of a pass: from ``first`` to the last one."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.first = 0

    def __len__(self) -> int:
        return self.places - self.first

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.places))


class _Decoder:
    """A sequence of (name, canvas), each decoded when it is indexed."""

    def __init__(self, names: Sequence[str], load: Load, preprocessing: Preprocessing, canvas_size: int) -> None:
        self.names = names
        self.load = load
        self.preprocessing = preprocessing
        self.canvas_size = canvas_size

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, place: int) -> tuple[str, Canvas | str]:
        name = self.names[place]
        try:
            return printable(name), canvas(self.load(name), self.preprocessing, self.canvas_size)
        except Exception as error:  # A decoder can raise anything; the audit counts and names what it skips.
            _log.warning("%s cannot be decoded: %s: %s", printable(name), type(error).__name__, error)
            reason = _reason(error)
            return printable(name), reason if _lies_in_the_bytes(error) else PassingFault(reason)


def _reason(error: Exception) -> str:
    """Say in a few words, and without the path of a file, why an image cannot be decoded."""
    match error:
        case UnidentifiedImageError():
            return "it is no image of a format that is read here"
        case OSError() if error.strerror:
            return error.strerror
    return str(error) if type(error) in (OSError, ValueError) and str(error) else own_words(error)


def _lies_in_the_bytes(error: Exception) -> bool:
    """Tell whether the same bytes will always raise this error. Pillow's own OSErrors have no number."""
    if isinstance(error, OSError):
        return error.errno is None
    return isinstance(error, _OF_BYTES) and not ran_out_of_memory(error)


def _end_with(parent: int, _: int) -> None:
    """Make a decoding process end with its ``parent``; torch's own watch lets it hang on a full pipe."""
    die_with_parent(parent)


def _unchanged(item: Item) -> Item:
    return item
