"""The images of a sample as batches of pixels. Other processes decode them ahead."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from worker.errors import AuditError
from worker.images.canvas import Canvas, Preprocessing
from worker.images.dataset import Sample
from worker.images.decoding import canvases

MAX_SKIPPED = 0.01
"""The largest share of a sample that may be undecodable; beyond it the audit fails."""


@dataclass(frozen=True)
class Batch:
    """Some images of one pass: ``pixels`` (N, side, side, 3) uint8, and ``places`` (N,) int64.

    The place of an image is its number in the shuffled sample, from 0, where undecodable images count, too.
    """

    pixels: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.places)


class Stream:
    """The images of a sample on square canvases of ``side`` pixels, in one random order, for any number of passes.

    ``processes`` is how many processes decode (default: one less than there are cores, at most 8). With ``pinned``,
    pixels lie in memory from which a GPU copies while this process goes on.
    """

    def __init__(
        self,
        sample: Sample,
        preprocessing: Preprocessing,
        side: int,
        processes: int | None = None,
        *,
        pinned: bool = False,
    ) -> None:
        self.sample: Final = sample
        self.side: Final = side
        self._pinned = pinned
        self._skipped: tuple[str, ...] = ()
        self._reasons: dict[str, str] = {}
        self._readable: dict[int, bool] = {}
        processes = min(8, max(1, (os.cpu_count() or 1) - 1)) if processes is None else processes
        self._decoded = canvases(sample.shuffled(), sample.load, preprocessing, side, processes=processes)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The names of the images that the latest pass could not decode."""
        return self._skipped

    def batches(self, batch_size: int, limit: int | None = None, borders: Iterable[int] = ()) -> Iterator[Batch]:
        """Yield the images of one pass, ``batch_size`` at a time, and fewer at the end and before a border.

        ``borders`` are places: no batch holds images of places before one and images of places from it on. The pass
        ends after ``limit`` images, or with the sample. It raises AuditError when more than 1 in 100 images cannot be
        decoded, or when it skips other images than an earlier pass did: scores of different images could not be
        compared.
        """
        ends = {*borders, len(self.sample.names)}
        self._skipped = ()
        images = 0
        batch: list[Canvas] = []
        places: list[int] = []
        for place, (name, canvas) in enumerate(self._decoded):
            self._check_same_readable(place, not isinstance(canvas, str))
            if isinstance(canvas, str):
                self._skipped += (name,)
                self._reasons[name] = canvas
                self._check_share_of_skipped()
            else:
                batch.append(canvas)
                places.append(place)
                images += 1
            if batch and (len(batch) == batch_size or images == limit or place + 1 in ends):
                yield self._batch(batch, places)
                batch, places = [], []
            if images == limit:
                return

    def _batch(self, canvases: list[Canvas], places: list[int]) -> Batch:
        pixels = torch.empty((len(canvases), self.side, self.side, 3), dtype=torch.uint8, pin_memory=self._pinned)
        np.stack(canvases, out=pixels.numpy())
        return Batch(pixels, torch.tensor(places))

    def _check_share_of_skipped(self) -> None:
        if len(self._skipped) > MAX_SKIPPED * len(self.sample.names):
            chosen = "1 chosen image" if len(self.sample.names) == 1 else f"{len(self.sample.names)} chosen images"
            some = "; ".join(f"{name} ({self._reasons[name]})" for name in self._skipped[:5])
            detail = (
                f"More than 1 in 100 of the {chosen} cannot be decoded, among them: {some}. "
                "Replace them, or configure another folder."
            )
            raise AuditError("undecodable-images", detail)

    def _check_same_readable(self, place: int, readable: bool) -> None:
        """Check that the image of ``place`` is readable now if and only if it was in earlier passes."""
        if self._readable.setdefault(place, readable) != readable:
            detail = "Images became unreadable, or readable, while they were being measured; try again."
            raise AuditError("dataset-changed", detail)
