"""What Redis holds of an audit that workers share: its plan, who has taken what, and how far each of them is.

The service reads it, to show it; the workers change it. Both parse it by :class:`Board`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from zooaudit.contract.audit import Progress
from zooaudit.contract.base import Contract
from zooaudit.contract.problems import Problem
from zooaudit.contract.shards import Shard, Sharing

Task = tuple[int, int]
"""The numbers of a model and of a unit of the plan; 0 is the audited model, 1 + s the untrained one of seed s."""
MEMBER_SHOWN_S = 15.0
"""A worker that has written no progress for this long, and has no shard, takes part no longer."""


class ProbeRecord(Contract):
    """One of an audit's other measures, as people read it, and how many views of an image it sees."""

    name: str
    views: int


class PlanRecord(Contract):
    """The plan of an audit, as the worker that leads it has made it.

    ``software``  the protocol and the versions of all that decides the digits; only workers of the same may take part
    ``units``     the names of the transforms of each unit; each probe is one more unit, after these
    ``most``      how many transforms the leading worker can measure in one pass
    """

    fingerprint: str
    software: str
    models: int
    units: tuple[tuple[str, ...], ...]
    images: int
    adaptive: bool
    most: int
    probes: tuple[ProbeRecord, ...] = ()

    def tasks(self) -> list[Task]:
        return [(model, unit) for model in range(self.models) for unit in range(len(self.units) + len(self.probes))]

    def names(self, tasks: Sequence[Task]) -> tuple[str, ...]:
        """Return the names of the transforms and probes of these tasks."""
        units = (*self.units, *((probe.name,) for probe in self.probes))
        return tuple(name for _, unit in tasks for name in units[unit])

    def views(self, tasks: Sequence[Task], most: int | None = None) -> int:
        """Count the views of an image that these tasks of one model see, in passes of at most ``most`` transforms: each
        pass sees the reference view, too."""
        count = len(self.units)
        transforms = sum(len(self.units[unit]) for _, unit in tasks if unit < count)
        of_probes = sum(self.probes[unit - count].views for _, unit in tasks if unit >= count)
        return transforms + math.ceil(transforms / (most or max(1, transforms))) + of_probes


class ShardRecord(Contract):
    """A shard that has been taken, by the attempt ``token`` at the job ``job``.

    ``images``   how many images it has measured, when it is done
    ``forward``  how many forward images that were
    """

    job: str
    token: str
    worker: str
    device: str
    state: Literal["measuring", "done"] = "measuring"
    images: int = 0
    forward: int = 0


class MemberRecord(Contract):
    """A worker that takes part: how far it is with the ``shard`` it measures, in forward images.

    ``at_s``  when it said so, in seconds
    ``rate``  forward images per second, over all that it has measured of this audit
    """

    worker: str
    at_s: float
    shard: str | None = None
    done: int = 0
    total: int = 0
    rate: float | None = None


@dataclass(frozen=True)
class Board:
    """All that Redis holds of a shared audit.

    ``version``  counts the changes of all but ``members``
    ``taken``    the name of the shard that each task is in, if it has been taken
    ``shards``   by name, in the order in which they were taken
    ``deaths``   how many workers have died on each task
    ``failure``  why the audit fails, if a shard has
    ``members``  the workers that take part, by the token of their attempt
    """

    plan: PlanRecord
    version: int
    taken: Mapping[Task, str]
    shards: Mapping[str, ShardRecord]
    deaths: Mapping[Task, int] = field(default_factory=dict)
    failure: Problem | None = None
    repeated: int = 0
    members: Mapping[str, MemberRecord] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Mapping[bytes, bytes], members: Mapping[bytes, bytes] | None = None) -> "Board | None":
        """Read the hashes of ``contract.board_key`` and ``contract.members_key``; None where there is no plan."""
        if b"plan" not in fields:
            return None
        found: dict[str, dict[str, str]] = {"task": {}, "shard": {}, "deaths": {}}
        for name, value in fields.items():
            kind, _, rest = name.decode().partition(":")
            if rest:
                found[kind][rest] = value.decode()
        shards = {name: ShardRecord.model_validate_json(value) for name, value in found["shard"].items()}
        failure = fields.get(b"failure")
        return cls(
            plan=PlanRecord.model_validate_json(fields[b"plan"]),
            version=int(fields.get(b"version", 0)),
            taken={_task(name): shard for name, shard in found["task"].items() if shard in shards},
            shards=dict(sorted(shards.items(), key=lambda item: number_of(item[0]))),
            deaths={_task(name): int(count) for name, count in found["deaths"].items()},
            failure=Problem.model_validate_json(failure) if failure else None,
            repeated=int(fields.get(b"repeated", 0)),
            members={
                token.decode(): MemberRecord.model_validate_json(value) for token, value in (members or {}).items()
            },
        )

    def tasks_of(self, shard: str) -> list[Task]:
        """Return the tasks that are in a shard now."""
        return sorted(task for task, name in self.taken.items() if name == shard)

    def measured(self) -> dict[Task, int]:
        """Return how many images each task has been measured on, if it is done."""
        return {
            task: self.shards[name].images for task, name in self.taken.items() if self.shards[name].state == "done"
        }

    def in_flight(self) -> dict[str, ShardRecord]:
        """Return the shards that are being measured, and still have tasks."""
        with_tasks = {*self.taken.values()}
        return {name: shard for name, shard in self.shards.items() if shard.state == "measuring" and name in with_tasks}

    def member_of(self, shard: str) -> MemberRecord | None:
        """Return what the worker that measures a shard has said of it."""
        member = self.members.get(self.shards[shard].token)
        return member if member and member.shard == shard else None

    def waiting(self) -> list[Task]:
        """Return the tasks that nobody has taken."""
        return [task for task in self.plan.tasks() if task not in self.taken]

    def sharing(self, now_s: float) -> Sharing:
        """Return who measures what, as people want to see it."""
        shown = []
        for name, shard in self.shards.items():
            if tasks := self.tasks_of(name):
                done, total = (shard.forward, shard.forward) if shard.state == "done" else self._done_of(name)
                shown.append(
                    Shard(
                        baseline_seed=tasks[0][0] - 1 if tasks[0][0] else None,
                        transforms=self.plan.names(tasks),
                        worker=shard.worker,
                        device=shard.device,
                        state=shard.state,
                        done=done,
                        total=total,
                    )
                )
        at_work = {shard.token for shard in self.in_flight().values()}
        joining = {token for token, member in self.members.items() if now_s - member.at_s < MEMBER_SHOWN_S}
        return Sharing(
            shards=tuple(shown),
            waiting=len(self.plan.names(self.waiting())),
            workers=len(at_work | joining),
            repeated=self.repeated,
        )

    def progress(self, last: Progress) -> Progress:
        """Return how far all workers together are, where the leading one has said ``last`` how far it is."""
        done = sum(shard.forward for shard in self.shards.values() if shard.state == "done")
        total = done
        rates, longest_s = [], 0.0
        for name in self.in_flight():
            member = self.member_of(name)
            of_shard, wanted = self._done_of(name)
            done += of_shard
            total += wanted
            if member and member.rate:
                rates.append(member.rate)
                longest_s = max(longest_s, (wanted - of_shard) / member.rate)
        for model in range(self.plan.models):
            waiting = [task for task in self.waiting() if task[0] == model]
            total += self.plan.images * self.plan.views(waiting, self.plan.most)
        left_s = (total - done) / sum(rates) if rates else 0.0 if done >= total else None
        eta_s = last.eta_s if left_s is None else max(left_s, longest_s)
        return last.model_copy(update={"done": done, "total": max(total, done), "eta_s": eta_s})

    def _done_of(self, shard: str) -> tuple[int, int]:
        """Return how many forward images of a shard are done, and how many it has."""
        if (member := self.member_of(shard)) and member.total:
            return min(member.done, member.total), member.total
        return 0, self.plan.images * self.plan.views(self.tasks_of(shard))


def task_field(task: Task) -> str:
    """Return the field of a board's hash that names the shard of a task."""
    return f"task:{task[0]}/{task[1]}"


def shard_field(name: str) -> str:
    return f"shard:{name}"


def deaths_field(task: Task) -> str:
    return f"deaths:{task[0]}/{task[1]}"


def number_of(shard: str) -> int:
    """Return the number in a shard's name, which counts the shards of an audit.

    >>> number_of("12-5f0c")
    12
    """
    return int(shard.partition("-")[0])


def readable(fields: Mapping[bytes, bytes], members: Mapping[bytes, bytes]) -> Board | None:
    """Read a board; None also for one that this version cannot read."""
    try:
        return Board.read(fields, members)
    except (ValidationError, ValueError, LookupError):
        return None


def _task(name: str) -> Task:
    model, _, unit = name.partition("/")
    return int(model), int(unit)


Changes = dict[str, Any]


def released(board: Board, names: Iterable[str], *, died: bool) -> tuple[Changes, list[str], int]:
    """Return what becomes of a board when the workers of some shards stop measuring them: the fields to set, the
    fields to delete, and how often the workers of one task have died by now."""
    changes: Changes = {}
    gone: list[str] = []
    repeated, most = board.repeated, 0
    for name in names:
        gone.append(shard_field(name))
        member = board.member_of(name)
        repeated += member.done if member else 0
        for task in board.tasks_of(name):
            gone.append(task_field(task))
            if died:
                deaths = board.deaths.get(task, 0) + 1
                changes[deaths_field(task)] = deaths
                most = max(most, deaths)
    if repeated != board.repeated:
        changes["repeated"] = repeated
    return changes, gone, most
