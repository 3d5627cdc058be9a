"""What an audit has to measure, and how it is cut into shards: some of its transforms each, over all images.

A shard is measured in one pass over the images, and what it results in is small: scores, not sums. Which transforms
are measured together changes no score, so shards may be cut to whatever fits into memory and keeps all workers busy.
A probe is a measure of another kind (:mod:`worker.measure.probes`), and a shard by itself.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # only for types: whoever shares an audit out needs no torch
    from worker.measure.model_scores import ModelScores
    from worker.measure.probes.kinds import Probe
    from worker.measure.transforms import Transform

Task = tuple[int, int]
"""The smallest part of an audit that can be measured: the numbers of a model and of a unit of the plan."""
Measured = list[tuple[Sequence["Transform | Probe"], "ModelScores"]]
"""What has been measured of one model: the scores under some transforms, which may have scores under others, too."""


@dataclass(frozen=True)
class Plan:
    """All that an audit has to measure: each of its models under each of the transforms.

    ``fingerprint``  of all that two workers must have in common if their shards shall add up to one report
    ``units``        the transforms that are measured together at least; each probe is one more unit, after these
    ``models``       how many models: number 0 has the audited weights, number 1 + s is the untrained one of seed s
    ``images``       how many images the sample has
    ``most``         how many transforms this worker can measure in one pass
    ``adaptive``     whether the transforms of model 0 find out how many of the images are needed (``tolerance``)
    ``probes``       the other measures
    """

    fingerprint: str
    units: "tuple[tuple[Transform, ...], ...]"
    models: int
    images: int
    most: int
    adaptive: bool = False
    probes: "tuple[Probe, ...]" = ()

    def left(self, measured: Mapping[Task, int]) -> list[Task]:
        """Return the tasks that must still be measured, given how many images each measured one has seen."""
        return left(self.models, len(self.units), len(self.probes), self.adaptive, measured)

    def in_unit(self, unit: int) -> "tuple[Transform | Probe, ...]":
        """Return the transforms of a unit, or its probe."""
        return self.units[unit] if unit < len(self.units) else (self.probes[unit - len(self.units)],)

    def of_models(self, measured: "Iterable[tuple[Task, ModelScores]]") -> "list[Measured]":
        """Sort what has been measured by models."""
        models: list[Measured] = [[] for _ in range(self.models)]
        for (model, unit), scores in measured:
            models[model].append((self.in_unit(unit), scores))
        return models

    def choose(self, free: Sequence[Task], crew: int) -> list[Task]:
        """Choose this worker's share of the ``free`` tasks: of one model, and no more than one pass can measure.

        ``crew`` workers are about to share them. Each further share costs one more pass of the reference view, so there
        are no more than workers and memory need. The kinds of transforms are spread over all shares. Probes come last.
        """
        if not free:
            return []
        model = free[0][0]
        of_transforms = [task for task in free if task[0] == model and task[1] < len(self.units)]
        if not of_transforms:
            return [free[0]]
        fitting = [task for task in of_transforms if len(self.units[task[1]]) <= self.most]
        if not fitting:
            return []
        largest = max(len(self.units[unit]) for _, unit in fitting)
        fair = math.ceil(len(free) / crew)
        shares = max(math.ceil(len(fitting) / (self.most // largest)), math.ceil(len(fitting) / fair))
        return fitting[::shares]

    def shard(self, tasks: Sequence[Task], measured: Mapping[Task, int]) -> "Shard":
        """Return the shard of the chosen ``tasks``."""
        model, unit = tasks[0]
        if unit >= len(self.units):
            shard = Shard(model, tuple(tasks), (), self.probes[unit - len(self.units)])
        else:
            shard = Shard(model, tuple(tasks), tuple(each for _, unit in tasks for each in self.units[unit]))
        if not self.adaptive:
            return shard
        known = [images for (number, _), images in measured.items() if number == 0]
        return replace(shard, limit=_needed(len(self.units), measured), at_least=max(known, default=0))


@dataclass(frozen=True)
class Shard:
    """Some ``tasks`` of one ``model``, which are measured in one pass under their ``transforms``, or by a ``probe``.

    ``limit``     how many images are measured; by default all
    ``at_least``  how many images are needed for sure, where the pass finds out how many are enough
    """

    model: int
    tasks: tuple[Task, ...]
    transforms: "tuple[Transform, ...]"
    probe: "Probe | None" = None
    limit: int | None = None
    at_least: int = 0

    @property
    def views(self) -> int:
        """How many views of an image the pass sees."""
        return self.probe.views if self.probe else 1 + len(self.transforms)


def left(models: int, units: int, probes: int, adaptive: bool, measured: Mapping[Task, int]) -> list[Task]:
    """Return the tasks of a plan that must still be measured, given how many images each measured one has seen.

    All tasks of an audit see the same images. If it is adaptive, these are as many as the most demanding unit of
    transforms needs, and a unit that has seen fewer is measured again on as many.
    """
    tasks = [(model, unit) for model in range(models) for unit in range(units + probes)]
    images = _needed(units, measured) if adaptive else 0
    if images is None:
        return [task for task in tasks if task[0] == 0 and task[1] < units and task not in measured]
    return [task for task in tasks if measured.get(task, -1) < images]


def _needed(units: int, measured: Mapping[Task, int]) -> int | None:
    """Return how many images every task of an adaptive plan must see; None while that is not known."""
    of_first = [measured[0, unit] for unit in range(units) if (0, unit) in measured]
    return max(of_first) if len(of_first) == units else None
