"""The shards of an audit that workers share: one leads it, which plans and reports, and idle ones help with it.

What has been taken stands on a board in Redis (``contract.Board``), what has been measured lies in the report store.
Every change of the board is made in the name of an :class:`Attempt`, and only if nobody has changed it since it was
read. A shard whose worker has died, or gives no sign of life, is free again. Nothing that has been measured is lost:
the worker that leads an audit next goes on with what it finds in the store, even if Redis has been emptied.
"""

import logging
import os
import socket
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from zooaudit import __version__
from zooaudit.contract import (
    OPEN_KEY,
    PROTOCOL,
    Board,
    PlanRecord,
    ProbeRecord,
    Problem,
    Progress,
    ShardRecord,
    board_key,
    members_key,
    shards_prefix,
    state_key,
    unfit_key,
)
from zooaudit.contract.board import Changes, number_of, readable, shard_field, task_field

from worker.errors import AuditError
from worker.measure.plan import Plan, Shard, Task
from worker.queue.attempt import Attempt
from worker.queue.audit_board import AuditBoard
from worker.queue.audit_state import AuditState
from worker.queue.member import Left, Member
from worker.queue.report_store import ReportStore, StoreUnavailable
from worker.queue.shard_store import ShardStore
from worker.queue.taking import (
    LOOKED_AT,
    Workforce,
    dead_shards,
    free_tasks,
    has_free_work,
    joining,
    repeated_by_taking,
    worth_taking,
)

if TYPE_CHECKING:  # torch is imported by the process that measures, and not before
    from worker.measure.model_scores import ModelScores
    from worker.measure.probes.kinds import Probe
    from worker.measure.transforms import Transform

log = logging.getLogger("zooaudit.worker")

LOOK_EVERY_S = 0.5
"""The pause of a worker that waits for the shards of others."""
RETRY_STORE_EVERY_S = 30.0
"""The longest pause between two tries to store a shard."""
HELPER_RETRIES_FOR_S = 60.0
"""After this time a helper that cannot write the store leaves its shard to a worker that may be able to."""
UNFIT_FOR_S = 86_400
"""For how long a worker that could not help with an audit does not try again."""
IN_VAIN_FOR_S = 60
"""The same for one that loaded the model and found nothing to take."""


class Unfit(Left):
    """Ends it because this worker would measure something else."""


class HandedBack(Exception):
    """Ends an attempt between two shards, since a more urgent audit waits; this one goes on later."""


@cache
def software() -> str:
    """Return what decides the digits of a shard, apart from the device: workers of unlike software never share."""
    libraries = [f"{library} {version(library)}" for library in ("torch", "timm", "torchvision")]
    return ", ".join([f"protocol {PROTOCOL}", f"zooaudit {__version__}", *libraries])


def worker_name(process: int) -> str:
    """Return the machine and the process of a worker, as people know it."""
    return f"{socket.gethostname()}:{process}"


class AuditShards:
    """The shards of the audit ``identifier``, for one worker that takes part by its ``attempt``.

    The attempt is one at the audit's own job, whose worker leads, or at a job that helps. ``workers`` and ``repeated``
    are known once all is :meth:`measured`.
    """

    def __init__(self, identifier: str, attempt: Attempt, state: AuditState, store: ReportStore, device: str) -> None:
        self._id = identifier
        self._attempt = attempt
        self._leads = attempt.job.id == identifier
        self._state = state
        self._reports = store
        self._board = AuditBoard(attempt, identifier)
        self._redis: Any = attempt.job.connection
        self._worker = worker_name(os.getppid())
        self._device = device
        self._member = Member(identifier, self._worker, state, leads=self._leads)
        self.has_taken = False
        self.workers = 1
        self.repeated = 0

    @property
    def measuring(self) -> bool:
        """Whether this worker measures a shard now."""
        return self._member.taken is not None

    def begin(self, plan: Plan) -> None:
        self._plan = plan
        self._member.begin(plan)
        self._store = ShardStore(self._reports, self._id, plan.fingerprint)
        if self._leads:
            self._lead()
            return
        board = self._board.read()
        if board is None:
            raise Left("the audit has ended")
        if board.plan.fingerprint != plan.fingerprint:
            raise Unfit("its images, weights or memory are not those of the worker that leads")

    def _lead(self) -> None:
        """Write the plan, or go on with what is there of it."""
        done = False
        while not done:
            board = self._board.read()
            if board is None:
                self._board.clear()
            if board is None or board.plan.fingerprint != self._plan.fingerprint:
                done = self._write_plan(board)
            else:
                former = [name for name, shard in board.in_flight().items() if shard.job == self._id]
                done = not former or self._board.release(board, former, died=False)
        self._redis.zadd(OPEN_KEY, {self._id: self._attempt.job.created_at.timestamp()})

    def _write_plan(self, board: Board | None) -> bool:
        """Write the plan, with all that the store has of it. Returns False if the board has changed."""
        plan = self._plan
        record = PlanRecord(
            fingerprint=plan.fingerprint,
            software=software(),
            models=plan.models,
            units=tuple(tuple(map(str, unit)) for unit in plan.units),
            images=plan.images,
            adaptive=plan.adaptive,
            most=plan.most,
            probes=tuple(ProbeRecord(name=str(probe), views=probe.views) for probe in plan.probes),
        )
        changes: Changes = {"plan": record.model_dump_json()}
        former = [*map(task_field, board.taken), *map(shard_field, board.shards)] if board else []
        images = 0
        for name in self._store.names():
            if (found := self._store.read(name)) is None:
                continue
            tasks, scores = found
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
        return self._board.change(board, changes, [field for field in former if field not in changes])

    def take(self) -> Shard | None:
        self._member.hand_in()
        while True:
            board = self._read_board()
            if board.failure is not None:
                self._give_up(board.failure)
            to_do = self._plan.left(board.measured())
            if not to_do:
                if self._leads and self._free_damaged(board):
                    continue
                return None
            workforce = Workforce.now(self._attempt.queue, unfit_for=self._id)
            self._make_room(workforce)
            # Redis did what this worker asked for, but its answer was lost; or it has lost what was written last.
            if own := self._board.own_shards(board):
                self._board.release(board, own, died=False)
                continue
            if dead := dead_shards(board, workforce):
                self._board.release(board, dead, died=True)
                continue
            free = free_tasks(board, to_do)
            tasks = self._plan.choose(free, self._crew(board, workforce))
            if not tasks and not self._could_help_others(board, workforce):
                tasks = worth_taking(board, self._plan.most, self._member.rate())
            if tasks:
                if shard := self._take(board, tasks):
                    return shard
                continue
            if not self._leads:
                return None
            if free and not board.in_flight():
                raise AuditError("out-of-memory", "No worker has the memory that this audit was planned for.")
            self._member.repeat()
            time.sleep(LOOK_EVERY_S)

    def _could_help_others(self, own: Board, workforce: Workforce) -> bool:
        """Tell whether this worker has helped here, where nothing is free any more, and something is free in another
        audit. To take that repeats nothing."""
        if self._leads or not self.has_taken:
            return False
        boards = []
        for identifier in map(bytes.decode, self._redis.zrange(OPEN_KEY, 0, LOOKED_AT - 1)):
            if identifier == self._id:
                continue
            with self._redis.pipeline() as pipe:
                pipe.hgetall(board_key(identifier))
                pipe.hgetall(members_key(identifier))
                pipe.sismember(unfit_key(identifier), self._attempt.execution.worker_name)
                fields, members, unfit = pipe.execute()
            board = readable(fields, members)
            if board is not None and not unfit:
                boards.append(board)
        fair = workforce.for_each_audit([own, *boards])
        return any(board.plan.software == software() and has_free_work(board, fair) for board in boards)

    def _read_board(self) -> Board:
        while (board := self._board.read()) is None or board.plan.fingerprint != self._plan.fingerprint:
            if not self._leads:
                raise Left("the audit has ended, or was begun anew by another plan")
            # Either Redis has been emptied, or this attempt does not count any more, which raises Superseded.
            self._attempt.insist()
            self._lead()
        return board

    def _give_up(self, failure: Problem) -> None:
        if not self._leads:
            raise Left("the audit fails")
        error = AuditError("internal-error", failure.detail or "")
        error.problem = failure
        raise error

    def _free_damaged(self, board: Board) -> bool:
        """Free the tasks whose scores the store has lost. Returns False if there are none."""
        damaged = []
        for name in {*board.taken.values()}:
            content = self._store.read(name)
            if content is None or not set(board.tasks_of(name)) <= set(content[0]):
                damaged.append(name)
                self._store.forget(name)
        if damaged:
            log.warning("%s: shards are missing in the store, or damaged; they are measured again", self._id)
            self._board.release(board, damaged, died=False)
        return bool(damaged)

    def _make_room(self, workforce: Workforce) -> None:
        """Leave the audit where another one waits for a worker: any for a helper, a more urgent one for the leading
        worker."""
        if workforce.idle or (head := self._redis.lindex(self._attempt.queue.key, 0)) is None:
            return
        if not self._leads:
            raise Left("other audits wait")
        own, other = (self._redis.hget(state_key(name), "place") for name in (self._id, head.decode()))
        if own is not None and other is not None and float(other) < float(own):
            raise HandedBack

    def _crew(self, board: Board, workforce: Workforce) -> int:
        """Return how many workers are about to share what is free: this one and those that load the model for it, and
        those that may come if all audits get as many workers."""
        others = {shard.token for shard in board.in_flight().values()} - {self._attempt.token}
        about_to = joining(board).keys() - {self._attempt.token}
        return max(1 + len(about_to), workforce.for_each_audit() - len(others))

    def _take(self, board: Board, tasks: Sequence[Task]) -> Shard | None:
        """Take the tasks. Returns None if the board has changed meanwhile."""
        number = 1 + max(map(number_of, board.shards), default=0)
        name = f"{number}-{self._attempt.token}"
        changes = self._claim(name, tasks) | {"repeated": board.repeated + repeated_by_taking(board, tasks)}
        if not self._board.change(board, changes):
            return None
        shard = self._plan.shard(tasks, board.measured())
        self._member.take(name, shard)
        self.has_taken = True
        return shard

    def _claim(self, name: str, tasks: Sequence[Task]) -> Changes:
        job, token = self._attempt.job.id, self._attempt.token
        shard = ShardRecord(job=job, token=token, worker=self._worker, device=self._device)
        return {shard_field(name): shard.model_dump_json()} | {task_field(task): name for task in tasks}

    def given_away(self) -> "Collection[Transform | Probe]":
        return self._member.lost

    def put(self, shard: Shard, scores: "ModelScores") -> None:
        assert self._member.taken is not None
        name, _ = self._member.taken
        stored = False
        while True:
            board = self._read_board()
            if name not in board.shards:  # Redis has been emptied, or another worker took this one for dead
                unclaimed = [task for task in shard.tasks if task not in board.taken]
                if not unclaimed:
                    break
                self._board.change(board, self._claim(name, unclaimed))
                continue
            own = [task for task in board.tasks_of(name) if self._has(task, scores)]
            if not own:
                break
            forward = scores.images * board.plan.views(own)
            if not stored:
                self._attempt.insist()
                self._write(name, tuple(own), replace(scores, forward_images=forward))
                stored = True
                continue  # what another worker has taken meanwhile counts no more
            done = board.shards[name].model_copy(update={"state": "done", "images": scores.images, "forward": forward})
            if self._board.change(board, {shard_field(name): done.model_dump_json()}):
                break
        self._member.hand_in()

    def _has(self, task: Task, scores: "ModelScores") -> bool:
        return all(each in scores.results or each in scores.probes for each in self._plan.in_unit(task[1]))

    def _write(self, name: str, tasks: tuple[Task, ...], scores: "ModelScores") -> None:
        """Store a shard. While the store is unavailable, try again: for as long as the job may take, or a helper for a
        while."""
        pause_s, deadline_s = 1.0, time.monotonic() + HELPER_RETRIES_FOR_S
        while True:
            try:
                self._store.write(name, tasks, scores)
                return
            except StoreUnavailable as error:
                if not self._leads and time.monotonic() >= deadline_s:
                    raise
                log.warning("%s: a shard cannot be stored (%s); it is tried again", self._id, error)
            self._member.repeat()
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_STORE_EVERY_S)

    def measured(self) -> "Sequence[tuple[Task, ModelScores]]":
        board = self._board.read()
        if board is None or not self._leads:
            return []
        self.workers = len({shard.worker for name, shard in board.shards.items() if board.tasks_of(name)})
        self.repeated = board.repeated
        found = []
        for task, name in board.taken.items():
            content = self._store.read(name)
            assert content is not None  # take() has seen it
            found.append((task, content[1]))
        return found

    def fail(self, why: Problem) -> None:
        """Let the audit fail, because this shard of it has."""
        self._board.fail(why)

    def refuse(self, *, for_good: bool) -> None:
        """Note that this worker cannot help with the audit, or was not needed, so that it does not try again soon."""
        self._redis.sadd(unfit_key(self._id), self._attempt.execution.worker_name)
        self._redis.expire(unfit_key(self._id), UNFIT_FOR_S if for_good else IN_VAIN_FOR_S)

    def end(self) -> None:
        """Remove what is kept of a running audit: its report has been stored."""
        self._attempt.change(lambda pipe, _state: self._board.forget(pipe))
        try:
            self._reports.delete(shards_prefix(self._id))
        except StoreUnavailable as error:
            log.warning("%s: its shards are left in the store: %s", self._id, error)

    def write_progress(self, progress: Progress) -> None:
        """Write how far this worker is. Raises Canceled, Superseded and Left."""
        self._member.tell(progress)
