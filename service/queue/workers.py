"""What Redis tells of the workers: how many are alive, what they can audit, and what troubles them."""

import time
from dataclasses import dataclass
from typing import Any

from redis import Redis
from rq import Queue, Worker
from rq.utils import utcparse
from zooaudit.contract import (
    CATALOGUE_KEY,
    DEVICE_FIELD,
    ENDS_KEY,
    HELP_PREFIX,
    QUEUE,
    TROUBLES_KEY,
    Catalogue,
    members_key,
)
from zooaudit.contract.board import MEMBER_SHOWN_S, MemberRecord

TROUBLE_S = 60.0
"""For how long the service's health tells of a trouble, unless somebody says otherwise."""
WRITABLE_KEY = "zooaudit:writable"
"""Redis key that is written only to see whether Redis takes writes."""


@dataclass(frozen=True)
class QueueLoad:
    """How many workers are alive, on which devices, and how many audits wait and run now."""

    workers: int
    devices: tuple[str, ...]
    queued: int
    running: int


class Workers:
    """All workers on the queue. Every method raises ``redis.RedisError`` when Redis does not answer."""

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._queue = Queue(QUEUE, connection=connection, serializer="json")
        self._catalogue: tuple[bytes, Catalogue] | None = None

    def load(self) -> QueueLoad:
        """Count workers and audits now.

        RQ's own counters also clean up, and two cleanups at the same time put a job back twice, so this avoids them.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            for key in Worker.all_keys(queue=self._queue):
                pipe.hmget(key, "last_heartbeat", "death", DEVICE_FIELD)
            alive = [device for heartbeat, death, device in pipe.execute() if heartbeat and not death]
        devices = sorted(device.decode(errors="replace") for device in alive if device)
        begun = self._redis.zrangebyscore(self._queue.started_job_registry.key, time.time(), "+inf")
        running = sum(not entry.startswith(HELP_PREFIX.encode()) for entry in begun)
        return QueueLoad(len(alive), tuple(devices), self._redis.llen(self._queue.key), running)

    def counts(self) -> dict[str, int]:
        """Return the counters of ends, deaths and forward images (see ``contract.ENDS_KEY``)."""
        return {name.decode(): int(value) for name, value in self._redis.hgetall(ENDS_KEY).items()}

    def ages_s(self) -> list[float]:
        """Return for how long each living worker has run; one that Redis has forgotten since its start is left out."""
        with self._redis.pipeline(transaction=False) as pipe:
            for key in Worker.all_keys(queue=self._queue):
                pipe.hmget(key, "birth", "death")
            born = [utcparse(birth.decode()) for birth, death in pipe.execute() if birth and not death]
        return [max(0.0, time.time() - birth.timestamp()) for birth in born]

    def images_per_second(self) -> float:
        """Add up the speeds of the workers that measure shards now, as each of them last said."""
        begun = self._redis.zrangebyscore(self._queue.started_job_registry.key, time.time(), "+inf")
        audits = {entry.decode().partition(":")[0] for entry in begun if not entry.startswith(HELP_PREFIX.encode())}
        with self._redis.pipeline(transaction=False) as pipe:
            for identifier in audits:
                pipe.hvals(members_key(identifier))
            found = [MemberRecord.model_validate_json(member) for members in pipe.execute() for member in members]
        oldest_s = time.time() - MEMBER_SHOWN_S
        return sum(member.rate or 0.0 for member in found if member.shard and member.at_s > oldest_s)

    def catalogue(self) -> Catalogue | None:
        """Return the catalogue that a worker has published; None when no worker has published one."""
        version = self._redis.hget(CATALOGUE_KEY, "version")
        if version is None:
            return None
        if self._catalogue is None or self._catalogue[0] != version:
            content = self._redis.hget(CATALOGUE_KEY, "json")
            if content is None:
                return None
            self._catalogue = (version, Catalogue.model_validate_json(content))
        return self._catalogue[1]

    def check_writable(self) -> None:
        """Write something that lapses at once. Raises ``redis.RedisError`` when Redis answers but refuses."""
        self._redis.set(WRITABLE_KEY, "1", px=1)

    def troubles(self) -> list[str]:
        """Return what does not work now, one sentence each (see ``contract.TROUBLES_KEY``)."""
        self._redis.zremrangebyscore(TROUBLES_KEY, "-inf", time.time())
        return [sentence.decode() for sentence in self._redis.zrangebyscore(TROUBLES_KEY, time.time(), "+inf")]

    def add_trouble(self, sentence: str, for_s: float = TROUBLE_S) -> None:
        """Let the service's health tell, for some seconds, what does not work."""
        self._redis.zadd(TROUBLES_KEY, {sentence: time.time() + for_s})
