"""The measuring itself: forward passes of all views, compared representation by representation as they run.

Nothing here knows of queues, files or model names. The maps of the reference view are kept for one batch; those of a
transformed view are compared within the forward pass that makes them and are gone with it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from worker.measure.forward import Shape, Subject
from worker.measure.jackknife import Sums
from worker.measure.moments import Centred, Moments, Spread, centre
from worker.measure.similarity import Similarity
from worker.measure.transforms import Alignment, Transform, Views, align


@dataclass(frozen=True)
class Measurement:
    """What ``images`` images gave under each transform; measurements of different images add.

    ``sums``: of every representation, or why its maps cannot be laid upon each other. ``agreements``: on how many
    images the model's top-1 class stayed. ``reference``: how the reference view's representations are spread.
    """

    images: int
    sums: dict[Transform, list[Sums | str]]
    agreements: dict[Transform, Tensor]
    reference: list[Spread]

    def __add__(self, other: "Measurement") -> "Measurement":
        return Measurement(
            self.images + other.images,
            {
                transform: [_plus(mine, theirs) for mine, theirs in zip(row, other.sums[transform], strict=True)]
                for transform, row in self.sums.items()
            },
            {transform: count + other.agreements[transform] for transform, count in self.agreements.items()},
            [mine + theirs for mine, theirs in zip(self.reference, other.reference, strict=True)],
        )


def _plus(mine: Sums | str, theirs: Sums | str) -> Sums | str:
    return mine if isinstance(mine, str) or isinstance(theirs, str) else mine + theirs


def measure(
    subject: Subject,
    views: Views,
    plan: Sequence[Shape],
    transforms: Sequence[Transform],
    batches: Iterable[Tensor],
    similarities: Sequence[Similarity] = ("correlation",),
    piece: int | None = None,
    on_forward: Callable[[int], None] | None = None,
    enough: Callable[[Measurement], bool] | None = None,
) -> Measurement:
    """Measure all images under ``transforms``: one forward pass of the reference view and one of each transform.

    ``batches`` are pixels (N, side, side, 3) uint8 with side = ``views.size + views.room``; ``plan`` holds the shapes
    of the representations, from :func:`worker.measure.forward.shapes`. ``similarities`` are those whose intervals will
    be asked for, ``piece`` is how many images are added to the sums at a time (default: a batch).
    ``on_forward`` is told after each forward pass how many images went through; ``enough`` sees, after each batch,
    what there is, and ends the measuring by answering True. Memory does not grow with the number of images.
    """
    batches = iter(batches)
    # The first batch first, because decoding begins with a fork: what is allocated before is copied when it is written.
    first = next(batches, None)
    totals = _Totals(subject, views, plan, transforms, similarities)
    with torch.inference_mode():
        for pixels in chain([] if first is None else [first], batches):
            canvas = subject.canvas(pixels)
            totals.see_reference(views.reference(canvas), piece or len(pixels))
            if on_forward:
                on_forward(len(pixels))
            for transform in transforms:
                totals.see_transformed(transform, views.transformed(canvas, transform))
                if on_forward:
                    on_forward(len(pixels))
            if enough and enough(totals.measurement()):
                break
    return totals.measurement()


class _Totals:
    """The running sums of one pass over the images, and the reference maps of the present batch."""

    def __init__(
        self,
        subject: Subject,
        views: Views,
        plan: Sequence[Shape],
        transforms: Sequence[Transform],
        similarities: Sequence[Similarity],
    ) -> None:
        self._subject = subject
        self._alignments = {
            transform: [align(transform, shape.height, shape.width, views.size) for shape in plan]
            for transform in transforms
        }
        self._sums: dict[Transform, list[Sums | str]] = {
            transform: [
                alignment if isinstance(alignment, str) else Sums.empty(shape.channels, similarities, subject.device)
                for alignment, shape in zip(row, plan, strict=True)
            ]
            for transform, row in self._alignments.items()
        }
        self._agreements = {
            transform: torch.zeros((), dtype=torch.int64, device=subject.device) for transform in transforms
        }
        self._spreads = [Spread.empty(shape.channels, subject.device) for shape in plan]
        self._images = 0
        self._references: list[Reference] = []
        self._classes = torch.zeros(0)

    def see_reference(self, view: Tensor, piece: int) -> None:
        self._references = []
        output = self._subject.forward(view, lambda _index, found: self._references.append(Reference(found, piece)))
        self._classes = output.argmax(1)
        for index, reference in enumerate(self._references):
            self._spreads[index] += reference.spread
        self._images += len(view)

    def see_transformed(self, transform: Transform, view: Tensor) -> None:
        alignments, sums = self._alignments[transform], self._sums[transform]

        def compare(index: int, found: Tensor) -> None:
            alignment, total = alignments[index], sums[index]
            if isinstance(alignment, Alignment) and isinstance(total, Sums):
                for images, moments in self._references[index].compare(found, alignment):
                    total.add(images, moments)

        output = self._subject.forward(view, compare)
        self._agreements[transform] += (output.argmax(1) == self._classes).sum()

    def measurement(self) -> Measurement:
        return Measurement(self._images, self._sums, dict(self._agreements), self._spreads)


class Reference:
    """One representation of the reference view for one batch, centred piece by piece; it remembers its latest window,
    since shifts in ascending order cut the same one several times in a row."""

    def __init__(self, found: Tensor, piece: int) -> None:
        self._piece = piece
        # A copy, because the layers that follow may work in place.
        self._map = found.to(torch.float32, copy=True)
        self._size = (found.shape[1], found.shape[2])
        self._window = self._centred(self._map)
        self.spread = sum(map(Spread.of, self._window), Spread.empty(found.shape[3], found.device))

    def compare(self, found: Tensor, alignment: Alignment) -> Iterator[tuple[int, Moments]]:
        """Of each piece the number of images and the moments: the reference against ``found``, the same representation
        of a transformed view."""
        if self._size != (alignment.height, alignment.width):
            self._size = (alignment.height, alignment.width)
            self._window = self._centred(alignment.of_reference(self._map))
        transformed = torch.split(alignment.of_transformed(found), self._piece)
        for a, b in zip(self._window, transformed, strict=True):
            yield len(b), Moments.of(a, centre(b))

    def _centred(self, window: Tensor) -> list[Centred]:
        return [centre(images) for images in torch.split(window, self._piece)]
