"""Decode images to canvases in other processes, ahead of the measuring."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from worker.images.canvas import Canvas, Preprocessing, canvas
from worker.images.dataset import Load
from worker.processes import die_with_parent

PREFETCH = 8
"""How many canvases each decoding process keeps ready."""

Item = TypeVar("Item")

_log = logging.getLogger(__name__)


def canvases(
    names: Sequence[str], load: Load, preprocessing: Preprocessing, canvas_size: int, *, processes: int
) -> Iterable[tuple[str, Canvas | None]]:
    """Return an iterable of (name, canvas) in the order of ``names``, which can be iterated any number of times.

    Names are made printable. The canvas is None for an image that cannot be decoded.

    ``load`` loads an image by name. ``processes`` other processes decode ahead (0: this process decodes one at a time).
    They start with the first iteration, serve later ones as well, and end when the returned object is deleted or
    this process ends. Memory does not grow with the number of names.
    """
    decoded = _Canvases(names, load, preprocessing, canvas_size)
    processes = min(processes, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else processes)
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


class _Canvases:
    """A sequence of (name, canvas), each decoded when it is indexed."""

    def __init__(self, names: Sequence[str], load: Load, preprocessing: Preprocessing, canvas_size: int) -> None:
        self.names = names
        self.load = load
        self.preprocessing = preprocessing
        self.canvas_size = canvas_size

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, Canvas | None]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> tuple[str, Canvas | None]:
        name = self.names[index]
        # Bytes in a file's name that are not UTF-8 would fit in no report.
        printable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        try:
            return printable, canvas(self.load(name), self.preprocessing, self.canvas_size)
        except Exception as error:  # A decoder can raise anything; the audit counts and names what it skips.
            _log.warning("%s cannot be decoded: %s: %s", printable, type(error).__name__, error)
            return printable, None


def _end_with(parent: int, _: int) -> None:
    """Make a decoding process end with its ``parent``; torch's own watch lets it hang on a full pipe."""
    die_with_parent(parent)


def _unchanged(item: Item) -> Item:
    return item
