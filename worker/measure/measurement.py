"""One pass over the images: run the forward passes of all views, and compare their feature maps as they arise.

Nothing here knows queues, files or model names. The maps of the reference view are kept for one batch; those of a
transformed view are compared inside the forward pass that makes them, and are gone with it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from worker.images.stream import Batch
from worker.measure.experiment import Experiment
from worker.measure.forward import Subject
from worker.measure.jackknife import Sums
from worker.measure.moments import Centred, Moments, Spread, centre
from worker.measure.scores import Results
from worker.measure.similarity import Equivariance, Similarity
from worker.measure.transforms import Alignment, Transform, align


@dataclass(frozen=True)
class Measurement:
    """The sums over ``images`` images under each transform. Measurements of different images can be added.

    ``sums``               of every representation, or the reason why its maps cannot be laid upon each other
    ``agreements``         on how many images the model's top-1 class stayed the same
    ``reference_spreads``  the spread of each representation of the reference view
    """

    images: int
    sums: dict[Transform, list[Sums | str]]
    agreements: dict[Transform, Tensor]
    reference_spreads: list[Spread]

    def __add__(self, other: "Measurement") -> "Measurement":
        return Measurement(
            self.images + other.images,
            {
                transform: [_plus(mine, theirs) for mine, theirs in zip(row, other.sums[transform], strict=True)]
                for transform, row in self.sums.items()
            },
            {transform: count + other.agreements[transform] for transform, count in self.agreements.items()},
            [mine + theirs for mine, theirs in zip(self.reference_spreads, other.reference_spreads, strict=True)],
        )

    def scores(self, similarities: Sequence[Similarity]) -> Results:
        """Score every representation under every transform, by each of ``similarities``."""
        return {
            transform: [
                {
                    similarity: sums.score(similarity) if isinstance(sums, Sums) else Equivariance(None, None, sums)
                    for similarity in similarities
                }
                for sums in row
            ]
            for transform, row in self.sums.items()
        }

    def groups(self) -> list[int]:
        """Return how many images are in each group; it is the same at all representations under all transforms."""
        sums = next(item for row in self.sums.values() for item in row if isinstance(item, Sums))
        return sums.groups.images.flatten().tolist()


def _plus(mine: Sums | str, theirs: Sums | str) -> Sums | str:
    return mine if isinstance(mine, str) or isinstance(theirs, str) else mine + theirs


def measure(
    experiment: Experiment,
    subject: Subject,
    transforms: Sequence[Transform],
    batches: Iterable[Batch],
    piece: int,
    enough: Callable[[Measurement], bool],
) -> Measurement:
    """Measure images under ``transforms``, by one forward pass of the reference view and one for each transform.

    ``batches`` hold pixels with the side of the experiment's canvases. ``piece`` images are added to the sums at a
    time. After each batch ``enough`` gets the measurement so far; if it returns True, the pass ends. Memory does not
    grow with the number of images.
    """
    views, forwards = experiment.views, experiment.forwards
    batches = iter(batches)
    # The first batch first: decoding begins with a fork, and memory allocated before it is copied when it is written.
    first = next(batches, None)
    totals = _Totals(experiment, subject, transforms)
    with torch.inference_mode():
        for batch in chain([] if first is None else [first], batches):
            canvas = subject.canvas(batch.pixels)
            totals.see_reference(views.reference(canvas), piece)
            forwards.count(len(batch))
            for transform in transforms:
                totals.see_transformed(transform, views.transformed(canvas, transform))
                forwards.count(len(batch))
            if enough(totals.measurement()):
                break
    return totals.measurement()


class _Totals:
    """The running sums of one pass over the images, and the reference maps of the present batch."""

    def __init__(self, experiment: Experiment, subject: Subject, transforms: Sequence[Transform]) -> None:
        representations, device = experiment.representations, subject.device
        self._subject = subject
        self._alignments = {
            transform: [
                align(transform, representation.height, representation.width, experiment.views.size)
                for representation in representations
            ]
            for transform in transforms
        }
        self._sums: dict[Transform, list[Sums | str]] = {
            transform: [
                alignment
                if isinstance(alignment, str)
                else Sums.empty(representation.channels, experiment.similarities, device)
                for alignment, representation in zip(row, representations, strict=True)
            ]
            for transform, row in self._alignments.items()
        }
        self._agreements = {transform: torch.zeros((), dtype=torch.int64, device=device) for transform in transforms}
        self._spreads = [Spread.empty(representation.channels, device) for representation in representations]
        self._images = 0
        self._references: list[ReferenceMaps] = []
        self._classes = torch.zeros(0)

    def see_reference(self, view: Tensor, piece: int) -> None:
        self._references = []
        output = self._subject.forward(view, lambda _index, maps: self._references.append(ReferenceMaps(maps, piece)))
        self._classes = output.argmax(1)
        for index, reference in enumerate(self._references):
            self._spreads[index] += reference.spread
        self._images += len(view)

    def see_transformed(self, transform: Transform, view: Tensor) -> None:
        alignments, sums = self._alignments[transform], self._sums[transform]

        def compare(index: int, maps: Tensor) -> None:
            alignment, total = alignments[index], sums[index]
            if isinstance(alignment, Alignment) and isinstance(total, Sums):
                for images, moments in self._references[index].compare(maps, alignment):
                    total.add(images, moments)

        output = self._subject.forward(view, compare)
        self._agreements[transform] += (output.argmax(1) == self._classes).sum()

    def measurement(self) -> Measurement:
        return Measurement(self._images, self._sums, dict(self._agreements), self._spreads)


class ReferenceMaps:
    """The maps (N, h, w, K) of one representation of the reference view for one batch, centred piece by piece.

    It remembers its latest window, since shifts in ascending order cut the same window several times in a row.
    """

    def __init__(self, maps: Tensor, piece: int) -> None:
        self._piece = piece
        # A copy, because the layers that follow may work in place.
        self._maps = maps.to(torch.float32, copy=True)
        self._size = (maps.shape[1], maps.shape[2])
        self._window = self._centred(self._maps)
        self.spread = sum(map(Spread.of, self._window), Spread.empty(maps.shape[3], maps.device))

    def compare(self, maps: Tensor, alignment: Alignment) -> Iterator[tuple[int, Moments]]:
        """Compare with ``maps``, the same representation of a transformed view: yield the number of images and the
        moments of each piece."""
        if self._size != (alignment.height, alignment.width):
            self._size = (alignment.height, alignment.width)
            self._window = self._centred(alignment.of_reference(self._maps))
        transformed = torch.split(alignment.of_transformed(maps), self._piece)
        for a, b in zip(self._window, transformed, strict=True):
            yield len(b), Moments.of(a, centre(b))

    def _centred(self, window: Tensor) -> list[Centred]:
        return [centre(images) for images in torch.split(window, self._piece)]
