"""However an audit is cut into shards, whoever measures them and in whatever order, its report is the same."""

import random
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from zooaudit.contract import Report

from tests.worker.small_audits import audit
from worker.measure.model_scores import ModelScores
from worker.measure.plan import Plan, Shard, Task
from worker.measure.probes.kinds import Probe
from worker.measure.shard_files import DamagedShard, from_bytes, to_bytes
from worker.measure.shards import OwnShards
from worker.measure.transforms import Transform

MANY = {"num_images": 12, "translations_px": [1, 2, 3, 5, 8, 16], "rotations_deg": [90, 180, 270]}


PROBED = {"deformation": {"displacements_px": [1]}, "local": True, "consistency_draws": 1, "variance": True}


class ScatteredShards(OwnShards):
    """Shards of random size and composition in random order, written to bytes and read back, some of whose transforms
    are taken away while they are measured."""

    def __init__(self, seed: int, *, gives_away: bool = True) -> None:
        super().__init__()
        self._gives_away = gives_away
        self._random = random.Random(seed)
        self._stored: list[bytes] = []
        self._away: tuple[Task, ...] = ()
        self._asked = 0
        self._shard = Shard(0, (), ())
        self.shards = self.taken_away = 0

    def take(self) -> Shard | None:
        free = self._plan.left(self._images)
        if not free:
            return None
        chosen = self._random.choice(free)
        if chosen[1] >= len(self._plan.units):  # a probe is a shard by itself
            self._shard, self._asked, self._away = self._plan.shard([chosen], self._images), 0, ()
            return self._shard
        of_model = [task for task in free if task[0] == chosen[0] and task[1] < len(self._plan.units)]
        tasks = self._random.sample(of_model, self._random.randint(1, min(self._plan.most, len(of_model))))
        self._shard, self._asked, self._away = self._plan.shard(tasks, self._images), 0, ()
        return self._shard

    def given_away(self) -> Collection[Transform | Probe]:
        self._asked += 1
        if self._gives_away and self._asked == 2 and self._random.random() < 0.5:
            self._away = tuple(self._random.sample(self._shard.tasks, self._random.randint(1, len(self._shard.tasks))))
            self.taken_away += len(self._away)
        return [transform for _, unit in self._away for transform in self._plan.in_unit(unit)]

    def put(self, shard: Shard, scores: ModelScores) -> None:
        self.shards += 1
        own = tuple(task for task in shard.tasks if task not in self._away)
        self._images |= dict.fromkeys(own, scores.images)
        self._stored = [stored for stored in self._stored if not set(from_bytes(stored)[0]) & set(own)]
        self._stored.append(to_bytes(own, scores))

    def measured(self) -> Sequence[tuple[Task, ModelScores]]:
        self._random.shuffle(self._stored)
        return [(task, scores) for content in self._stored for tasks, scores in [from_bytes(content)] for task in tasks]


def content(report: Report) -> str:
    return report.model_dump_json(exclude={"environment", "timing"})


@pytest.mark.parametrize(
    "request_of",
    [
        {"model": "timm/test_resnet.r160_in1k", "similarity": "both", "border": "all"},
        {"model": "timm/test_vit.r160_in1k", "direction": "down", "reflections": ["horizontal", "vertical"]},
        {"model": "timm/test_efficientnet.r160_in1k", "num_images": 37},
        {"model": "timm/test_resnet.r160_in1k", "translations_px": [3], "rotations_deg": [], **PROBED},
    ],
    ids=["borders", "reflections", "efficientnet", "probes"],
)
def test_shards_add_up_to_the_report_of_one_worker_to_the_last_digit(request_of: dict[str, Any]) -> None:
    whole = content(audit(MANY | request_of))
    shares = taken_away = 0
    for seed in range(3):
        shards = ScatteredShards(seed)
        assert content(audit(MANY | request_of, shards=shards)) == whole
        shares += shards.shards
        taken_away += shards.taken_away
    assert shares > 6
    assert taken_away


def test_a_tolerance_needs_the_same_images_in_whatever_order_its_passes_are_measured() -> None:
    asked = MANY | {"num_images": 300, "tolerance": 0.4, "consistency_draws": 1}
    # With so little memory, each transform is a pass of its own, and they need different numbers of images.
    whole = audit(asked, memory_gib=0.01, batch_size=8)
    assert whole.images.stopped == "tolerance"
    for seed in range(2):
        again = audit(asked, memory_gib=0.01, batch_size=8, shards=ScatteredShards(seed, gives_away=False))
        assert content(again) == content(whole)


def test_one_worker_measures_in_as_few_passes_as_its_memory_allows() -> None:
    for most, sizes in ((35, [35, 35]), (18, [18, 17, 18, 17]), (12, [12, 12, 11] * 2), (1, [1] * 70)):
        plan = Plan("", tuple((shift,) for shift in range(35)), 2, 10, most)  # type: ignore[arg-type]
        left, taken = {}, []
        while tasks := plan.choose(plan.left(left), crew=1):
            taken.append(len(tasks))
            left |= dict.fromkeys(tasks, 10)
        assert taken == sizes


@pytest.mark.parametrize(
    ("crew", "sizes"), [(2, [18, 17]), (3, [12, 12, 11]), (16, [3] * 3 + [2] * 13), (64, [1] * 35)]
)
def test_workers_that_come_at_once_share_an_audit_fairly(crew: int, sizes: list[int]) -> None:
    plan = Plan("", tuple((shift,) for shift in range(35)), 1, 10, 35)  # type: ignore[arg-type]
    free, taken = plan.left({}), []
    while tasks := plan.choose(free, max(1, crew - len(taken))):
        taken.append(len(tasks))
        free = [task for task in free if task not in tasks]
    assert sorted(taken, reverse=True) == sizes


def test_damaged_shards_are_recognised() -> None:
    shards = ScatteredShards(0)
    audit(shards=shards)
    whole = shards._stored[0]
    for damaged in (b"", whole[:7], whole[:100], whole[:-1], whole.replace(b"pivot", b"pavot"), b"\xff" * 200):
        with pytest.raises(DamagedShard):
            from_bytes(damaged)
