"""The scores of one model under some transforms: what a shard results in, and what all shards of a model add up to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from worker.errors import AuditError
from worker.measure.agreement import Agreement, agreement
from worker.measure.moments import Spread
from worker.measure.probes.kinds import Found, Probe
from worker.measure.scores import Results
from worker.measure.transforms import Reflection, Rotation, Transform
from worker.measure.warps import Warp


@dataclass(frozen=True)
class ModelScores:
    """The scores of one model, and what a report says about how they were measured.

    ``results``            the scores by transform and representation; none in the shard of a probe
    ``probes``             what the probes have found; :data:`worker.measure.probes.kinds.Found`
    ``same_class``         on how many images of each group the top-1 class stayed the same, by transform
    ``reference_spreads``  the spread of each representation of the reference view
    ``groups``             how many images each group has
    ``skipped``            the images that could not be decoded
    ``batch_size``         how many images went through the model at once
    ``used_graphs``        whether full batches were replayed as CUDA graphs, in every pass; None if too few were full
    ``used_tensor_cores``  whether products were made on tensor cores, in every pass; None on a CPU
    ``devices``            on what they were measured, as :func:`worker.devices.describe` says it
    ``forward_images``     how many images went through the model, in all views
    ``started_at``         when measuring began
    ``seconds``            how long it took, added up over all workers
    """

    results: Results
    same_class: Mapping[Transform, Sequence[int]]
    reference_spreads: Sequence[Spread]
    groups: Sequence[int]
    skipped: tuple[str, ...]
    batch_size: int
    used_graphs: bool | None
    used_tensor_cores: bool | None
    devices: tuple[str, ...]
    forward_images: int
    started_at: datetime
    seconds: float
    probes: Mapping[Probe, Found] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """How many images were measured."""
        return sum(self.groups)

    def agreement(self, transform: Transform) -> Agreement:
        """Compute the top-1 agreement under ``transform``."""
        return agreement(self.same_class[transform], self.groups)


def added_up(parts: Iterable[tuple[Sequence[Transform | Probe], ModelScores]]) -> ModelScores:
    """Put the scores of one model together, in the order of the transforms, wherever each was measured.

    Of each part, only the given transforms and probes count. What all parts have in common is taken from the part that
    has the first transform, so the order of the parts changes nothing. Raises AuditError if they saw different images.
    """
    holders = {each: scores for asked, scores in parts for each in asked}
    transforms = [each for each in holders if not isinstance(each, Probe)]
    ordered = {transform: holders[transform] for transform in sorted(transforms, key=_ascending)}
    probed = {each: scores for each, scores in holders.items() if isinstance(each, Probe)}
    of_transforms = list({id(scores): scores for scores in ordered.values()}.values())
    distinct = of_transforms + list({id(scores): scores for scores in probed.values()}.values())
    first = distinct[0]
    if any((scores.groups, scores.skipped) != (first.groups, first.skipped) for scores in distinct):
        raise AuditError("dataset-changed", "The workers of this audit could read different images; try again.")
    return replace(
        first,
        results={transform: scores.results[transform] for transform, scores in ordered.items()},
        same_class={transform: scores.same_class[transform] for transform, scores in ordered.items()},
        used_graphs=in_all(scores.used_graphs for scores in of_transforms),
        used_tensor_cores=in_all(scores.used_tensor_cores for scores in of_transforms),
        devices=tuple(sorted({device for scores in distinct for device in scores.devices})),
        forward_images=sum(scores.forward_images for scores in distinct),
        started_at=min(scores.started_at for scores in distinct),
        seconds=sum(scores.seconds for scores in distinct),
        probes={probe: scores.probes[probe] for probe, scores in sorted(probed.items(), key=lambda item: str(item[0]))},
    )


def in_all(used: Iterable[bool | None]) -> bool | None:
    """Return whether something was used in all parts, or None if that is not known of each."""
    every = list(used)
    return None if None in every else all(every)


def _ascending(transform: Transform) -> tuple[int, float, str]:
    match transform:
        case Rotation(angle_deg):
            return 1, angle_deg, ""
        case Reflection(axis):
            return 2, 0, axis
        case Warp(kind, amount):
            return 3, amount, kind
    return 0, transform.shift_px, transform.border
