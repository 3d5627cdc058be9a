"""What a batch makes a GPU do, recorded once as CUDA graphs and replayed for every batch of the same size.

A replay launches a whole forward pass with its statistics at once, where the host would otherwise launch hundreds of
kernels one by one and keep the GPU waiting.
"""

import logging
from collections.abc import Callable, Collection, Mapping

import torch

from worker.measure.transforms import Transform

log = logging.getLogger("zooaudit.worker")

Step = Callable[[], None]
Steps = Mapping[Transform | None, Step]


class BatchGraphs:
    """The graphs of the steps of a batch of ``batch_size`` images: one for each view.

    The first full batch runs without, which warms up what libraries set up once. The second is recorded. All later ones
    are replayed. Steps must read and write the same tensors each time. ``recorded`` is None until it has been tried.
    """

    def __init__(self, device: torch.device, batch_size: int) -> None:
        self._device = device
        self._batch_size = batch_size
        self._warm = False
        self._graphs: dict[Transform | None, torch.cuda.CUDAGraph] = {}
        self.recorded: bool | None = None

    def steps(self, steps: Steps, images: int) -> Collection[Step]:
        """Return what to call in place of ``steps``, for a batch of so many ``images``."""
        if self._device.type != "cuda" or images != self._batch_size:
            return steps.values()
        if self._warm and self.recorded is None:
            self._record(steps)
        self._warm = True
        return [self._graphs[key].replay for key in steps] if self._graphs else steps.values()

    def _record(self, steps: Steps) -> None:
        """Record all steps; none of them is carried out. If one cannot be recorded, none is."""
        torch.cuda.synchronize(self._device)
        # Graphs have memory of their own, and no use for what is kept for work without graphs.
        torch.cuda.empty_cache()
        pool = torch.cuda.graph_pool_handle()
        graphs = {}
        try:
            for key, step in steps.items():
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, pool=pool):
                    step()
                graphs[key] = graph
        except RuntimeError as error:
            # A model may do what cannot be recorded, such as asking for a value; memory may be too small for both.
            log.info("this model is measured without CUDA graphs: %s", str(error).partition("\n")[0])
            self.recorded = False
            graphs.clear()
            torch.cuda.synchronize(self._device)
            torch.cuda.empty_cache()
        else:
            self.recorded = True
        self._graphs = graphs
