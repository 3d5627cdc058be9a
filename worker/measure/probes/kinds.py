"""Which probes there are, and which of them a request asks for."""

from collections.abc import Mapping, Sequence

from zooaudit.contract import WARPS, AuditRequest, TransformName

from worker.measure.probes.consistency import Consistency
from worker.measure.probes.deformation import Deformation
from worker.measure.probes.local_error import LocalError
from worker.measure.probes.statistic import Statistic
from worker.measure.probes.variance import Variance
from worker.measure.transforms import Reflection, Rotation, Shift, Transform
from worker.measure.warps import Warp

Probe = Deformation | LocalError | Consistency | Variance
Found = Mapping[str, Sequence[Statistic]]
"""What a probe has found: by name, a statistic for each representation, or a single one for the whole model."""


def probes_of(request: AuditRequest, transforms: Sequence[Transform]) -> tuple[Probe, ...]:
    """Return the probes that ``request``, which asks for these ``transforms``, asks for."""
    probes: list[Probe] = []
    if request.deformation:
        probes.append(Deformation(request.deformation.displacements_px, request.deformation.cutoff))
    if request.local:
        probes.append(LocalError())
    if request.consistency_draws:
        probes.append(Consistency(request.consistency_draws))
    if request.variance:
        probes += [Variance(name, len(of_kind)) for name, of_kind in by_kind(transforms).items()]
    return tuple(probes)


def by_kind(transforms: Sequence[Transform]) -> dict[TransformName, list[Transform]]:
    """Sort the ``transforms`` whose variance is measured by their kind; of shifts, those under the first border."""
    kinds: dict[TransformName, list[Transform]] = {}
    for transform in transforms:
        kinds.setdefault(_kind(transform), []).append(transform)
    if shifts := kinds.get("translation"):
        kinds["translation"] = [shift for shift in shifts if _border(shift) == _border(shifts[0])]
    return kinds


def _kind(transform: Transform) -> TransformName:
    match transform:
        case Shift():
            return "translation"
        case Rotation():
            return "rotation"
        case Reflection():
            return "reflection"
        case Warp(kind):
            return WARPS[kind]


def _border(transform: Transform) -> str | None:
    return transform.border if isinstance(transform, Shift) else None
