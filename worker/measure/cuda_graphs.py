"""What a batch makes a GPU do, recorded once as CUDA graphs and replayed for every batch of the same size.

A replay launches a whole forward pass with its statistics at once, where the host would otherwise launch hundreds of
kernels one by one and keep the GPU waiting.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any

import torch

from worker.measure.transforms import Transform

log = logging.getLogger("zooaudit.worker")

Step = Callable[[], None]
Steps = Mapping[Transform | None, Step]


PAYS = 0.9
"""Graphs are used where a replay takes less than this share of the time that the launches one by one take."""


class BatchGraphs:
    """The graphs of the steps of a batch of ``batch_size`` images: one for each view.

    The first full batch runs without, which warms up what libraries set up once. The second shows how long its first
    step takes, the third how long a replay of it takes. From the fourth on all steps are replayed, if that is faster:
    a GPU that is busy all the time gains nothing, and recording takes seconds. Steps must read and write the same
    tensors each time. ``recorded`` is None until it has been tried.
    """

    def __init__(self, device: torch.device, batch_size: int) -> None:
        self._device = device
        self._batch_size = batch_size
        self._batches = 0
        self._seconds: list[float] = []
        self._graphs: dict[Transform | None, torch.cuda.CUDAGraph] = {}
        self.recorded: bool | None = None

    def steps(self, steps: Steps, images: int) -> Collection[Step]:
        """Return what to call in place of ``steps``, for a batch of so many ``images``."""
        if self._device.type != "cuda" or images != self._batch_size:
            return steps.values()
        self._batches += 1
        first = next(iter(steps))
        if self._batches == 3:
            self._record({first: steps[first]})
        elif self._batches == 4 and self._graphs:
            launched_s, replayed_s = self._seconds
            self.recorded = replayed_s < PAYS * launched_s
            if self.recorded:
                self._record({key: step for key, step in steps.items() if key != first})
            else:
                self._graphs.clear()
        now = [self._graphs[key].replay if key in self._graphs else step for key, step in steps.items()]
        return [lambda: self._time(now[0]), *now[1:]] if self._batches in (2, 3) else now

    def _time(self, step: Step) -> None:
        torch.cuda.synchronize(self._device)
        began_s = time.perf_counter()
        step()
        torch.cuda.synchronize(self._device)
        self._seconds.append(time.perf_counter() - began_s)

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
