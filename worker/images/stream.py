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
    """The images of ``sample`` as canvases of ``side`` pixels. ``skipped`` names those that the latest pass could not
    decode."""

    def __init__(self, sample: Sample, preprocessing: Preprocessing, side: int, processes: int | None = None) -> None:
        self.sample = sample
        self.side = side
        self.skipped: tuple[str, ...] = ()
        self._passed: dict[int | None, tuple[str, ...]] = {}
        processes = min(8, max(1, (os.cpu_count() or 1) - 1)) if processes is None else processes
        self._decoded = canvases(sample.shuffled(), sample.load, preprocessing, side, processes=processes)

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[Tensor]:
        """Pass over the images, or the first ``limit`` of them: yield pixels (N, side, side, 3) uint8, with
        N = ``batch_size`` except for the last batch.

        Raises AuditError when more than 1 in 100 images cannot be decoded, or when a later pass skips other images than
        the first, since transforms could not be compared then.
        """
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
            if len(batch) == batch_size or images == limit:
                self._agree(images)
                yield torch.from_numpy(np.stack(batch))
                batch.clear()
            if images == limit:
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
