"""What a worker tells the others of its part in a shared audit, and learns from them: how far it is, what they took."""

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from zooaudit.contract import MemberRecord, Progress, board_key
from zooaudit.contract.board import task_field

from worker.measure.plan import Plan, Shard
from worker.queue.audit_state import AuditState

if TYPE_CHECKING:  # torch is imported by the process that measures, and not before
    from worker.measure.probes.kinds import Probe
    from worker.measure.transforms import Transform


class Left(Exception):
    """Ends the work of a helper, because its audit needs it no more."""


class Member:
    """The ``worker`` as one that takes part in the audit ``identifier``, and ``leads`` it or helps.

    ``taken``  the name of the shard that it measures now, and the shard
    ``lost``   the transforms, or the probe, of this shard that others have taken
    """

    def __init__(self, identifier: str, worker: str, state: AuditState, *, leads: bool) -> None:
        self._id = identifier
        self._worker = worker
        self._state = state
        self._leads = leads
        self.taken: tuple[str, Shard] | None = None
        self.lost: frozenset[Transform | Probe] = frozenset()
        self._plan: Plan | None = None
        self._begun_s = time.monotonic()
        self._last = Progress()
        self._counted = self._before = 0
        self._seen_version: bytes | None = None

    def begin(self, plan: Plan) -> None:
        self._plan, self._begun_s = plan, time.monotonic()

    def take(self, name: str, shard: Shard) -> None:
        self.taken, self.lost, self._before = (name, shard), frozenset(), self._counted

    def hand_in(self) -> None:
        self.taken, self.lost = None, frozenset()

    def rate(self) -> float | None:
        """Return how many forward images this worker measures in a second; None before the first."""
        return self._counted / (time.monotonic() - self._begun_s) or None

    def tell(self, progress: Progress) -> None:
        """Tell how far this worker is. Raises Canceled, Superseded and Left."""
        self._last = progress
        self._counted = progress.done if progress.phase == "measuring" else self._counted
        self._write(force=False)

    def repeat(self) -> None:
        """Tell it again, as a sign of life. Raises the same."""
        self._write(force=True)

    def _write(self, *, force: bool) -> None:
        version = self._state.write_progress(self._last, self._record().model_dump_json(), force=force)
        if version is None or version == self._seen_version:
            return
        self._seen_version = version
        if not version and not self._leads:
            raise Left("the audit has ended")
        if self.taken is not None:
            self._see_what_is_lost(*self.taken)

    def _record(self) -> MemberRecord:
        record = MemberRecord(worker=self._worker, at_s=time.time())
        if self.taken is None or self._plan is None:
            return record
        name, shard = self.taken
        done = max(0, self._counted - self._before)
        total = (shard.limit or self._plan.images) * (shard.views - len(self.lost))
        return record.model_copy(update={"shard": name, "done": done, "total": total, "rate": self.rate()})

    def _see_what_is_lost(self, name: str, shard: Shard) -> None:
        assert self._plan is not None
        with suppress(RedisError):
            owners = self._state.hasty_redis.hmget(board_key(self._id), [task_field(task) for task in shard.tasks])
            lost = [task for task, owner in zip(shard.tasks, owners, strict=True) if owner and owner.decode() != name]
            before = len(self.lost)
            self.lost = frozenset(each for _, unit in lost for each in self._plan.in_unit(unit))
            # What was measured under the transforms that are lost now counts no more.
            views = shard.views - before
            self._before += (self._counted - self._before) * (len(self.lost) - before) // views
