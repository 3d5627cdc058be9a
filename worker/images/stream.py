"""The images of a sample as batches of pixels. Other processes decode them ahead."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor

from worker.errors import AuditError
from worker.images.canvas import Canvas, Preprocessing
from worker.images.dataset import Sample
from worker.images.decoding import canvases, default_processes

MAX_SKIPPED = 0.01
"""The largest share of a sample that may be undecodable; beyond it the audit fails."""


class Stream:
    """The images of a sample on square canvases of ``side`` pixels, in one random order, for any number of passes.

    ``processes`` is how many processes decode (default: one less than there are cores, at most 8).
    """

    def __init__(self, sample: Sample, preprocessing: Preprocessing, side: int, processes: int | None = None) -> None:
        self.sample: Final = sample
        self.side: Final = side
        self._skipped: tuple[str, ...] = ()
        self._reasons: dict[str, str] = {}
        self._skipped_after: dict[int | None, tuple[str, ...]] = {}
        processes = default_processes() if processes is None else processes
        self._decoded = canvases(sample.shuffled(), sample.load, preprocessing, side, processes=processes)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The names of the images that the latest pass could not decode."""
        return self._skipped

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[Tensor]:
        """Yield the pixels of one pass, (N, side, side, 3) uint8; N is ``batch_size`` except in the last batch.

        The pass ends after ``limit`` images, or with the sample. It raises AuditError when more than 1 in 100 images
        cannot be decoded, or when it skips other images than an earlier pass did: scores of different images could not
        be compared.
        """
        self._skipped = ()
        images = 0
        batch: list[Canvas] = []
        for name, canvas in self._decoded:
            if isinstance(canvas, str):
                self._skipped += (name,)
                self._reasons[name] = canvas
                self._check_share_of_skipped()
                continue
            batch.append(canvas)
            images += 1
            if len(batch) == batch_size or images == limit:
                self._check_same_skipped(images)
                yield torch.from_numpy(np.stack(batch))
                batch.clear()
            if images == limit:
                return
        self._check_same_skipped(None)
        if batch:
            yield torch.from_numpy(np.stack(batch))

    def _check_share_of_skipped(self) -> None:
        if len(self._skipped) > MAX_SKIPPED * len(self.sample.names):
            chosen = "1 chosen image" if len(self.sample.names) == 1 else f"{len(self.sample.names)} chosen images"
            some = "; ".join(f"{name} ({self._reasons[name]})" for name in self._skipped[:5])
            detail = (
                f"More than 1 in 100 of the {chosen} cannot be decoded, among them: {some}. "
                "Replace them, or configure another folder."
            )
            raise AuditError("undecodable-images", detail)

    def _check_same_skipped(self, images: int | None) -> None:
        """Check that this pass has skipped the same images as earlier ones, up to image number ``images``, or up to the
        last one (None)."""
        if self._skipped_after.setdefault(images, self._skipped) != self._skipped:
            detail = "Images became unreadable, or readable, while they were being measured; try again."
            raise AuditError("dataset-changed", detail)
