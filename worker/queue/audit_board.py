"""The board of a shared audit in Redis (``contract.Board``): read it, and change it in the name of an attempt."""

import json
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any

from zooaudit.contract import (
    OPEN_KEY,
    Board,
    Problem,
    board_key,
    members_key,
    problem,
    state_key,
    unfit_key,
)
from zooaudit.contract.board import Changes, readable, released

from worker.queue.attempt import Attempt

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


CONFLICT_S = 0.1
"""The longest pause after a change of the board that another worker's came before."""
DEATHS = 5
"""After how many deaths on one shard the audit fails. A shard takes long, and not each death is the shard's fault."""


class AuditBoard:
    """The board of the audit ``identifier``, as one ``attempt`` at it, or at helping with it, sees and changes it."""

    def __init__(self, attempt: Attempt, identifier: str) -> None:
        self._attempt = attempt
        self._id = identifier
        self._redis: Any = attempt.job.connection

    def read(self) -> Board | None:
        """Return the board; None if the audit has none, or one that this version cannot read."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(board_key(self._id))
            pipe.hgetall(members_key(self._id))
            return readable(*pipe.execute())

    def change(self, board: Board | None, changes: Changes, gone: Sequence[str] = ()) -> bool:
        """Set the fields ``changes`` and delete the fields ``gone``, unless the board is no longer as it was read.

        Returns False if it is not, and changes nothing. Raises Superseded if the attempt does not count any more.
        """
        answer = self._redis.eval(
            CHANGE,
            2,
            state_key(self._attempt.job.id),
            board_key(self._id),
            self._attempt.token,
            "" if board is None else board.version,
            json.dumps({"set": changes, "delete": list(gone)}),
        )
        if answer == b"superseded":
            self._attempt.insist()  # Redis may have been emptied
        if answer != b"done":
            time.sleep(random.uniform(0.0, CONFLICT_S))  # many workers may take shards at the same moment
        return bool(answer == b"done")

    def release(self, board: Board, shards: Iterable[str], *, died: bool) -> bool:
        """Free the tasks of some shards, whose workers stop measuring them. Returns False if the board has changed."""
        changes, gone, deaths = released(board, shards, died=died)
        if deaths >= DEATHS:
            detail = f"The processes that measured one shard of it died {deaths} times."
            changes["failure"] = problem("worker-died", detail).model_dump_json()
        return self.change(board, changes, gone)

    def give_back(self, *, died: bool) -> bool:
        """Free all that this attempt is measuring: it ends now. Returns whether it was measuring anything."""
        was_measuring = False
        while (board := self.read()) is not None and (own := self.own_shards(board)):
            if self.release(board, own, died=died):
                was_measuring = True
                break
        self._redis.hdel(members_key(self._id), self._attempt.token)
        return was_measuring

    def own_shards(self, board: Board) -> list[str]:
        """Return the shards that stand there as being measured by this attempt."""
        return [name for name, shard in board.in_flight().items() if shard.token == self._attempt.token]

    def clear(self) -> None:
        """Remove a board that this version cannot read. Raises Superseded."""
        self._attempt.change(lambda pipe, _state: pipe.delete(board_key(self._id), members_key(self._id)))

    def fail(self, why: Problem) -> None:
        """Let the audit fail, because a shard of it has."""
        while (board := self.read()) is not None and not self.change(board, {"failure": why.model_dump_json()}):
            pass

    def forget(self, pipe: Any) -> None:
        """Add to a transaction that Redis forgets all of it: the audit ends."""
        pipe.delete(board_key(self._id), members_key(self._id), unfit_key(self._id))
        pipe.zrem(OPEN_KEY, self._id)
