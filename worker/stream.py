"""The chosen images as batches of pixels, decoded ahead in other processes; one stream can be passed over again."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from zooaudit.contract import problem

from worker.errors import AuditError
from worker.images import Preprocessing, Sample, canvases

MAX_SKIPPED = 0.01
"""The share of a sample that may be undecodable; more fails the audit."""


class Stream:
    """Iterating yields pixels (N, side, side, 3) uint8, N = ``batch_size`` but for the last batch.

    ``skipped`` names the images that could not be decoded, after a full pass. AuditError when they are more than 1 in
    100, or when a later pass finds other images than the first, since then transforms could not be compared.
    """

    def __init__(
        self, sample: Sample, preprocessing: Preprocessing, side: int, batch_size: int, processes: int | None = None
    ) -> None:
        self.sample = sample
        self.side = side
        self.batch_size = batch_size
        self.skipped: tuple[str, ...] | None = None
        processes = min(8, max(1, (os.cpu_count() or 1) - 1)) if processes is None else processes
        self._decoded = canvases(sample.names, sample.load, preprocessing, side, processes=processes)

    def __iter__(self) -> Iterator[Tensor]:
        skipped: list[str] = []
        batch: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
        for name, canvas in self._decoded:
            if canvas is None:
                skipped.append(name)
                self._refuse_many(skipped)
                continue
            batch.append(canvas)
            if len(batch) == self.batch_size:
                yield torch.from_numpy(np.stack(batch))
                batch.clear()
        if batch:
            yield torch.from_numpy(np.stack(batch))
        if self.skipped not in (None, tuple(skipped)):
            detail = "Images became unreadable, or readable, while they were being measured; try again."
            raise AuditError(problem("dataset-changed", "The data set changed", 409, detail))
        self.skipped = tuple(skipped)

    def _refuse_many(self, skipped: list[str]) -> None:
        if len(skipped) > MAX_SKIPPED * len(self.sample.names):
            detail = (
                f"More than 1 in 100 of the {len(self.sample.names)} chosen images cannot be decoded, "
                f"{', '.join(skipped[:5])} among them. Replace them, or configure another folder."
            )
            raise AuditError(problem("undecodable-images", "Too many images cannot be decoded", 422, detail))
