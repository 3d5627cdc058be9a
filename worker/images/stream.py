"""The images of a sample as batches of pixels, which are put together ahead of need."""

import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from threading import Event
from typing import Final

import torch
from torch import Tensor

from worker.errors import AuditError
from worker.images.canvas import Preprocessing
from worker.images.canvas_cache import CanvasCache
from worker.images.canvas_source import CanvasSource
from worker.images.dataset import Sample
from worker.images.decoding import default_processes

MAX_SKIPPED = 0.01
"""The largest share of a sample that may be undecodable; beyond it the audit fails."""


@dataclass(frozen=True)
class Batch:
    """Some images of one pass: ``pixels`` (N, side, side, 3) uint8, and ``places`` (N,) int64.

    The place of an image is its number in the shuffled sample, from 0, where undecodable images count, too.
    """

    pixels: Tensor
    places: Tensor

    @property
    def first(self) -> int:
        """The place of the first image."""
        return int(self.places.numpy()[0])

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class _Next:
    """The next batch of a pass, or None after the last one, and the names of the images skipped until then."""

    batch: Batch | None
    skipped: tuple[str, ...]


class Stream:
    """The images of a sample on square canvases of ``side`` pixels, in one random order, for any number of passes.

    ``processes`` is how many processes decode (default: one less than there are cores, at most 8). What they decode is
    kept in the ``cache`` for later passes and later streams. With ``pinned``, pixels lie in memory from which a GPU
    copies while this process goes on.
    """

    def __init__(
        self,
        sample: Sample,
        preprocessing: Preprocessing,
        side: int,
        processes: int | None = None,
        *,
        cache: CanvasCache | None = None,
        pinned: bool = False,
    ) -> None:
        self.sample: Final = sample
        self.side: Final = side
        self._pinned = pinned
        self._skipped: tuple[str, ...] = ()
        self._readable: dict[int, bool] = {}
        self._latest_pass: Callable[[], Generator[Batch, None, None] | None] = lambda: None
        processes = default_processes() if processes is None else processes
        self._source = CanvasSource(sample, preprocessing, side, processes, cache)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The names of the images that the latest pass could not decode."""
        return self._skipped

    def batches(
        self, batch_size: int, limit: int | None = None, borders: Iterable[int] = ()
    ) -> Generator[Batch, None, None]:
        """Yield the images of one pass, ``batch_size`` at a time, and fewer at the end and before a border.

        ``borders`` are places: no batch holds images of places before one and images of places from it on. The pass
        ends after ``limit`` images, or with the sample. It raises AuditError when more than 1 in 100 images cannot be
        decoded, or when it skips other images than an earlier pass did: scores of different images could not be
        compared.

        While a batch is used, a thread puts the next one together. A pass that has not ended ends when another begins.
        """
        if (former := self._latest_pass()) is not None:
            former.close()
        batches = self._one_pass(batch_size, limit, borders)
        self._latest_pass = weakref.ref(batches)
        return batches

    def _one_pass(self, batch_size: int, limit: int | None, borders: Iterable[int]) -> Generator[Batch, None, None]:
        self._skipped = ()
        given_up = Event()
        with (
            closing(self._assembled(batch_size, limit, {*borders, len(self.sample.names)}, given_up)) as assembled,
            ThreadPoolExecutor(1, "assemble") as thread,
        ):
            # The first one in this thread: the decoding processes end with the thread that starts them.
            latest = next(assembled, None)
            try:
                while latest is not None:
                    coming = thread.submit(next, assembled, None)
                    self._skipped = latest.skipped
                    if latest.batch is not None:
                        yield latest.batch
                    latest = coming.result()
            finally:
                given_up.set()

    def _assembled(
        self, batch_size: int, limit: int | None, ends: set[int], given_up: Event
    ) -> Generator[_Next, None, None]:
        """Yield the batches of a pass, which end where ``ends`` says, until the pass is ``given_up``."""
        skipped: list[tuple[str, str]] = []
        images = 0
        places: list[int] = []
        with closing(self._source.one_pass(limit)) as canvases:
            for place, (name, canvas) in enumerate(canvases):
                if given_up.is_set():
                    return
                self._check_same_readable(place, not isinstance(canvas, str))
                if isinstance(canvas, str):
                    skipped.append((name, canvas))
                    self._check_share_of(skipped)
                else:
                    if not places:
                        pixels = self._empty(min(batch_size, len(self.sample.names) - place))
                    # By numpy: torch would start threads of its own for this thread, beside those that measure.
                    pixels.numpy()[len(places)] = canvas
                    places.append(place)
                    images += 1
                if places and (len(places) == batch_size or images == limit or place + 1 in ends):
                    batch = Batch(pixels[: len(places)], torch.tensor(places))
                    yield _Next(batch, tuple(name for name, _ in skipped))
                    # Not kept while the next one is put together.
                    del pixels, batch
                    places = []
                if images == limit:
                    return
        yield _Next(None, tuple(name for name, _ in skipped))

    def _empty(self, images: int) -> Tensor:
        return torch.empty((images, self.side, self.side, 3), dtype=torch.uint8, pin_memory=self._pinned)

    def _check_share_of(self, skipped: Sequence[tuple[str, str]]) -> None:
        if len(skipped) > MAX_SKIPPED * len(self.sample.names):
            chosen = "1 chosen image" if len(self.sample.names) == 1 else f"{len(self.sample.names)} chosen images"
            some = "; ".join(f"{name} ({reason})" for name, reason in skipped[:5])
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
