"""Measure the shards of an audit, one after another: all of them, or those that no other worker has taken."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from worker.measure.experiment import Experiment
from worker.measure.forward import Subject
from worker.measure.model_scores import ModelScores
from worker.measure.passes import measure_pass
from worker.measure.plan import Plan, Shard, Task
from worker.measure.probe_pass import measure_probe
from worker.measure.probes.kinds import Probe
from worker.measure.transforms import Transform


class Shards(Protocol):
    """The shards of one audit, as one of the workers sees them that measure it."""

    def begin(self, plan: Plan) -> None:
        """Take part in the ``plan``. Comes before all others."""

    def take(self) -> Shard | None:
        """Take a shard. None when there is no more for this worker to do."""

    def given_away(self) -> Collection[Transform | Probe]:
        """Return the transforms, or the probe, of the shard taken last that another worker measures instead."""

    def put(self, shard: Shard, scores: ModelScores) -> None:
        """Hand in the scores of a shard; those that were given away count no more."""

    def measured(self) -> Sequence[tuple[Task, ModelScores]]:
        """Return all that has been measured, by whomever; scores may be of several tasks."""

    @property
    def workers(self) -> int:
        """How many workers have measured it."""

    @property
    def repeated(self) -> int:
        """How many forward images were measured for nothing."""


class OwnShards:
    """The shards of an audit that one worker measures alone: the passes that its memory makes necessary."""

    workers = 1
    repeated = 0

    def __init__(self) -> None:
        self._plan = Plan("", (), 0, 0, 1)
        self._images: dict[Task, int] = {}
        self._scores: dict[Task, ModelScores] = {}

    def begin(self, plan: Plan) -> None:
        self._plan = plan

    def take(self) -> Shard | None:
        tasks = self._plan.choose(self._plan.left(self._images), crew=1)
        return self._plan.shard(tasks, self._images) if tasks else None

    def given_away(self) -> Collection[Transform | Probe]:
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
    while (shard := shards.take()) is not None:
        subject = subject_of(shard.model)
        if shard.probe:
            scores = measure_probe(
                experiment, subject, shard.probe, batch_size, limit=shard.limit, given_away=shards.given_away
            )
        else:
            scores = measure_pass(
                experiment,
                subject,
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
