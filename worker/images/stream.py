"""The chosen images as batches of pixels, decoded ahead in other processes; one stream can be passed over again."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from worker.errors import AuditError
from worker.images.canvas import Preprocessing
from worker.images.dataset import Sample
from worker.images.decoding import canvases

MAX_SKIPPED = 0.01
"""The share of a sample that may be undecodable; more fails the audit."""


class Stream:
    """Iterating yields pixels (N, side, side, 3) uint8, N = ``batch_size`` but for the last batch.

    A pass ends after ``limit`` images, if that is set. ``skipped`` names those that could not be decoded, after a pass.
    AuditError when they are more than 1 in 100, or when a later pass finds others than the first, since then
    transforms could not be compared.
    """

    def __init__(
        self, sample: Sample, preprocessing: Preprocessing, side: int, batch_size: int, processes: int | None = None
    ) -> None:
        self.sample = sample
        self.side = side
        self.batch_size = batch_size
        self.limit: int | None = None
        self.skipped: tuple[str, ...] = ()
        self._passed: dict[int | None, tuple[str, ...]] = {}
        processes = min(8, max(1, (os.cpu_count() or 1) - 1)) if processes is None else processes
        self._decoded = canvases(sample.shuffled(), sample.load, preprocessing, side, processes=processes)

    def __iter__(self) -> Iterator[Tensor]:
        self.skipped = ()
        images = 0
        batch: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
        for name, canvas in self._decoded:
            if canvas is None:
                self.skipped += (name,)
                self._refuse_many()
                continue
            batch.append(canvas)
            images += 1
            if len(batch) == self.batch_size or images == self.limit:
                self._agree(images)
                yield torch.from_numpy(np.stack(batch))
                batch.clear()
            if images == self.limit:
                return
        self._agree(None)
        if batch:
            yield torch.from_numpy(np.stack(batch))

    def _agree(self, images: int | None) -> None:
        if self._passed.setdefault(images, self.skipped) != self.skipped:
            detail = "Images became unreadable, or readable, while they were being measured; try again."
            raise AuditError("dataset-changed", detail)

    def _refuse_many(self) -> None:
        if len(self.skipped) > MAX_SKIPPED * len(self.sample.names):
            detail = (
                f"More than 1 in 100 of the {len(self.sample.names)} chosen images cannot be decoded, "
                f"{', '.join(self.skipped[:5])} among them. Replace them, or configure another folder."
            )
            raise AuditError("undecodable-images", detail)
