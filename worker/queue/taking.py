"""What a worker may take of a shared audit, and what is worth taking from another worker."""

import time
from collections.abc import Collection, Sequence

from zooaudit.contract import Board, MemberRecord

from worker.measure.plan import Task, left

JOINING_S = 60.0
"""How long a worker may take to load the model before others no longer count on it."""
SILENT_S = 120.0
"""Others may take all transforms of a worker that has said nothing for so long, though its process lives."""
TAKEN_UNTIL = 0.3
"""No transforms are taken from a worker that has done more than this share of its shard: all that would be repeated."""
MUCH_FASTER = 3.0
"""Unless the taker is so much faster that it repeats it in little time."""


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


def has_work(board: Board) -> bool:
    """Tell whether there is something to take, by one worker more than those that are about to."""
    plan, about_to = board.plan, len(joining(board))
    free = free_tasks(board, left(plan.models, len(plan.units), plan.adaptive, board.measured()))
    return len(free) > about_to or (not about_to and bool(worth_taking(board, plan.most)))


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


def repeated_by_taking(board: Board, tasks: Collection[Task]) -> int:
    """Return how many forward images of others are for nothing if they lose these tasks."""
    repeated = 0
    for name in board.in_flight():
        member, of_shard = board.member_of(name), board.tasks_of(name)
        if member:
            repeated += member.done * len([task for task in of_shard if task in tasks]) // (1 + len(of_shard))
    return repeated
