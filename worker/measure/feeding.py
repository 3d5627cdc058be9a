"""Batches on their way to the device: the next one goes up while the last one is measured."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from worker.images.stream import Batch

AHEAD = 2
"""How many batches the host may prepare ahead of a GPU: enough to keep it busy, few enough to fit into its memory and
to cancel."""


def uploaded(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the ``batches`` with their pixels on the ``device``.

    Pixels go up to a GPU on a stream of their own, and the host does not wait for them; those of the next batch while
    the last batch is measured. It waits only where it would be more than AHEAD batches ahead of the GPU.
    """
    if device.type != "cuda":
        yield from batches
        return
    measuring, uploading = torch.cuda.current_stream(device), torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    measured: deque[torch.cuda.Event] = deque()
    waiting: deque[tuple[Batch, torch.cuda.Event]] = deque()
    for batch in batches:
        with torch.cuda.stream(uploading):
            pixels = batch.pixels.to(device, non_blocking=True)
        waiting.append((replace(batch, pixels=pixels), uploading.record_event()))
        if len(waiting) == AHEAD:
            yield _arrived(*waiting.popleft(), measuring)
            measured.append(measuring.record_event())
            if len(measured) == AHEAD:
                measured.popleft().synchronize()
    for one in waiting:
        yield _arrived(*one, measuring)


def _arrived(batch: Batch, event: torch.cuda.Event, measuring: torch.cuda.Stream) -> Batch:
    """Make what is measured next wait, on the GPU, until the pixels have arrived."""
    measuring.wait_event(event)
    batch.pixels.record_stream(measuring)
    return batch
