"""The passes over the images that measure one model: each some of the transforms, all the same images."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from zooaudit.contract import Progress, Provisional

from worker import report
from worker.errors import AuditError
from worker.images.stream import Stream
from worker.measure.budget import Budget
from worker.measure.jackknife import MIN_GROUPS, Sums, pieces_of
from worker.measure.measurement import Measurement, measure
from worker.measure.outcome import Frame, Outcome
from worker.measure.scores import score_all
from worker.measure.transforms import Rotation, Transform, Views

OnProgress = Callable[[Progress], None]

GROWTH = 2.0
"""Provisional scores are computed again when there are so many times more images,"""
GROWTH_WITH_TOLERANCE = 1.1
"""and more often where they decide when the audit ends."""


class Forwards:
    """Counts the images that went through the model and estimates when the last one will have."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self.done, self.total = 0, total
        self.provisional: Provisional | None = None
        self._on_progress = on_progress
        self._start = time.perf_counter()

    def count(self, images: int) -> None:
        self.done += images
        left = max(0, self.total - self.done)
        eta_s = (time.perf_counter() - self._start) / self.done * left
        progress = Progress(
            phase="measuring", done=self.done, total=self.total, eta_s=eta_s, provisional=self.provisional
        )
        self._on_progress(progress)


def measure_in_passes(
    frame: Frame, views: Views, budget: Budget, stream: Stream, forwards: Forwards, tolerance: float | None = None
) -> Outcome:
    """Measure all of the stream's images, or, with a ``tolerance``, as many as it takes. Begins again with half the
    batch size whenever the device runs out of memory."""
    while True:
        done = forwards.done
        try:
            return _all_passes(frame, views, budget, stream, forwards, tolerance)
        except (torch.OutOfMemoryError, MemoryError) as error:
            if stream.batch_size == 1:
                detail = "Even one image at a time does not fit into the memory of this worker's device."
                raise AuditError("out-of-memory", detail) from error
        stream.batch_size //= 2
        forwards.done = done
        torch.cuda.empty_cache()


def _all_passes(
    frame: Frame, views: Views, budget: Budget, stream: Stream, forwards: Forwards, tolerance: float | None
) -> Outcome:
    """With a tolerance each pass goes on until the means over its own transforms are known well enough, and so are the
    means over all; passes that have fewer images than the longest in the end are done again."""
    piece = pieces_of(stream.limit or frame.request.num_images, stream.batch_size)
    done: dict[int, Outcome] = {}
    images = 0
    while behind := [index for index in range(len(budget.passes)) if index not in done or done[index].images < images]:
        index = behind[0]

        if index in done:
            enough: Callable[[Measurement], bool] = partial(_at_least, images)
        else:
            watch = partial(_watch, frame, forwards, images, tolerance)
            growth = GROWTH if tolerance is None else GROWTH_WITH_TOLERANCE
            enough = _now_and_then(watch, MIN_GROUPS * piece, growth)
        done[index] = _one_pass(frame, views, budget.passes[index], stream, piece, forwards, enough)
        images = max(images, done[index].images)
    results = {transform: row for one in done.values() for transform, row in one.results.items()}
    agreements = {transform: share for one in done.values() for transform, share in one.agreements.items()}
    # In ascending order, however they were shared out.
    ordered = {transform: results[transform] for transform in sorted(results, key=_order)}
    return replace(done[0], results=ordered, agreements=agreements)


def _watch(frame: Frame, forwards: Forwards, images: int, tolerance: float | None, measured: Measurement) -> bool:
    """Says in the first pass what is known so far; True when ``images`` or more are enough."""
    if measured.images < images or (images and tolerance is None):
        return False
    found, groups = score_all(measured, frame.similarities()), _groups(measured)
    if not images:
        forwards.provisional = report.provisional(frame, found, groups)
    return tolerance is not None and report.is_narrow(frame, found, groups, tolerance)


def _at_least(images: int, measured: Measurement) -> bool:
    return measured.images >= images


def _now_and_then(watch: Callable[[Measurement], bool], first: int, growth: float) -> Callable[[Measurement], bool]:
    """``watch``, asked when there are ``first`` images, and then each time there are ``growth`` times as many."""
    due: float = first

    def enough(measured: Measurement) -> bool:
        nonlocal due
        if measured.images < due:
            return False
        due = measured.images * growth
        return watch(measured)

    return enough


def _one_pass(
    frame: Frame,
    views: Views,
    transforms: Sequence[Transform],
    stream: Stream,
    piece: int,
    forwards: Forwards,
    enough: Callable[[Measurement], bool],
) -> Outcome:
    """What is left of a pass when its sums are gone, which must be before the next one gathers its own."""
    similarities = frame.similarities()
    measured = measure(
        frame.subject, views, frame.plan, transforms, stream, similarities, piece, forwards.count, enough
    )
    return Outcome(
        score_all(measured, similarities),
        {transform: int(count) / measured.images for transform, count in measured.agreements.items()},
        measured.reference,
        _groups(measured),
        stream.skipped,
    )


def _groups(measured: Measurement) -> list[int]:
    """How many images are in each group, the same at all representations under all transforms."""
    sums = next(item for row in measured.sums.values() for item in row if isinstance(item, Sums))
    return sums.groups.images.flatten().tolist()


def _order(transform: Transform) -> tuple[bool, int, str]:
    if isinstance(transform, Rotation):
        return True, transform.angle_deg, ""
    return False, transform.shift_px, transform.border
