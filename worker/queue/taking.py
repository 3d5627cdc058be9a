"""What a worker may take of a shared audit, and what is worth taking from another worker."""

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from rq import Queue
from zooaudit.contract import HELP_PREFIX, IDLE_KEY, Board, MemberRecord, unfit_key

from worker.measure.plan import Task, left

JOINING_S = 60.0
"""How long a worker may take to load the model before others no longer count on it."""
SILENT_S = 120.0
"""Others may take all transforms of a worker that has said nothing for so long, though its process lives."""
TAKEN_UNTIL = 0.3
"""No transforms are taken from a worker that has done more than this share of its shard: all that would be repeated."""
MUCH_FASTER = 3.0
"""Unless the taker is so much faster that it repeats it in little time."""
LOOKED_AT = 32
"""How many running audits a worker looks at, the oldest first."""


def free_tasks(board: Board, to_do: Sequence[Task]) -> list[Task]:
    """Return those of the tasks that must still be measured that nobody measures."""
    measured = board.measured()
    return [task for task in to_do if task not in board.taken or task in measured]


def joining(board: Board) -> dict[str, MemberRecord]:
    """Return the workers that are about to take something, and still load the model."""
    now_s = time.time()
    at_work = {shard.token for shard in board.in_flight().values()}  # who has just taken a shard has not told it yet
    return {
        token: member
        for token, member in board.members.items()
        if member.shard is None and token not in at_work and now_s - member.at_s < JOINING_S
    }


@dataclass(frozen=True)
class Workforce:
    """How many workers look for work (``idle``), how many audits wait, and which attempts give signs of life, as RQ
    names them."""

    idle: int
    waiting: int
    attempts: frozenset[str]

    @classmethod
    def now(cls, queue: Queue, unfit_for: str = "") -> "Workforce":
        """Count the workers of a queue, but for those that cannot help with the audit ``unfit_for``."""
        redis: Any = queue.connection
        now_s = time.time()
        with redis.pipeline(transaction=False) as pipe:
            pipe.zrangebyscore(IDLE_KEY, now_s, "+inf")
            pipe.smembers(unfit_key(unfit_for))
            pipe.llen(queue.key)
            pipe.zrangebyscore(queue.started_job_registry.key, now_s, "+inf")
            idle, unfit, waiting, attempts = pipe.execute()
        return cls(len({*idle} - unfit), waiting, frozenset(attempt.decode() for attempt in attempts))

    def for_each_audit(self, boards: Collection[Board] = ()) -> int:
        """Return how many workers each audit has if all have as many, running ones and those that wait; those of the
        ``boards`` of which all that must be measured is being measured keep theirs."""
        full = [board for board in boards if _is_full(board)]
        leading = sum(not attempt.startswith(HELP_PREFIX) for attempt in self.attempts)
        audits = self.waiting + leading - len(full)
        workers = self.idle + len(self.attempts) - sum(len(board.in_flight()) for board in full)
        return math.ceil(max(1, workers) / max(1, audits))


def _is_full(board: Board) -> bool:
    """Tell whether all that must be measured of an audit is being measured."""
    return not _free(board)


def has_free_work(board: Board, fair: int) -> bool:
    """Tell whether something is free for one worker more than those that are about to take something, where an audit
    has a ``fair`` number of workers at most."""
    about_to = len(joining(board))
    return len(_free(board)) > about_to and len(board.in_flight()) + about_to < fair


def is_worth_dividing(board: Board) -> bool:
    """Tell whether nothing is free, and one worker more would take something from another."""
    return _is_full(board) and not joining(board) and bool(worth_taking(board, board.plan.most))


def _free(board: Board) -> list[Task]:
    plan = board.plan
    return free_tasks(board, left(plan.models, len(plan.units), len(plan.probes), plan.adaptive, board.measured()))


def dead_shards(board: Board, workforce: Workforce) -> list[str]:
    """Return the shards whose workers have ended, or give no sign of life."""
    return [name for name, shard in board.in_flight().items() if f"{shard.job}:{shard.token}" not in workforce.attempts]


def worth_taking(board: Board, most: int, own_rate: float | None = None) -> list[Task]:
    """Return transforms that another worker measures, and that get done earlier if one with nothing to do takes them.

    With n of N images done, a worker that measures m transforms has (m + 1) (N - n) forward images left. Taking s of
    the transforms leaves it (m + 1 - s) (N - n), and makes the taker measure (s + 1) N. Both end at the same time,
    where the taker is q times as fast, if s = (q (m + 1) (1 - n / N) - 1) / (1 + q (1 - n / N)).
    """
    best: list[Task] = []
    for name in board.in_flight():
        member, tasks = board.member_of(name), board.tasks_of(name)
        if member is None or not member.total:
            continue
        if time.time() - member.at_s > SILENT_S:
            return tasks if board.plan.adaptive else tasks[:most]
        if board.plan.adaptive:
            continue  # a pass that finds out how many images it needs cannot be divided
        share = member.done / member.total
        faster = own_rate / member.rate if own_rate and member.rate else 1.0
        if share > TAKEN_UNTIL and faster < MUCH_FASTER:
            continue
        count = int((faster * (len(tasks) + 1) * (1 - share) - 1) / (1 + faster * (1 - share)))
        if min(most, count) > len(best):
            best = tasks[-min(most, count) :]
    return best


def repeated_by_taking(board: Board, tasks: Collection[Task]) -> int:
    """Return how many forward images of others are for nothing if they lose these tasks."""
    repeated = 0
    for name in board.in_flight():
        member, of_shard = board.member_of(name), board.tasks_of(name)
        if member:
            repeated += member.done * len([task for task in of_shard if task in tasks]) // (1 + len(of_shard))
    return repeated
