"""The measuring itself: forward passes of all views, compared representation by representation as they run.

Nothing here knows of queues, files or model names. The maps of the reference view are kept for one batch; those of a
transformed view are compared within the forward pass that makes them and are gone with it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from worker.forward import Shape, Subject
from worker.moments import Moments, Spread, centre
from worker.transforms import Alignment, Transform, Views, align


@dataclass(frozen=True)
class Measurement:
    """What ``images`` images gave under each transform; measurements of different images add.

    ``moments``: of every representation, or why its maps cannot be laid upon each other. ``agreements``: on how many
    images the model's top-1 class stayed. ``reference``: how the reference view's representations are spread.
    """

    images: int
    moments: dict[Transform, list[Moments | str]]
    agreements: dict[Transform, int]
    reference: list[Spread]

    def __add__(self, other: "Measurement") -> "Measurement":
        return Measurement(
            self.images + other.images,
            {
                transform: [_plus(mine, theirs) for mine, theirs in zip(row, other.moments[transform], strict=True)]
                for transform, row in self.moments.items()
            },
            {transform: count + other.agreements[transform] for transform, count in self.agreements.items()},
            [mine + theirs for mine, theirs in zip(self.reference, other.reference, strict=True)],
        )


def _plus(mine: Moments | str, theirs: Moments | str) -> Moments | str:
    return mine if isinstance(mine, str) or isinstance(theirs, str) else mine + theirs


def measure(
    subject: Subject,
    views: Views,
    plan: Sequence[Shape],
    transforms: Sequence[Transform],
    batches: Iterable[Tensor],
    on_forward: Callable[[int], None] | None = None,
) -> Measurement:
    """Measure all images under ``transforms``: one forward pass of the reference view and one of each transform.

    ``batches`` are pixels (N, side, side, 3) uint8 with side = ``views.size + views.room``; ``plan`` holds the shapes
    of the representations, from :func:`worker.forward.shapes`. ``on_forward`` is told after each forward pass how
    many images went through. Memory does not grow with the number of images.
    """
    batches = iter(batches)
    # The first batch first, because decoding begins with a fork: what is allocated before is copied when it is written.
    first = next(batches, None)
    totals = _Totals(subject, views, plan, transforms)
    with torch.inference_mode():
        for pixels in chain([] if first is None else [first], batches):
            canvas = subject.canvas(pixels)
            totals.see_reference(views.reference(canvas))
            if on_forward:
                on_forward(len(pixels))
            for transform in transforms:
                totals.see_transformed(transform, views.transformed(canvas, transform))
                if on_forward:
                    on_forward(len(pixels))
    return totals.measurement()


class _Totals:
    """The running sums of one pass over the images, and the reference maps of the present batch."""

    def __init__(self, subject: Subject, views: Views, plan: Sequence[Shape], transforms: Sequence[Transform]) -> None:
        self._subject = subject
        self._alignments = {
            transform: [align(transform, shape.height, shape.width, views.size, views.border) for shape in plan]
            for transform in transforms
        }
        self._moments: dict[Transform, list[Moments | str]] = {
            transform: [
                alignment if isinstance(alignment, str) else Moments.empty(shape.channels, subject.device)
                for alignment, shape in zip(row, plan, strict=True)
            ]
            for transform, row in self._alignments.items()
        }
        nothing = torch.zeros((), dtype=torch.int64, device=subject.device)
        self._agreements = dict.fromkeys(transforms, nothing)
        self._spreads = [Spread.empty(shape.channels, subject.device) for shape in plan]
        self._images = 0
        self._references: list[Reference] = []
        self._classes = nothing

    def see_reference(self, view: Tensor) -> None:
        self._references = []
        output = self._subject.forward(view, lambda _index, found: self._references.append(Reference(found)))
        self._classes = output.argmax(1)
        self._spreads = [
            spread + reference.spread for spread, reference in zip(self._spreads, self._references, strict=True)
        ]
        self._images += len(view)

    def see_transformed(self, transform: Transform, view: Tensor) -> None:
        alignments, moments = self._alignments[transform], self._moments[transform]

        def compare(index: int, found: Tensor) -> None:
            alignment, total = alignments[index], moments[index]
            if isinstance(alignment, Alignment) and isinstance(total, Moments):
                total += self._references[index].compare(found, alignment)
                moments[index] = total

        output = self._subject.forward(view, compare)
        self._agreements[transform] = self._agreements[transform] + (output.argmax(1) == self._classes).sum()

    def measurement(self) -> Measurement:
        agreements = {transform: int(count) for transform, count in self._agreements.items()}
        return Measurement(self._images, self._moments, agreements, self._spreads)


class Reference:
    """One representation of the reference view for one batch; it remembers its latest window, since shifts in
    ascending order cut the same one several times in a row."""

    def __init__(self, found: Tensor) -> None:
        # A copy, because the layers that follow may work in place.
        self._map = found.to(torch.float32, copy=True)
        self._size = (found.shape[1], found.shape[2])
        self._window = centre(self._map)
        self.spread = Spread.of(self._window)

    def compare(self, found: Tensor, alignment: Alignment) -> Moments:
        """The moments of this batch: the reference against ``found``, the same representation of a transformed view."""
        if self._size != (alignment.height, alignment.width):
            self._size = (alignment.height, alignment.width)
            self._window = centre(alignment.of_reference(self._map))
        return Moments.of(self._window, centre(alignment.of_transformed(found)))
