"""One pass over the images: run the forward passes of all views, and compare their feature maps as they arise.

Nothing here knows queues, files or model names. The maps of the reference view are kept for one batch; those of a
transformed view are compared inside the forward pass that makes them, and are gone with it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from worker.images.stream import Batch
from worker.measure.cuda_graphs import BatchGraphs
from worker.measure.experiment import Experiment
from worker.measure.feeding import uploaded
from worker.measure.forward import Subject, full_precision
from worker.measure.groups import GROUPS, group_of, members_of
from worker.measure.jackknife import scored
from worker.measure.moments import Spread
from worker.measure.probes.kinds import Probe
from worker.measure.representation_sums import RepresentationSums, count_terms
from worker.measure.scores import Results
from worker.measure.similarity import Equivariance
from worker.measure.tensor_cores import tensor_cores_are_exact
from worker.measure.transforms import Transform, Views, align


class Measurement:
    """The running sums of one pass over the images."""

    def __init__(self, experiment: Experiment, subject: Subject, transforms: Sequence[Transform]) -> None:
        representations, device = experiment.representations, subject.device
        self._subject = subject
        self._sample_size = len(experiment.stream.sample.names)
        self._similarities = experiment.similarities
        self.used_tensor_cores = (
            None if device.type == "cpu" else subject.tensor_cores and tensor_cores_are_exact(device)
        )
        self._alignments = {
            transform: [
                align(transform, representation.height, representation.width, experiment.views.size, device)
                for representation in representations
            ]
            for transform in transforms
        }
        self._representations = [
            RepresentationSums(
                representation,
                {transform: row[index] for transform, row in self._alignments.items()},
                experiment.windows[index],
                len(experiment.similarities),
                device,
                tensor_cores=bool(self.used_tensor_cores),
            )
            for index, representation in enumerate(representations)
        ]
        # For each transform, the channels of all representations of one dtype that can be compared lie side by side.
        self._columns: dict[Transform, list[slice]] = {}
        self._transformed: dict[Transform, dict[torch.dtype, Tensor]] = {}
        for transform, row in self._alignments.items():
            widths = [
                (sums.dtype, 0 if isinstance(alignment, str) else representation.channels)
                for sums, representation, alignment in zip(self._representations, representations, row, strict=True)
            ]
            self._columns[transform], ends = _side_by_side(widths)
            self._transformed[transform] = {
                dtype: torch.zeros(count, GROUPS, end, dtype=torch.float64, device=device)
                for dtype, end in ends.items()
                for count in [count_terms(transform, dtype, len(experiment.similarities))]
            }
        self._same_class = {
            transform: torch.zeros(GROUPS, dtype=torch.float64, device=device) for transform in transforms
        }
        self._images_of_group: Counter[int] = Counter()
        self._members = self._classes = torch.empty(0)
        self._given_away: set[Transform | Probe] = set()
        self.used_graphs: bool | None = None
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def images(self) -> int:
        """How many images were measured."""
        return self._images_of_group.total()

    def groups(self) -> list[int]:
        """Return how many images are in each group that has any."""
        return list(self._images_of_group.values())

    def reference_spreads(self) -> list[Spread]:
        """Return the spread of each representation of the reference view; none if no image was measured."""
        if not self.images:
            return []
        return [sums.reference_spread(self.images) for sums in self._representations]

    def same_class(self) -> dict[Transform, list[int]]:
        """Return on how many images of each group the model's top-1 class stayed the same, by transform."""
        present = list(self._images_of_group)
        return {
            transform: [int(count) for count in self._same_class[transform][present].tolist()]
            for transform in self._own()
        }

    def give_away(self, transforms: Collection[Transform | Probe]) -> bool:
        """Measure nothing more under these transforms, which get no scores. Return whether any others are left."""
        self._given_away.update(transforms)
        return bool(self._own())

    def overflowed(self) -> bool:
        """Tell whether maps that are finite were too large for tensor cores, so that their products are not."""
        return any(
            sums.overflowed(transform, transformed[transform])
            for sums, transformed in zip(self._representations, self._of_representations(), strict=True)
            for transform in self._own()
            if transform in transformed
        )

    def _own(self) -> list[Transform]:
        return [transform for transform in self._alignments if transform not in self._given_away]

    def scores(self) -> Results:
        """Score every representation under every transform, by each similarity of the experiment."""
        if not self._own():
            return {}
        of_representation = []
        for sums, transformed in zip(self._representations, self._of_representations(), strict=True):
            rows = scored(sums.sums(self._images_of_group, transformed), self._similarities) if transformed else []
            of_representation.append(
                {
                    transform: {
                        similarity: replace(score, interpolation=sums.interpolation(transform, self.images))
                        for similarity, score in row.items()
                    }
                    for transform, row in zip(transformed, rows, strict=True)
                }
            )
        return {
            transform: [
                {similarity: Equivariance(None, None, alignment) for similarity in self._similarities}
                if isinstance(alignment, str)
                else scores[transform]
                for alignment, scores in zip(row, of_representation, strict=True)
            ]
            for transform, row in self._alignments.items()
            if transform not in self._given_away
        }

    def begin(self, batch: Batch) -> Tensor:
        """Note in which groups the images of the ``batch`` are, and return their canvas.

        Batches of one size share the memory of both, as CUDA graphs need it.
        """
        groups = group_of(batch.places, self._sample_size)
        self._images_of_group.update(groups.numpy().tolist())
        canvas, members = self._subject.canvas(batch.pixels), members_of(groups)
        if self._subject.device.type == "cpu":
            self._members = members
            return canvas
        if len(batch) not in self._kept:
            self._kept[len(batch)] = torch.empty_like(canvas), torch.empty_like(members, device=canvas.device)
        kept, self._members = self._kept[len(batch)]
        self._members.copy_(members.pin_memory(), non_blocking=True)
        return kept.copy_(canvas)

    def see_reference(self, view: Tensor) -> None:
        """Send the reference ``view`` (N, 3, H, H) of a batch through the model, and keep its maps."""

        def receive(index: int, maps: Tensor) -> None:
            self._representations[index].see_reference(maps, self._members)

        self._classes = self._subject.forward(view, receive).argmax(1)

    def see_transformed(self, transform: Transform, view: Tensor) -> None:
        """Send a transformed ``view`` of the same images through the model, and compare its maps."""
        alignments, columns = self._alignments[transform], self._columns[transform]
        totals = self._transformed[transform]
        of_images = {
            dtype: view.new_empty(len(total), len(view), total.shape[2], dtype=dtype) for dtype, total in totals.items()
        }

        def receive(index: int, maps: Tensor) -> None:
            if not isinstance(alignments[index], str):
                sums = self._representations[index]
                sums.compare(transform, maps, of_images[sums.dtype][:, :, columns[index]])

        output = self._subject.forward(view, receive)
        with full_precision():
            for dtype, total in totals.items():
                total.add_(self._members.to(dtype) @ of_images[dtype])
            self._same_class[transform].add_(self._members @ (output.argmax(1) == self._classes).float())

    def steps(self, canvas: Tensor, views: Views) -> dict[Transform | None, Callable[[], None]]:
        """Return the steps in which the images of a ``canvas`` are measured: a forward pass of each view, by transform,
        that of the reference view first."""
        return {
            None: lambda: self.see_reference(views.reference(canvas)),
            **{transform: partial(self._see, transform, canvas, views) for transform in self._own()},
        }

    def _see(self, transform: Transform, canvas: Tensor, views: Views) -> None:
        self.see_transformed(transform, views.transformed(canvas, transform))

    def choose_partners(self, group: int) -> None:
        """Choose the best partners anew from all images so far, for the images of ``group`` and later ones."""
        for sums, transformed in zip(self._representations, self._of_representations(), strict=True):
            if transformed:
                sums.choose_partners(group, self._images_of_group, transformed, self._similarities)

    def _of_representations(self) -> Iterator[dict[Transform, Tensor]]:
        """Yield, for each representation, its sums by group under each transform that it can be compared under."""
        for index, sums in enumerate(self._representations):
            yield {
                transform: self._transformed[transform][sums.dtype][:, :, columns[index]]
                for transform, columns in self._columns.items()
                if not isinstance(self._alignments[transform][index], str)
            }


def measure(
    experiment: Experiment,
    subject: Subject,
    transforms: Sequence[Transform],
    batches: Iterable[Batch],
    batch_size: int,
    choosing: Mapping[int, int],
    enough: Callable[[Measurement], bool],
    given_away: Callable[[], Collection[Transform | Probe]],
) -> Measurement:
    """Measure images under ``transforms``, by one forward pass of the reference view and one for each transform.

    ``batches`` have the side of the experiment's canvases, and at most ``batch_size`` images. ``choosing`` maps places
    at which partners are chosen anew, and at which therefore a batch begins, to the groups that begin there. After each
    batch ``enough`` gets the measurement so far; if it returns True, the pass ends. It ends, too, when all transforms
    are ``given_away``, which is asked before each batch. Memory does not grow with the number of images.
    """
    forwards = experiment.forwards
    batches = uploaded(batches, subject.device)
    # The first batch first: decoding begins with a fork, and memory allocated before it is copied when it is written.
    first = next(batches, None)
    measured = Measurement(experiment, subject, transforms)
    graphs = BatchGraphs(subject.device, batch_size)
    choices = sorted(choosing.items())
    with torch.inference_mode():
        for batch in chain([] if first is None else [first], batches):
            while choices and choices[0][0] <= batch.first:
                measured.choose_partners(choices.pop(0)[1])
            if not measured.give_away(given_away()):
                break
            canvas = measured.begin(batch)
            for step in graphs.steps(measured.steps(canvas, experiment.views), len(batch)):
                step()
                forwards.count(len(batch))
            if enough(measured):
                break
    measured.used_graphs = graphs.recorded
    return measured


def _side_by_side(widths: Iterable[tuple[torch.dtype, int]]) -> tuple[list[slice], Mapping[torch.dtype, int]]:
    """Return the columns of things of the given dtypes and widths, where those of one dtype lie side by side, and where
    those of each dtype end."""
    ends: Counter[torch.dtype] = Counter()
    columns: list[slice] = []
    for dtype, width in widths:
        columns.append(slice(ends[dtype], ends[dtype] + width))
        ends[dtype] += width
    return columns, ends
