"""Decodes the chosen images to canvases, ahead of the measuring, in processes of their own.

Torch is imported only where those processes start.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from worker.images.canvas import Canvas, Preprocessing, canvas
from worker.images.dataset import Load
from worker.processes import die_with_parent

PREFETCH = 8
"""Canvases that each decoding process has ready."""

Item = TypeVar("Item")

_log = logging.getLogger(__name__)


def canvases(
    names: Sequence[str], load: Load, preprocessing: Preprocessing, canvas_size: int, *, processes: int
) -> Iterable[tuple[str, Canvas | None]]:
    """Each name, printable, with its canvas, in order; None in place of an image that cannot be decoded.

    ``processes`` others decode ahead (0: decode here, one at a time). They start when this is first iterated over,
    serve any later time too, and end when it is deleted or this process ends. Memory does not grow with the number of
    names.
    """
    decoded = _Canvases(names, load, preprocessing, canvas_size)
    processes = min(processes, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else processes)
    if processes <= 0:
        return decoded

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
    """What the decoding processes index: name and canvas of each image."""

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
        except Exception as error:  # A broken file can raise anything in a decoder; the audit counts and names it.
            _log.warning("%s cannot be decoded: %s: %s", printable, type(error).__name__, error)
            return printable, None


def _end_with(parent: int, _: int) -> None:
    """Runs first in a decoding process. Torch's own watch over the parent leaves it hanging on a pipe that is full."""
    die_with_parent(parent)


def _unchanged(item: Item) -> Item:
    return item
