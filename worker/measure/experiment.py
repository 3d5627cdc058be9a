"""What all passes of one audit share: the representations, the images, and how views are cut and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from zooaudit.contract import BORDERS, AuditRequest, Border, PartName

from worker.depth import Representation
from worker.images.stream import Stream
from worker.measure.budget import Budget
from worker.measure.probes.consistency import OFFSET_PX
from worker.measure.probes.kinds import Probe
from worker.measure.probes.local_error import STEPS
from worker.measure.progress import ForwardCounter
from worker.measure.scores import Results, ScoreTable, tabulate
from worker.measure.similarity import Similarity
from worker.measure.transforms import Alignment, Reflection, Rotation, Shift, Transform, Views, align
from worker.measure.warps import KERNEL, Warp, margin


@dataclass(frozen=True)
class Experiment:
    """The set-up of one audit. The model and its untrained baselines are measured in the same one.

    ``representations``  whose feature maps are compared, from the input to the output
    ``absent``           why the model has no Pool or no Final, if it has none
    ``views``            how views are cut from a canvas
    ``similarities``     what the request asks for; the scores of the report's parts and blocks are by the first
    ``borders``          what the request asks for; the scores of the report's parts and blocks are under the first
    ``transforms``       all that the request asks for
    ``probes``           the other measures that it asks for
    ``seed``             of all that is drawn at random for an image
    ``budget``           how many images go through at once, and how many transforms one pass over them can measure
    ``stream``           the images
    ``forwards``         counts the forward passes and tells the progress
    """

    representations: Sequence[Representation]
    absent: Mapping[PartName, str]
    views: Views
    similarities: tuple[Similarity, ...]
    borders: tuple[Border, ...]
    transforms: tuple[Transform, ...]
    probes: tuple[Probe, ...]
    seed: int
    budget: Budget
    stream: Stream
    forwards: ForwardCounter

    @cached_property
    def windows(self) -> list[set[tuple[int, int]]]:
        """The sizes of the windows of each representation's maps that the transforms compare; warps compare none."""
        return [
            {
                (alignment.height, alignment.width)
                for transform in self.transforms
                if not isinstance(transform, Warp)
                and isinstance(alignment := align(transform, one.height, one.width, self.views.size), Alignment)
            }
            for one in self.representations
        ]

    def table(self, results: Results, similarity: Similarity | None = None, border: Border | None = None) -> ScoreTable:
        """Tabulate ``results`` by one similarity and under one border, by default the experiment's first."""
        return tabulate(
            results,
            self.representations,
            self.absent,
            self.views.size,
            similarity or self.similarities[0],
            border or self.borders[0],
        )


def similarities_of(request: AuditRequest) -> tuple[Similarity, ...]:
    """Return the similarities that ``request`` asks for, the main one first."""
    return ("correlation", "cosine") if request.similarity == "both" else (request.similarity,)


def borders_of(request: AuditRequest) -> tuple[Border, ...]:
    """Return the borders that ``request`` asks for, the main one first."""
    return BORDERS if request.border == "all" else (request.border,)


def transforms_of(request: AuditRequest) -> tuple[Transform, ...]:
    """Return the transforms that ``request`` asks for: shifts under each border, rotations, reflections, warps."""
    shifts = [
        Shift(shift_px, border, request.direction)
        for border in borders_of(request)
        for shift_px in request.translations_px
    ]
    return (*shifts, *map(Rotation, request.rotations_deg), *map(Reflection, request.reflections), *warps_of(request))


def warps_of(request: AuditRequest) -> tuple[Warp, ...]:
    """Return the warps that ``request`` asks for."""
    return tuple(Warp(each.kind, amount) for each in request.warps for amount in each.amounts)


def views_of(request: AuditRequest, size: int) -> Views:
    """Return how views of ``size`` pixels are cut from canvases that have room for all that ``request`` asks for."""
    warps = (*warps_of(request), *(STEPS if request.local else ()))
    overhang = max(margin(warps, size), KERNEL if request.deformation else 0)
    windows = OFFSET_PX - overhang if request.consistency_draws else 0
    return Views(size, max((*request.translations_px, overhang, windows)), overhang)
