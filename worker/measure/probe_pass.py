"""One pass over the images by a probe: a measure that needs forward passes of its own."""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from worker.images.stream import Batch
from worker.measure.device_name import describe
from worker.measure.experiment import Experiment
from worker.measure.feeding import uploaded
from worker.measure.forward import Receive, Subject
from worker.measure.groups import GROUPS, group_of, members_of
from worker.measure.model_scores import ModelScores
from worker.measure.passes import as_large_as_fits
from worker.measure.probes.consistency import Consistency, ConsistencySums
from worker.measure.probes.deformation import Deformation, DeformationSums
from worker.measure.probes.kinds import Found, Probe, by_kind
from worker.measure.probes.local_error import LocalError, LocalErrorSums
from worker.measure.probes.variance import Variance, VarianceSums
from worker.measure.transforms import Transform

Forward = Callable[[Tensor, Receive], Tensor]


class ProbeSums(Protocol):
    """The running sums of a probe."""

    def see(self, canvas: Tensor, places: Tensor, members: Tensor, forward: Forward) -> None:
        """Send views of a ``canvas`` (N, 3, side, side) through the model by ``forward``, and add what comes of them.

        ``places`` (N,) int64 are those of the images in the sample, on the CPU; ``members`` (G, N) float32 is 1 where
        an image is in a group.
        """

    def statistics(self, images: Sequence[int]) -> Found:
        """Return what has been found; ``images`` is how many each of the G groups has. Deviations are those of groups
        that have images."""


def sums_of(probe: Probe, experiment: Experiment, device: torch.device) -> ProbeSums:
    """Return running sums of nothing yet."""
    representations, views, seed = experiment.representations, experiment.views, experiment.seed
    match probe:
        case Deformation():
            return DeformationSums(probe, representations, views, seed, device)
        case LocalError():
            return LocalErrorSums(representations, views, device)
        case Consistency():
            return ConsistencySums(probe, views, seed, device)
        case Variance():
            return VarianceSums(probe, by_kind(experiment.transforms)[probe.name], representations, views, device)


def measure_probe(
    experiment: Experiment,
    subject: Subject,
    probe: Probe,
    batch_size: int,
    *,
    limit: int | None = None,
    given_away: Callable[[], Collection[Transform | Probe]] = tuple,
) -> ModelScores:
    """Measure all images of the experiment, or the first ``limit``, by a ``probe``.

    ``batch_size`` is halved, and the pass begun again, whenever the device runs out of memory. The pass ends early when
    the probe is ``given_away``.
    """
    return as_large_as_fits(
        experiment, batch_size, lambda size: _one_pass(experiment, subject, probe, size, limit, given_away)
    )


def _one_pass(
    experiment: Experiment,
    subject: Subject,
    probe: Probe,
    batch_size: int,
    limit: int | None,
    given_away: Callable[[], Collection[Transform | Probe]],
) -> ModelScores:
    started_at, clock, before = datetime.now(UTC), time.perf_counter(), experiment.forwards.done
    sums = sums_of(probe, experiment, subject.device)
    images = np.zeros(GROUPS, dtype=np.int64)

    def forward(view: Tensor, receive: Receive) -> Tensor:
        output = subject.forward(view, receive)
        experiment.forwards.count(len(view))
        return output

    with closing(experiment.stream.batches(batch_size, limit)) as batches, torch.inference_mode():
        for batch in uploaded(batches, subject.device):
            if probe in given_away():
                break
            members = _members(batch, len(experiment.stream.sample.names), images)
            if subject.device.type != "cpu":
                members = members.pin_memory().to(subject.device, non_blocking=True)
            sums.see(subject.canvas(batch.pixels), batch.places, members, forward)
    present = images > 0
    return ModelScores(
        results={},
        same_class={},
        reference_spreads=[],
        groups=images[present].tolist(),
        skipped=experiment.stream.skipped,
        batch_size=batch_size,
        used_graphs=None,
        used_tensor_cores=None,
        devices=(describe(subject.device),),
        forward_images=experiment.forwards.done - before,
        started_at=started_at,
        seconds=time.perf_counter() - clock,
        probes={probe: sums.statistics(images.tolist())},
    )


def _members(batch: Batch, sample_size: int, images: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Tensor:
    """Tell which images of a ``batch`` are in which group, (G, N) float32, and count them in ``images`` (G,)."""
    groups = group_of(batch.places, sample_size)
    np.add.at(images, groups.numpy(), 1)
    return members_of(groups)
