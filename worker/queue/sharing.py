"""The shards of an audit that workers share: one leads it, which plans and reports, and idle ones help with it.

What has been taken stands on a board in Redis (``contract.Board``), what has been measured lies in the report store.
Every change of the board is made in the name of an :class:`Attempt`, and only if nobody has changed it since it was
read. A shard whose worker has died, or gives no sign of life, is free again. Nothing that has been measured is lost:
the worker that leads an audit next goes on with what it finds in the store, even if Redis has been emptied.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError
from rq.job import Job
from zooaudit import __version__
from zooaudit.contract import (
    ATTEMPTS,
    IDLE_KEY,
    OPEN_KEY,
    PROTOCOL,
    Board,
    MemberRecord,
    PlanRecord,
    Problem,
    Progress,
    ShardRecord,
    board_key,
    members_key,
    problem,
    shards_prefix,
    state_key,
    unfit_key,
)
from zooaudit.contract.board import Changes, readable, released, shard_field, task_field

from worker.errors import AuditError
from worker.measure.plan import Plan, Shard, Task, left
from worker.queue.attempt import Attempt
from worker.queue.audit_state import AuditState
from worker.queue.report_store import ReportStore, StoreUnavailable

if TYPE_CHECKING:  # torch is imported by the process that measures, and not before
    from worker.measure.model_scores import ModelScores
    from worker.measure.transforms import Transform

log = logging.getLogger("zooaudit.worker")

LOOK_EVERY_S = 0.5
"""The pause of a worker that waits for the shards of others."""
JOINING_S = 60.0
"""How long a worker may take to load the model before others no longer count on it."""
SILENT_S = 120.0
"""Others may take all transforms of a worker that has said nothing for so long, though its process lives."""
RETRY_STORE_EVERY_S = 30.0
UNFIT_FOR_S = 86_400
"""For how long a worker that could not help with an audit does not try again."""
IN_VAIN_FOR_S = 60
"""The same for one that loaded the model and found nothing to take."""
TAKEN_UNTIL = 0.3
"""No transforms are taken from a worker that has done more than this share of its shard: all that would be repeated."""
MUCH_FASTER = 3.0
"""Unless the taker is so much faster that it repeats it in little time."""

# One command, so that a change is made whole or not at all, and never in the name of an attempt that counts no more.
CHANGE = """
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 'superseded' end
if (redis.call('HGET', KEYS[2], 'version') or '') ~= ARGV[2] then return 'changed' end
local change = cjson.decode(ARGV[3])
for _, field in ipairs(change.delete) do redis.call('HDEL', KEYS[2], field) end
for field, value in pairs(change.set) do redis.call('HSET', KEYS[2], field, value) end
redis.call('HINCRBY', KEYS[2], 'version', 1)
return 'done'
"""


class Left(Exception):
    """Ends the work of a helper, because its audit needs it no more."""


class Unfit(Left):
    """Ends it because this worker would measure something else."""


class HandedBack(Exception):
    """Ends an attempt between two shards, since a more urgent audit waits; this one goes on later."""


@cache
def software() -> str:
    """Return what decides the digits of a shard, apart from the device: workers of unlike software never share."""
    return f"protocol {PROTOCOL}, zooaudit {__version__}, " + ", ".join(
        f"{library} {version(library)}" for library in ("torch", "timm", "torchvision")
    )


def worker_name() -> str:
    """Return the machine and the process, as people know a worker."""
    return f"{socket.gethostname()}:{os.getppid()}"


class AuditShards:
    """The shards of the audit ``identifier``, for one worker that takes part by its ``attempt``.

    The attempt is one at the audit's own job, whose worker leads, or at a job that helps.
    """

    def __init__(self, identifier: str, attempt: Attempt, state: AuditState, store: ReportStore, device: str) -> None:
        self._id = identifier
        self._attempt = attempt
        self._leads = attempt.job.id == identifier
        self._state = state
        self._store = store
        self._device = device
        self._redis: Any = attempt.job.connection
        self._plan: Plan | None = None
        self._shard: tuple[str, Shard] | None = None
        self._lost: frozenset[Transform] = frozenset()
        self.has_taken = False
        self._board_version: bytes | None = None
        self._before = self._counted = 0
        self._begun_s = time.monotonic()
        self._last = Progress()
        self._kept: dict[str, tuple[tuple[Task, ...], ModelScores]] = {}
        self._workers: set[str] = set()
        self._repeated = 0

    @property
    def measuring(self) -> bool:
        """Whether this worker measures a shard now."""
        return self._shard is not None

    @property
    def workers(self) -> int:
        """How many workers have measured the shards."""
        return max(1, len(self._workers))

    @property
    def repeated(self) -> int:
        """How many forward images were measured for nothing."""
        return self._repeated

    # Taking part

    def begin(self, plan: Plan) -> None:
        self._plan, self._begun_s = plan, time.monotonic()
        if not self._leads:
            board = self._board()
            if board is None or board.plan.fingerprint != plan.fingerprint:
                raise Unfit("other images, weights, software or memory than the worker's that leads")
            return
        while True:
            board = self._board()
            if board is not None and board.plan.fingerprint == plan.fingerprint:
                if self._go_on(board):
                    break
            elif self._write_plan(plan, board):
                break
        self._redis.zadd(OPEN_KEY, {self._id: self._attempt.job.created_at.timestamp()})

    def _go_on(self, board: Board) -> bool:
        """Free what a former attempt of the leading worker had taken. Returns False if the board has changed."""
        former = [name for name, shard in board.in_flight().items() if shard.job == self._id]
        return not former or self._release(board, former, died=False)

    def _write_plan(self, plan: Plan, board: Board | None) -> bool:
        """Write the plan, with all that the store has of it. Returns False if the board has changed."""
        changes: Changes = {"plan": self._record(plan).model_dump_json()}
        stale = [task_field(task) for task in board.taken] if board else []
        stale += [shard_field(name) for name in board.shards] if board else []
        images = 0
        for key in self._store.shards(shards_prefix(self._id, plan.fingerprint)):
            if (found := self._read(key)) is None:
                continue
            tasks, scores = found
            name = key.rpartition("/")[2].removesuffix(".safetensors")
            shard = ShardRecord(
                job=self._id,
                token=name.partition("-")[2],
                worker="an earlier attempt",
                device=", ".join(scores.devices),
                state="done",
                images=scores.images,
                forward=scores.forward_images,
            )
            changes[shard_field(name)] = shard.model_dump_json()
            changes |= {task_field(task): name for task in tasks}
            images += scores.forward_images
        if images:
            log.info("%s: goes on after %d forward images, whose scores are in the store", self._id, images)
        return self._change(board, changes, [field for field in stale if field not in changes])

    def _record(self, plan: Plan) -> PlanRecord:
        return PlanRecord(
            fingerprint=plan.fingerprint,
            software=software(),
            models=plan.models,
            units=tuple(tuple(map(str, unit)) for unit in plan.units),
            images=plan.images,
            adaptive=plan.adaptive,
            most=plan.most,
        )

    # Taking shards

    def take(self) -> Shard | None:
        self._shard, self._lost = None, frozenset()
        while True:
            board = self._board()
            if board is None:
                if not self._leads:
                    raise Left("the audit has ended")
                self.begin(self._own_plan())  # Redis has been emptied
                continue
            if board.failure is not None:
                self._give_up(board.failure)
            to_do = self._own_plan().left(board.measured())
            if not to_do and not self._leads:
                return None
            if not to_do:
                if self._free_damaged(board):
                    continue
                return None
            self._make_room()
            if dead := self._dead(board):
                self._release(board, dead, died=True)
                continue
            free = _free(board, to_do)
            tasks = self._own_plan().choose(free, self._crew(board))
            tasks = tasks or worth_taking(board, self._own_plan().most, self._rate())
            if tasks:
                if taken := self._take(board, tasks):
                    return taken
                continue
            if not self._leads:
                return None
            if free and not board.in_flight():
                raise AuditError("out-of-memory", "No worker has the memory that this audit was planned for.")
            self._state.write_progress(self._last, self._member(), force=True)
            time.sleep(LOOK_EVERY_S)

    def _make_room(self) -> None:
        """Leave the audit where another one waits that comes first: any for a helper, a more urgent one for the leading
        worker."""
        head = self._redis.lindex(self._attempt.queue.key, 0)
        if head is None:
            return
        if not self._leads:
            raise Left("other audits wait")
        own, other = (self._redis.hget(state_key(name), "place") for name in (self._id, head.decode()))
        if own is not None and other is not None and float(other) < float(own):
            raise HandedBack

    def _dead(self, board: Board) -> list[str]:
        """Return the shards whose workers have ended, or give no sign of life."""
        names = list(board.in_flight())
        registry = self._attempt.queue.started_job_registry.key
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.zscore(registry, f"{board.shards[name].job}:{board.shards[name].token}")
            lapses = pipe.execute()
        now_s = time.time()
        return [name for name, at_s in zip(names, lapses, strict=True) if at_s is None or at_s < now_s]

    def _crew(self, board: Board) -> int:
        """Return how many workers are about to share what is free: this one, idle ones, and those that still load."""
        now_s = time.time()
        idle: int = self._redis.zcount(IDLE_KEY, now_s, "+inf")
        joining = [
            token
            for token, member in board.members.items()
            if member.shard is None and token != self._attempt.token and now_s - member.at_s < JOINING_S
        ]
        return 1 + idle + len(joining)

    def _take(self, board: Board, tasks: Sequence[Task]) -> Shard | None:
        """Take the tasks. Returns None if the board has changed meanwhile."""
        number = 1 + max((int(name.partition("-")[0]) for name in board.shards), default=0)
        name = f"{number}-{self._attempt.token}"
        repeated = board.repeated
        for other in board.in_flight():
            member, lost = board.member_of(other), [task for task in board.tasks_of(other) if task in tasks]
            if member and lost:
                repeated += member.done * len(lost) // (1 + len(board.tasks_of(other)))
        changes: Changes = {shard_field(name): self._taken(), "repeated": repeated}
        changes |= {task_field(task): name for task in tasks}
        if not self._change(board, changes):
            return None
        taken = self._own_plan().shard(tasks, board.measured())
        self._shard, self._before, self.has_taken = (name, taken), self._counted, True
        return taken

    def _taken(self) -> str:
        """Return the record of a shard that this worker has taken."""
        job, token = self._attempt.job.id, self._attempt.token
        return ShardRecord(job=job, token=token, worker=worker_name(), device=self._device).model_dump_json()

    def given_away(self) -> "Collection[Transform]":
        return self._lost

    # Handing in

    def put(self, shard: Shard, scores: "ModelScores") -> None:
        assert self._shard is not None
        from worker.measure.shard_files import to_bytes

        name, _ = self._shard
        stored = False
        while True:
            board = self._board()
            if board is None and not self._leads:
                raise Left("the audit has ended")
            if board is None:
                self.begin(self._own_plan())  # Redis has been emptied
                continue
            if name not in board.shards:
                lost = [task for task in shard.tasks if task not in board.taken]
                if not lost:
                    break
                self._change(board, {shard_field(name): self._taken()} | {task_field(task): name for task in lost})
                continue
            own = [task for task in board.tasks_of(name) if self._has(task, scores)]
            if not own:
                break
            forward = scores.images * (1 + sum(len(self._own_plan().units[unit]) for _, unit in own))
            if not stored:
                self._attempt.change(lambda _pipe, _state: None)  # raises Superseded
                self._kept[self._key(name)] = tuple(own), replace(scores, forward_images=forward)
                self._insist(self._key(name), to_bytes(*self._kept[self._key(name)]))
                stored = True
                continue  # what another worker has taken meanwhile counts no more
            done = board.shards[name].model_copy(update={"state": "done", "images": scores.images, "forward": forward})
            if self._change(board, {shard_field(name): done.model_dump_json()}):
                self._allow_deaths()
                break
        self._shard = None

    def _allow_deaths(self) -> None:
        """Let the audit's job be tried again as often as at first: deaths are counted between two shards."""
        key = Job.key_for(self._id)
        if self._redis.exists(key):
            self._redis.hset(key, "retries_left", ATTEMPTS - 1)

    def _has(self, task: Task, scores: "ModelScores") -> bool:
        return all(transform in scores.results for transform in self._own_plan().units[task[1]])

    def _insist(self, key: str, content: bytes) -> None:
        """Store a shard. While the store is unavailable, try again for as long as the job may take."""
        pause_s = 1.0
        while True:
            try:
                self._store.create_shard(key, content)
                return
            except StoreUnavailable as error:
                log.warning("%s: a shard cannot be stored (%s); it is tried again", self._id, error)
            self._state.write_progress(self._last, self._member(), force=True)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_STORE_EVERY_S)

    def measured(self) -> "Sequence[tuple[Task, ModelScores]]":
        board = self._board()
        if board is None or not self._leads:
            return []
        self._workers = {shard.worker for name, shard in board.shards.items() if board.tasks_of(name)}
        self._repeated = board.repeated
        found = []
        for task, name in board.taken.items():
            content = self._read(self._key(name))
            assert content is not None  # since _free_damaged() has seen it
            found.append((task, content[1]))
        return found

    def _free_damaged(self, board: Board) -> bool:
        """Free the tasks whose scores the store has lost. Returns False if there are none."""
        damaged = []
        for name in {*board.taken.values()}:
            content = self._read(self._key(name))
            if content is None or not set(board.tasks_of(name)) <= set(content[0]):
                damaged.append(name)
        if not damaged:
            return False
        log.warning("%s: shards are missing in the store, or damaged; they are measured again", self._id)
        changes, gone, _ = released(board, damaged, died=False)
        self._change(board, changes, gone)
        return True

    def _key(self, name: str) -> str:
        return f"{shards_prefix(self._id, self._own_plan().fingerprint)}/{name}.safetensors"

    def _read(self, key: str) -> "tuple[tuple[Task, ...], ModelScores] | None":
        """Read a shard from the store, once; None if it is missing or damaged."""
        from worker.measure.shard_files import DamagedShard, from_bytes

        if key not in self._kept:
            content = self._store.read_shard(key)
            if content is None:
                return None
            try:
                self._kept[key] = from_bytes(content)
            except DamagedShard:
                return None
        return self._kept[key]

    # Ending

    def fail(self, why: Problem) -> None:
        """Let the audit fail, because this shard of it has."""
        while (board := self._board()) is not None and not self._change(board, {"failure": why.model_dump_json()}):
            pass

    def refuse(self, *, for_good: bool) -> None:
        """Note that this worker cannot help with the audit, or was not needed, so that it does not try again soon."""
        self._redis.sadd(unfit_key(self._id), self._attempt.execution.worker_name)
        self._redis.expire(unfit_key(self._id), UNFIT_FOR_S if for_good else IN_VAIN_FOR_S)

    def end(self) -> None:
        """Remove what is kept of a running audit: its report has been stored."""
        forget_board(self._redis, self._id)
        try:
            self._store.delete_shards(shards_prefix(self._id))
        except StoreUnavailable as error:
            log.warning("%s: its shards are left in the store: %s", self._id, error)

    def _give_up(self, failure: Problem) -> None:
        if not self._leads:
            raise Left("the audit fails")
        error = AuditError("internal-error", failure.detail or "")
        error.problem = failure
        raise error

    # Progress

    def write_progress(self, progress: Progress, *, force: bool = False) -> None:
        """Write how far this worker is. Raises Canceled, Superseded and Left."""
        self._last = progress
        self._counted = progress.done if progress.phase == "measuring" else self._counted
        version = self._state.write_progress(progress, self._member(), force=force)
        if version is None or version == self._board_version:
            return
        self._board_version = version
        if not version and not self._leads:
            raise Left("the audit has ended")
        self._look_what_is_lost()

    def _member(self) -> str:
        """Return this worker's record as one that takes part."""
        member = MemberRecord(worker=worker_name(), at_s=time.time())
        if self._shard is not None:
            name, shard = self._shard
            done = max(0, self._counted - self._before)
            total = (shard.limit or self._own_plan().images) * (1 + len(shard.transforms))
            member = member.model_copy(update={"shard": name, "done": done, "total": total, "rate": self._rate()})
        return member.model_dump_json()

    def _rate(self) -> float | None:
        """Return how many forward images this worker measures in a second."""
        return self._counted / (time.monotonic() - self._begun_s) or None

    def _look_what_is_lost(self) -> None:
        if self._shard is None:
            return
        name, shard = self._shard
        with suppress(RedisError):
            now = self._state.hasty_redis.hmget(board_key(self._id), [task_field(task) for task in shard.tasks])
            lost = [task for task, owner in zip(shard.tasks, now, strict=True) if owner and owner.decode() != name]
            self._lost = frozenset(transform for _, unit in lost for transform in self._own_plan().units[unit])

    # The board

    def _own_plan(self) -> Plan:
        assert self._plan is not None
        return self._plan

    def _board(self) -> Board | None:
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(board_key(self._id))
            pipe.hgetall(members_key(self._id))
            return readable(*pipe.execute())

    def _release(self, board: Board, names: Iterable[str], *, died: bool) -> bool:
        """Free the tasks of some shards. Returns False if the board has changed meanwhile."""
        return _release(self._attempt, board, self._id, names, died=died)

    def _change(self, board: Board | None, changes: Changes, gone: Sequence[str] = ()) -> bool:
        return _change(self._attempt, self._id, board, changes, gone)


def has_work(board: Board) -> bool:
    """Tell whether there is something to take of an audit, by one worker more than those that are about to."""
    plan = board.plan
    free = _free(board, left(plan.models, len(plan.units), plan.adaptive, board.measured()))
    now_s = time.time()
    joining = [member for member in board.members.values() if member.shard is None and now_s - member.at_s < JOINING_S]
    return len(free) > len(joining) or (not joining and bool(worth_taking(board, plan.most)))


def _free(board: Board, to_do: Sequence[Task]) -> list[Task]:
    """Return those of the tasks that must still be measured that nobody measures."""
    measured = board.measured()
    return [task for task in to_do if task not in board.taken or task in measured]


def worth_taking(board: Board, most: int, own_rate: float | None = None) -> list[Task]:
    """Return transforms that another worker measures, and that get done earlier if one with nothing to do takes them.

    With n of N images done, a worker that measures m transforms has (m + 1) (N - n) forward images left. Taking s of
    the transforms leaves it (m + 1 - s) (N - n), and makes the taker measure (s + 1) N. Both end at the same time,
    where the taker is q times as fast, if s = (q (m + 1) (1 - n / N) - 1) / (1 + q (1 - n / N)).
    """
    if board.plan.adaptive:
        return []
    best: list[Task] = []
    for name in board.in_flight():
        member, tasks = board.member_of(name), board.tasks_of(name)
        if member is None or not member.total:
            continue
        if time.time() - member.at_s > SILENT_S:
            return tasks[:most]
        share = member.done / member.total
        faster = own_rate / member.rate if own_rate and member.rate else 1.0
        if share > TAKEN_UNTIL and faster < MUCH_FASTER:
            continue
        count = int((faster * (len(tasks) + 1) * (1 - share) - 1) / (1 + faster * (1 - share)))
        if min(most, count) > len(best):
            best = tasks[-min(most, count) :]
    return best


def give_back(attempt: Attempt, identifier: str, *, died: bool) -> None:
    """Free what an attempt had taken of the audit ``identifier``, which ends now."""
    redis: Any = attempt.job.connection
    while True:
        board = readable(redis.hgetall(board_key(identifier)), redis.hgetall(members_key(identifier)))
        if board is None:
            return
        own = [name for name, shard in board.in_flight().items() if shard.token == attempt.token]
        if not own or _release(attempt, board, identifier, own, died=died):
            redis.hdel(members_key(identifier), attempt.token)
            return


def forget_board(redis: Any, identifier: str) -> None:
    """Remove what Redis has of the shards of an audit that has ended."""
    with redis.pipeline() as pipe:
        pipe.delete(board_key(identifier), members_key(identifier), unfit_key(identifier))
        pipe.zrem(OPEN_KEY, identifier)
        pipe.execute()


def _release(attempt: Attempt, board: Board, identifier: str, names: Iterable[str], *, died: bool) -> bool:
    changes, gone, deaths = released(board, names, died=died)
    if deaths >= ATTEMPTS:
        detail = f"The processes that measured one shard of it died {deaths} times."
        changes["failure"] = problem("worker-died", detail).model_dump_json()
    return _change(attempt, identifier, board, changes, gone)


def _change(attempt: Attempt, identifier: str, board: Board | None, changes: Changes, gone: Sequence[str] = ()) -> bool:
    """Change a board in the name of an attempt. Returns False, and changes nothing, if it is not as it was read.

    Raises Superseded if the attempt does not count any more.
    """
    redis: Any = attempt.job.connection
    answer = redis.eval(
        CHANGE,
        2,
        state_key(attempt.job.id),
        board_key(identifier),
        attempt.token,
        "" if board is None else board.version,
        json.dumps({"set": changes, "delete": list(gone)}),
    )
    if answer == b"superseded":
        attempt.change(lambda _pipe, _state: None)  # takes back what an emptied Redis has lost, or raises Superseded
        return False
    return bool(answer == b"done")
