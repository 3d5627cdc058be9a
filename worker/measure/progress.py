"""How far an audit is: count the images that went through a model, and estimate how long the rest will take."""

import time
from collections.abc import Callable, Sequence

from zooaudit.contract import Progress, Provisional

from worker.measure.scores import ScoreTable

OnProgress = Callable[[Progress], None]


class ForwardCounter:
    """Counts forward images, and tells ``on_progress`` after each forward pass how many of the ``total`` are ``done``.

    An image counts once for each of its views that goes through a model.

    ``summarise(table, groups)`` turns the scores known so far, over groups of images, into the
    provisional scores that the progress shows.
    """

    def __init__(
        self,
        total: int,
        on_progress: OnProgress,
        summarise: Callable[[ScoreTable, Sequence[int]], Provisional],
    ) -> None:
        self.done, self.total = 0, total
        self._on_progress = on_progress
        self._summarise = summarise
        self._provisional: Provisional | None = None
        self._start = time.perf_counter()

    def count(self, images: int) -> None:
        """Count ``images`` more forward images."""
        self.done += images
        left = max(0, self.total - self.done)
        eta_s = (time.perf_counter() - self._start) / self.done * left
        self._on_progress(
            Progress(phase="measuring", done=self.done, total=self.total, eta_s=eta_s, provisional=self._provisional)
        )

    def rewind(self, done: int) -> None:
        """Go back to ``done`` forward images, because those after them will be measured again."""
        self.done = done

    def show(self, table: ScoreTable, groups: Sequence[int]) -> None:
        """Show these scores, over ``groups`` of images, from the next forward pass on."""
        self._provisional = self._summarise(table, groups)
