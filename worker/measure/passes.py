"""The passes that measure one model: each goes over the same images and measures some of the transforms."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from worker.errors import AuditError
from worker.measure.experiment import Experiment
from worker.measure.forward import Subject
from worker.measure.groups import choosing_groups, first_place
from worker.measure.jackknife import MIN_GROUPS, intervals
from worker.measure.measurement import Measurement, measure
from worker.measure.moments import Spread
from worker.measure.scores import Results
from worker.measure.transforms import Rotation, Transform

GROWTH = 2.0
"""Provisional scores are computed again each time that the number of images has grown by this factor."""
GROWTH_WITH_TOLERANCE = 1.1
"""The same with a tolerance, where these scores decide when the audit ends."""
SHOW_AFTER_S = 20.0
"""Without a tolerance, they are not computed before a pass has taken this long, so that short audits stay short."""


@dataclass(frozen=True)
class ModelScores:
    """The scores of one model, and what a report says about how they were measured.

    ``results``            the scores by transform and representation
    ``agreements``         the share of the images on which the top-1 class stayed the same, by transform
    ``reference_spreads``  the spread of each representation of the reference view
    ``groups``             how many images each group has
    ``skipped``            the images that could not be decoded
    ``batch_size``         how many images went through the model at once
    ``used_graphs``        whether full batches were replayed as CUDA graphs, in every pass; None if too few were full
    """

    results: Results
    agreements: Mapping[Transform, float]
    reference_spreads: Sequence[Spread]
    groups: Sequence[int]
    skipped: tuple[str, ...]
    batch_size: int
    used_graphs: bool | None

    @property
    def images(self) -> int:
        """How many images were measured."""
        return sum(self.groups)


def measure_in_passes(
    experiment: Experiment,
    subject: Subject,
    *,
    batch_size: int | None = None,
    limit: int | None = None,
    tolerance: float | None = None,
) -> ModelScores:
    """Measure all images of the experiment, or the first ``limit``, or as many as the ``tolerance`` needs.

    ``batch_size`` is by default that of the budget. Whenever the device runs out of memory, measuring begins again with
    half as many.
    """
    batch_size = batch_size or experiment.budget.batch_size
    while True:
        done = experiment.forwards.done
        try:
            return _all_passes(experiment, subject, batch_size, limit, tolerance)
        except (torch.OutOfMemoryError, MemoryError) as error:
            if batch_size == 1:
                detail = "Even one image at a time does not fit into the memory of this worker's device."
                raise AuditError("out-of-memory", detail) from error
        batch_size //= 2
        experiment.forwards.rewind(done)
        torch.cuda.empty_cache()


def _all_passes(
    experiment: Experiment, subject: Subject, batch_size: int, limit: int | None, tolerance: float | None
) -> ModelScores:
    """Run every pass, all on the same images.

    With a tolerance, each pass goes on until the interval of every part's mean over the pass's own transforms is narrow
    enough; then the mean over all transforms has a narrow enough interval, too. In the end every pass that saw fewer
    images than the longest one is run again on as many.
    """
    passes = experiment.budget.passes
    done: dict[int, ModelScores] = {}
    images = 0
    while behind := [index for index in range(len(passes)) if index not in done or done[index].images < images]:
        index = behind[0]
        if index in done:
            enough: Callable[[Measurement], bool] = partial(_has_images, images)
        else:
            watch = partial(_watch, experiment, images, tolerance)
            growth = GROWTH if tolerance is None else GROWTH_WITH_TOLERANCE
            sample_size = len(experiment.stream.sample.names)
            when = range(first_place(MIN_GROUPS, sample_size), limit or sample_size)
            enough = _now_and_then(watch, when, growth, SHOW_AFTER_S if tolerance is None else 0.0)
        done[index] = _one_pass(experiment, subject, passes[index], batch_size, limit, tolerance, enough)
        images = max(images, done[index].images)
    results = {transform: row for scores in done.values() for transform, row in scores.results.items()}
    agreements = {transform: share for scores in done.values() for transform, share in scores.agreements.items()}
    # In ascending order, in whichever passes the transforms were measured.
    ordered = {transform: results[transform] for transform in sorted(results, key=_ascending)}
    used = [scores.used_graphs for scores in done.values()]
    used_graphs = None if None in used else all(used)
    return replace(done[0], results=ordered, agreements=agreements, used_graphs=used_graphs)


def _watch(experiment: Experiment, images: int, tolerance: float | None, measured: Measurement) -> bool:
    """In the first pass, show the scores known so far. Return whether the pass may end: it has ``images`` images or
    more, and every interval is within the ``tolerance``."""
    if measured.images < images or (images and tolerance is None):
        return False
    results, groups = measured.scores(), measured.groups()
    if not images:
        experiment.forwards.show(experiment.table(results), groups)
    return tolerance is not None and _is_narrow(experiment, results, groups, tolerance)


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
        for curve in (curves.translation, curves.rotation)
        if curve.mean.channel is not None
    ]
    return all(
        interval is not None and interval[1] - interval[0] <= tolerance
        for score in means
        for interval in intervals(score, groups)
    )


def _has_images(images: int, measured: Measurement) -> bool:
    return measured.images >= images


def _now_and_then(
    watch: Callable[[Measurement], bool], when: range, growth: float, after_s: float
) -> Callable[[Measurement], bool]:
    """Return a function that calls ``watch`` when a number of images in the range ``when`` are measured, again each
    time that their number has grown by the factor ``growth``, and not before ``after_s`` seconds have passed."""
    due: float = when.start
    begun_s = time.perf_counter()

    def enough(measured: Measurement) -> bool:
        nonlocal due
        if not due <= measured.images < when.stop or time.perf_counter() < begun_s + after_s:
            return False
        due = measured.images * growth
        return watch(measured)

    return enough


def _one_pass(
    experiment: Experiment,
    subject: Subject,
    transforms: Sequence[Transform],
    batch_size: int,
    limit: int | None,
    tolerance: float | None,
    enough: Callable[[Measurement], bool],
) -> ModelScores:
    """Run one pass and return only its scores, so its (K, K) sums are freed before the next pass allocates."""
    sample_size = len(experiment.stream.sample.names)
    groups = choosing_groups(always=tolerance is not None) if sample_size > MIN_GROUPS else ()
    choosing = {first_place(group, sample_size): group for group in groups}
    batches = experiment.stream.batches(batch_size, limit, borders=choosing)
    measured = measure(experiment, subject, transforms, batches, batch_size, choosing, enough)
    return ModelScores(
        measured.scores(),
        measured.agreements(),
        measured.reference_spreads(),
        measured.groups(),
        experiment.stream.skipped,
        batch_size,
        measured.used_graphs,
    )


def _ascending(transform: Transform) -> tuple[bool, int, str]:
    if isinstance(transform, Rotation):
        return True, transform.angle_deg, ""
    return False, transform.shift_px, transform.border
