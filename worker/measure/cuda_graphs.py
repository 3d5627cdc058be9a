"""What a batch makes a GPU do, recorded once as CUDA graphs and replayed for every batch of the same size.

A replay launches a whole forward pass with its statistics at once, where the host would otherwise launch hundreds of
kernels one by one and keep the GPU waiting.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import torch

from worker.measure.transforms import Transform

log = logging.getLogger("zooaudit.worker")

Step = Callable[[], None]
Steps = Mapping[Transform | None, Step]


PAYS = 0.9
"""Graphs are used where a replay takes less than this share of the time that the launches one by one take."""
TRIED = 2
"""The step that is timed. The one before has warmed up what libraries set up once for either."""


class BatchGraphs:
    """The graphs of the steps of a batch of ``batch_size`` images: one for each view.

    In the first full batch one step is timed, and in the second its replay. If that is faster, all steps are replayed
    from then on: a GPU that is busy all the time gains nothing, and recording takes seconds. Steps must read and write
    the same tensors each time, and the first one makes what the others read. ``recorded`` is None until it has been
    tried, which takes two full batches of three steps or more.
    """

    def __init__(self, device: torch.device, batch_size: int) -> None:
        self._device = device
        self._batch_size = batch_size
        self._batches = 0
        self._launched_s = 0.0
        self._graphs: dict[Transform | None, torch.cuda.CUDAGraph] = {}
        self.recorded: bool | None = None

    def steps(self, steps: Steps, images: int) -> Iterable[Step]:
        """Return what to call in place of ``steps``, one after another, for a batch of so many ``images``."""
        if self._device.type != "cuda" or images != self._batch_size or len(steps) <= TRIED:
            return steps.values()
        self._batches += 1
        if self._batches == 1:
            return self._first_batch(steps)
        if self._batches == 2:
            return self._second_batch(steps)
        if not self.recorded:
            self._graphs.clear()
        return [self._replay(key, step) for key, step in steps.items()]

    def _first_batch(self, steps: Steps) -> Iterator[Step]:
        def timed() -> None:
            self._launched_s = self._time(list(steps.values())[TRIED])

        for index, step in enumerate(steps.values()):
            yield timed if index == TRIED else step

    def _second_batch(self, steps: Steps) -> Iterator[Step]:
        first, *rest = steps
        tried = rest.pop(TRIED - 1)

        def timed() -> None:
            replayed_s = self._time(self._replay(tried, steps[tried]))
            self.recorded = bool(self._graphs) and replayed_s < PAYS * self._launched_s

        # Recording the first step again later would make the others read what that recording has not computed yet.
        self._record({first: steps[first]})
        yield self._replay(first, steps[first])
        if self._graphs:
            self._record({tried: steps[tried]})
        yield timed
        if self.recorded:
            self._record({key: steps[key] for key in rest})
        yield from (self._replay(key, steps[key]) for key in rest)

    def _replay(self, key: Transform | None, step: Step) -> Step:
        return self._graphs[key].replay if key in self._graphs else step

    def _time(self, step: Step) -> float:
        """Return how many seconds ``step`` takes."""
        torch.cuda.synchronize(self._device)
        began_s = time.perf_counter()
        step()
        torch.cuda.synchronize(self._device)
        return time.perf_counter() - began_s

    def _record(self, steps: Steps) -> None:
        """Record ``steps``; none of them is carried out. If one cannot be recorded, no graph is used at all."""
        torch.cuda.synchronize(self._device)
        # Graphs have memory of their own, and no use for what is kept for work without graphs.
        torch.cuda.empty_cache()
        try:
            for key, step in steps.items():
                graph = torch.cuda.CUDAGraph()
                # Meanwhile another thread pins memory for the next batch, which a stricter mode would refuse it.
                with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                    step()
                self._graphs[key] = graph
        except RuntimeError as error:
            # A model may do what cannot be recorded, such as asking for a value; memory may be too small for both.
            log.info("this model is measured without CUDA graphs: %s", str(error).partition("\n")[0])
            self.recorded = False
            self._graphs.clear()
            torch.cuda.synchronize(self._device)
            torch.cuda.empty_cache()

    @cached_property
    def _pool(self) -> Any:
        """The memory that all graphs share."""
        return torch.cuda.graph_pool_handle()
