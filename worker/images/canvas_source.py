"""The canvases of a sample, pass after pass: read from the cache as far as it has them, else decoded and kept there."""

from collections.abc import Generator

from worker.images.canvas import Canvas, Preprocessing
from worker.images.canvas_cache import CanvasCache, CanvasWriter, KeptCanvases, name_of_entry
from worker.images.dataset import Sample
from worker.images.decoding import Canvases


class CanvasSource:
    """The canvases of ``sample`` in its shuffled order, for any number of passes."""

    def __init__(
        self, sample: Sample, preprocessing: Preprocessing, side: int, processes: int, cache: CanvasCache | None
    ) -> None:
        self._sample = sample
        self._preprocessing = preprocessing
        self._side = side
        self._decoded = Canvases(sample.shuffled(), sample.load, preprocessing, side, processes=processes)
        self._cache = cache if cache is not None and cache.gib > 0 else None
        self._entry = ""
        self._kept: KeptCanvases | None = None

    def one_pass(self, limit: int | None) -> Generator[tuple[str, Canvas | str], None, None]:
        """Yield the name of each image with its canvas, or with the reason why it has none. ``limit`` images suffice.

        Ask for the first one in the thread that lives longest: decoding processes end with the thread that starts them.
        """
        if self._cache is None:
            yield from self._decoded
        else:
            yield from self._through(self._cache, limit)

    def _through(self, cache: CanvasCache, limit: int | None) -> Generator[tuple[str, Canvas | str], None, None]:
        self._entry = self._entry or name_of_entry(self._sample, self._preprocessing, self._side)
        places = len(self._decoded)
        if self._kept is None or len(self._kept) < places:
            self._kept = cache.find(self._entry, self._side) or self._kept
        kept = self._kept
        known = 0 if kept is None else len(kept)
        suffices = known == places or (kept is not None and limit is not None and limit <= kept.images)
        # Even if kept canvases come first, decoding begins now.
        decoded = iter(()) if suffices else self._decoded.beginning_at(known)
        for place, canvas in enumerate(kept or ()):
            if canvas is None:
                # It is decoded here, for a thread in the middle of a pass starts no processes. The next pass does.
                if self._kept is not None:
                    cache.remove(self._entry, f"the canvas of place {place} is not what was written")
                    self._kept = None
                canvas = self._decoded[place][1]
            yield self._decoded.name(place), canvas
        writer = CanvasWriter(cache, self._entry, self._side, places, kept)
        try:
            for name, canvas in decoded:
                writer.add(canvas)
                yield name, canvas
        finally:
            writer.publish()
