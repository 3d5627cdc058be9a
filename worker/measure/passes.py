"""One pass over the images: with as many images as fit into memory at once, until its scores are known well enough."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import torch
from zooaudit.contract import MIN_GROUPS

from worker.errors import AuditError
from worker.measure.device_name import describe
from worker.measure.experiment import Experiment
from worker.measure.forward import Subject
from worker.measure.groups import choices, first_place
from worker.measure.jackknife import intervals
from worker.measure.measurement import Measurement, measure
from worker.measure.model_scores import ModelScores
from worker.measure.probes.kinds import Probe
from worker.measure.scores import Results
from worker.measure.transforms import Transform

log = logging.getLogger("zooaudit.worker")

GROWTH = 2.0
"""Provisional scores are computed again each time that the number of images has grown by this factor."""
GROWTH_WITH_TOLERANCE = 1.1
"""The same with a tolerance, where these scores decide when the pass ends."""
SHOW_AFTER_S = 20.0
"""Without a tolerance, they are not computed before a pass has taken this long, so that short audits stay short."""


class TensorCoresOverflowed(ArithmeticError):
    """Some maps are finite, but too large for tensor cores."""


def measure_pass(
    experiment: Experiment,
    subject: Subject,
    transforms: Sequence[Transform],
    batch_size: int,
    *,
    limit: int | None = None,
    tolerance: float | None = None,
    at_least: int = 0,
    show: bool = False,
    given_away: Callable[[], Collection[Transform | Probe]] = tuple,
) -> ModelScores:
    """Measure under ``transforms`` all images of the experiment, or the first ``limit``, or as many as needed.

    ``batch_size``  halved, and the pass begun again, whenever the device runs out of memory
    ``tolerance``   the pass ends when the interval of every part's mean over its transforms has been as narrow once,
                    and ``at_least`` so many images are measured; if it is so for all passes of an audit, the mean over
                    all transforms has a narrow enough interval, too
    ``show``        whether the progress shows the scores known so far
    ``given_away``  returns the transforms that are measured elsewhere and therefore not here any more
    """

    def run(size: int, subject: Subject = subject) -> ModelScores:
        enough = _enough(experiment, limit, tolerance, at_least, show)
        return _one_pass(experiment, subject, transforms, size, limit, tolerance, enough, given_away)

    def run_as_exact(size: int) -> ModelScores:
        done = experiment.forwards.done
        try:
            return run(size)
        except TensorCoresOverflowed:
            log.warning("some maps are too large for tensor cores; the pass is measured again without them")
        experiment.forwards.rewind(done)
        return run(size, replace(subject, tensor_cores=False))

    return as_large_as_fits(experiment, batch_size, run_as_exact)


def as_large_as_fits(experiment: Experiment, batch_size: int, run: Callable[[int], ModelScores]) -> ModelScores:
    """Return what a pass that is ``run`` with ``batch_size`` images at once has measured; with half as many, and from
    the start, whenever the device runs out of memory. Raises AuditError if a single one does not fit."""
    while True:
        done = experiment.forwards.done
        try:
            return run(batch_size)
        except (torch.OutOfMemoryError, MemoryError) as error:
            if batch_size == 1:
                detail = "Even one image at a time does not fit into the memory of this worker's device."
                raise AuditError("out-of-memory", detail) from error
        batch_size //= 2
        experiment.forwards.rewind(done)
        torch.cuda.empty_cache()


def _enough(
    experiment: Experiment, limit: int | None, tolerance: float | None, at_least: int, show: bool
) -> Callable[[Measurement], bool]:
    """Return a function that looks now and then at what a pass has measured, and tells whether it may end."""
    tolerance = tolerance if limit is None else None
    sample_size = len(experiment.stream.sample.names)
    when = range(first_place(MIN_GROUPS, sample_size), limit or sample_size)
    is_narrow = False

    def look(measured: Measurement) -> None:
        nonlocal is_narrow
        results, groups = measured.scores(), measured.groups()
        if show:
            experiment.forwards.show(experiment.table(results), groups)
        is_narrow = tolerance is not None and (is_narrow or _is_narrow(experiment, results, groups, tolerance))

    growth, after_s = (GROWTH, SHOW_AFTER_S) if tolerance is None else (GROWTH_WITH_TOLERANCE, 0.0)
    look_now_and_then = _now_and_then(look, when, growth, after_s) if show or tolerance is not None else _look_never

    def enough(measured: Measurement) -> bool:
        look_now_and_then(measured)
        return is_narrow and measured.images >= at_least

    return enough


def _is_narrow(experiment: Experiment, results: Results, groups: Sequence[int], tolerance: float) -> bool:
    """Tell whether the confidence interval of every part's score, under every border and by every similarity, is at
    most ``tolerance`` wide."""
    tables = [
        experiment.table(results, similarity, border)
        for similarity in experiment.similarities
        for border in experiment.borders
    ]
    means = [
        curve.mean
        for table in tables
        for curves in table.parts.values()
        for curve in curves.values()
        if curve.mean.channel is not None
    ]
    return all(
        interval is not None and interval[1] - interval[0] <= tolerance
        for score in means
        for name, interval in intervals(score, groups).items()
        if name != "layer_held_out"  # it has fewer images, and checks the layer score rather than being one
    )


def _now_and_then(
    look: Callable[[Measurement], None], when: range, growth: float, after_s: float
) -> Callable[[Measurement], None]:
    """Return a function that calls ``look`` when a number of images in the range ``when`` are measured, again each time
    that their number has grown by the factor ``growth``, and not before ``after_s`` seconds have passed."""
    due: float = when.start
    begun_s = time.perf_counter()

    def perhaps(measured: Measurement) -> None:
        nonlocal due
        if due <= measured.images < when.stop and time.perf_counter() >= begun_s + after_s:
            due = measured.images * growth
            look(measured)

    return perhaps


def _look_never(_measured: Measurement) -> None:
    pass


def _one_pass(
    experiment: Experiment,
    subject: Subject,
    transforms: Sequence[Transform],
    batch_size: int,
    limit: int | None,
    tolerance: float | None,
    enough: Callable[[Measurement], bool],
    given_away: Callable[[], Collection[Transform | Probe]],
) -> ModelScores:
    """Run one pass and return only its scores, so its (K, K) sums are freed before the next pass allocates."""
    started_at, clock, before = datetime.now(UTC), time.perf_counter(), experiment.forwards.done
    choosing = choices(len(experiment.stream.sample.names), always=tolerance is not None)
    # Closed here, whatever happens: a pass that failed must not go on until it is collected.
    with closing(experiment.stream.batches(batch_size, limit, borders=choosing)) as batches:
        measured = measure(experiment, subject, transforms, batches, batch_size, choosing, enough, given_away)
    if measured.overflowed():
        raise TensorCoresOverflowed
    return ModelScores(
        results=measured.scores(),
        same_class=measured.same_class(),
        reference_spreads=measured.reference_spreads(),
        groups=measured.groups(),
        skipped=experiment.stream.skipped,
        batch_size=batch_size,
        used_graphs=measured.used_graphs,
        used_tensor_cores=measured.used_tensor_cores,
        devices=(describe(subject.device),),
        forward_images=experiment.forwards.done - before,
        started_at=started_at,
        seconds=time.perf_counter() - clock,
    )
