"""How an audit is shared out: into shards, each some of its transforms over all images, in whatever order they come.

A shard is measured in one pass over the images, and what it results in is small: scores, not sums. Which transforms
are measured together changes no score, so shards may be cut to whatever fits into memory and keeps all workers busy.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.measure.experiment import Experiment
from worker.measure.forward import Subject
from worker.measure.model_scores import ModelScores
from worker.measure.passes import measure_pass
from worker.measure.transforms import Transform

Task = tuple[int, int]
"""The smallest part of an audit that can be measured: the numbers of a model and of a unit of the plan."""
Measured = list[tuple[Sequence[Transform], ModelScores]]
"""What has been measured of one model: the scores under some transforms, which may have scores under others, too."""


@dataclass(frozen=True)
class Plan:
    """All that an audit has to measure: each of its models under each of the transforms.

    ``fingerprint``  of all that two workers must have in common if their shards shall add up to one report
    ``units``        the transforms that are measured together at least
    ``models``       how many models: number 0 has the audited weights, number 1 + s is the untrained one of seed s
    ``images``       how many images the sample has
    ``adaptive``     whether the units of model 0 find out how many of the images are needed (``tolerance``)
    """

    fingerprint: str
    units: tuple[tuple[Transform, ...], ...]
    models: int
    images: int
    adaptive: bool = False

    def left(self, measured: Mapping[Task, int]) -> list[Task]:
        """Return the tasks that must still be measured, given how many images each measured one has seen.

        All tasks of an audit see the same images. If it is adaptive, these are as many as the most demanding unit
        needs, and a unit that has seen fewer is measured again on as many.
        """
        tasks = [(model, unit) for model in range(self.models) for unit in range(len(self.units))]
        images = self.needed(measured)
        if images is None:
            return [task for task in tasks if task[0] == 0 and task not in measured]
        return [task for task in tasks if measured.get(task, 0) < images or task not in measured]

    def needed(self, measured: Mapping[Task, int]) -> int | None:
        """Return how many images every task must see at least; None while an adaptive audit has not found that out."""
        if not self.adaptive:
            return 0
        of_first = [measured.get((0, unit)) for unit in range(len(self.units))]
        known = [images for images in of_first if images is not None]
        return max(known) if len(known) == len(of_first) else None

    def of_models(self, measured: Iterable[tuple[Task, ModelScores]]) -> "list[Measured]":
        """Sort what has been measured by models."""
        models: list[Measured] = [[] for _ in range(self.models)]
        for (model, unit), scores in measured:
            models[model].append((self.units[unit], scores))
        return models

    def choose(self, free: Sequence[Task], most: int, crew: int) -> list[Task]:
        """Choose a worker's share of the ``free`` tasks: of one model, with at most ``most`` transforms.

        ``crew`` workers are about to share them. Each further share costs one more pass of the reference view, so there
        are no more than workers and memory need. Shifts and rotations are spread over all shares.
        """
        if not free:
            return []
        model = free[0][0]
        fitting = [task for task in free if task[0] == model and len(self.units[task[1]]) <= most]
        if not fitting:
            return []
        largest = max(len(self.units[unit]) for _, unit in fitting)
        fair = math.ceil(len(free) / crew)
        shares = max(math.ceil(len(fitting) / (most // largest)), math.ceil(len(fitting) / fair))
        return fitting[::shares]

    def shard(self, tasks: Sequence[Task], measured: Mapping[Task, int]) -> "Shard":
        """Return the shard of the chosen ``tasks``."""
        transforms = tuple(transform for _, unit in tasks for transform in self.units[unit])
        model = tasks[0][0]
        if not self.adaptive:
            return Shard(model, tuple(tasks), transforms)
        known = [images for (number, _), images in measured.items() if number == 0]
        return Shard(model, tuple(tasks), transforms, self.needed(measured), max(known, default=0))


@dataclass(frozen=True)
class Shard:
    """Some ``tasks`` of one ``model``, which are measured in one pass under their ``transforms``.

    ``limit``     how many images are measured; by default all
    ``at_least``  how many images are needed for sure, where the pass finds out how many are enough
    """

    model: int
    tasks: tuple[Task, ...]
    transforms: tuple[Transform, ...]
    limit: int | None = None
    at_least: int = 0


class Shards(Protocol):
    """The shards of one audit, as one of the workers sees them that measure it."""

    def begin(self, plan: Plan) -> None:
        """Take part in the ``plan``. Comes before all others."""

    def take(self, most: int) -> Shard | None:
        """Take a shard of at most ``most`` transforms. None when there is no more for this worker to do."""

    def given_away(self) -> Collection[Transform]:
        """Return the transforms of the shard taken last that another worker measures instead."""

    def put(self, shard: Shard, scores: ModelScores) -> None:
        """Hand in the scores of a shard; those that were given away count no more."""

    def measured(self) -> Sequence[tuple[Task, ModelScores]]:
        """Return all that has been measured, by whomever; scores may be of several tasks."""


class OwnShards:
    """The shards of an audit that one worker measures alone: the passes that its memory makes necessary."""

    def __init__(self) -> None:
        self._plan = Plan("", (), 0, 0)
        self._images: dict[Task, int] = {}
        self._scores: dict[Task, ModelScores] = {}

    def begin(self, plan: Plan) -> None:
        self._plan = plan

    def take(self, most: int) -> Shard | None:
        tasks = self._plan.choose(self._plan.left(self._images), most, crew=1)
        return self._plan.shard(tasks, self._images) if tasks else None

    def given_away(self) -> Collection[Transform]:
        return ()

    def put(self, shard: Shard, scores: ModelScores) -> None:
        self._images |= dict.fromkeys(shard.tasks, scores.images)
        self._scores |= dict.fromkeys(shard.tasks, scores)

    def measured(self) -> Sequence[tuple[Task, ModelScores]]:
        return list(self._scores.items())


def measure_shards(
    experiment: Experiment, subject_of: Callable[[int], Subject], plan: Plan, shards: Shards, tolerance: float | None
) -> None:
    """Measure shards of the ``plan``, one after another, until there is none left for this worker.

    ``subject_of`` returns the model of a number. Whenever the device runs out of memory, this shard and the later ones
    are measured with half as many images at once.
    """
    batch_size = experiment.budget.batch_size
    show = True
    shards.begin(plan)
    while (shard := shards.take(experiment.budget.transforms)) is not None:
        scores = measure_pass(
            experiment,
            subject_of(shard.model),
            shard.transforms,
            batch_size,
            limit=shard.limit,
            tolerance=None if shard.model else tolerance,
            at_least=shard.at_least,
            show=show and not shard.model,
            given_away=shards.given_away,
        )
        batch_size, show = scores.batch_size, False
        shards.put(shard, scores)
