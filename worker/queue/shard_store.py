"""The shards of an audit in the report store, each whole or not at all, until the audit has its report."""

from typing import TYPE_CHECKING

from zooaudit.contract import shards_prefix
from zooaudit.contract.board import number_of

from worker.measure.plan import Task
from worker.queue.report_store import ReportStore

if TYPE_CHECKING:  # torch is imported by the process that measures, and not before
    from worker.measure.model_scores import ModelScores

ENDING = ".safetensors"


class ShardStore:
    """The shards of the audit ``identifier`` that were measured by the plan ``fingerprint``. What was read or written
    once is kept in memory. Every method raises StoreUnavailable."""

    def __init__(self, store: ReportStore, identifier: str, fingerprint: str) -> None:
        self._store = store
        self._prefix = shards_prefix(identifier, fingerprint)
        self._kept: dict[str, tuple[tuple[Task, ...], ModelScores]] = {}

    def names(self) -> list[str]:
        """Return the names of all shards, in the order in which they were taken."""
        names = [key.rpartition("/")[2].removesuffix(ENDING) for key in self._store.keys(self._prefix)]
        return sorted((name for name in names if name.partition("-")[0].isdigit()), key=number_of)

    def read(self, name: str) -> "tuple[tuple[Task, ...], ModelScores] | None":
        """Read the tasks and the scores of a shard; None if it is missing or damaged."""
        from worker.measure.shard_files import DamagedShard, from_bytes

        if name not in self._kept:
            content = self._store.get(self._key(name))
            if content is None:
                return None
            try:
                self._kept[name] = from_bytes(content)
            except DamagedShard:
                return None
        return self._kept[name]

    def write(self, name: str, tasks: tuple[Task, ...], scores: "ModelScores") -> None:
        """Store the scores that a shard has for its ``tasks``."""
        from worker.measure.shard_files import to_bytes

        self._store.put(self._key(name), to_bytes(tasks, scores))
        self._kept[name] = tasks, scores

    def forget(self, name: str) -> None:
        """Do not keep a shard in memory: another one may get its name."""
        self._kept.pop(name, None)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}{ENDING}"
