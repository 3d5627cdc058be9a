"""How many audits each API key may have queued."""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis
from zooaudit.contract import Status, problem

from service.errors import Refused
from service.queue import AuditRow

SETTLED_S = 60.0
"""Seconds after which an audit that was asked for is among the unfinished ones, or is not going to be."""
KEPT_S = 30 * 86_400
RETRY_AFTER_S = 30


class Quota:
    """Limits the unfinished audits that one key has asked for. Raises ``redis.RedisError`` when Redis does not answer.

    Redis keeps which audits a key has asked for, under a digest of the key. Which of those are unfinished is read from
    the audits themselves, so the count is right again whatever was lost or ended meanwhile.
    """

    def __init__(self, connection: Redis, limit: int) -> None:
        self._redis: Any = connection
        self._limit = limit

    def take(self, key: str | None, identifier: str, read_rows: Callable[[], Mapping[str, AuditRow]]) -> bool:
        """Count the audit among those that ``key`` has asked for, and return whether it was not among them before.

        All requests without a key count together.

        Refuses with 429 when the key has as many unfinished audits as it may have, and this would be another.
        """
        name = _name(key)
        with self._redis.pipeline() as pipe:
            pipe.zadd(name, {identifier: time.time()})
            pipe.expire(name, KEPT_S)
            # In one step with the addition: of requests at the same time, each sees those before it.
            pipe.zrange(name, 0, -1, withscores=True)
            added, _, asked_for = pipe.execute()
        try:
            self._refuse_beyond_limit(key, identifier, dict(asked_for), read_rows)
        except Refused:
            self._redis.zrem(name, identifier)
            raise
        return bool(added)

    def check(self, key: str | None, identifier: str, read_rows: Callable[[], Mapping[str, AuditRow]]) -> None:
        """Refuse an audit as :meth:`take` would, but count nothing."""
        asked_for = dict(self._redis.zrange(_name(key), 0, -1, withscores=True))
        self._refuse_beyond_limit(key, identifier, asked_for | {identifier.encode(): time.time()}, read_rows)

    def _refuse_beyond_limit(
        self,
        key: str | None,
        identifier: str,
        asked_at: Mapping[bytes, float],
        read_rows: Callable[[], Mapping[str, AuditRow]],
    ) -> None:
        """Refuse the audit if the others in ``asked_at``, which maps ids to times, are as many as the key may have."""
        if len(asked_at) <= self._limit:
            return
        rows = read_rows()
        row = rows.get(identifier)
        if row is not None and row.status not in (Status.FAILED, Status.CANCELED):
            return  # nothing is enqueued for an audit that exists
        unfinished = {member for member in asked_at if _is_unfinished(rows.get(member.decode()))}
        # The rows may not show yet what other requests enqueue just now.
        recent = {member for member, at in asked_at.items() if at >= time.time() - SETTLED_S}
        unfinished |= {member for member in recent if member.decode() not in rows} - {identifier.encode()}
        ended = [member for member in asked_at if member not in unfinished | recent]
        if ended:
            self._redis.zrem(_name(key), *ended)
        if len(unfinished) >= self._limit:
            whose = "This service has" if key is None else "This key has"
            detail = (
                f"{whose} {len(unfinished)} audits queued or running and may have {self._limit}; "
                "submit more when some have ended, or cancel some."
            )
            raise Refused(problem("too-many-audits", detail), {"Retry-After": str(RETRY_AFTER_S)})

    def give_back(self, key: str | None, identifier: str) -> None:
        """No longer count the audit among those that ``key`` has asked for."""
        self._redis.zrem(_name(key), identifier)


def _name(key: str | None) -> str:
    digest = "everyone" if key is None else hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"zooaudit:asked:{digest}"


def _is_unfinished(row: AuditRow | None) -> bool:
    return row is not None and not row.status.final
