"""How many audits each API key may have queued, and how many forward images it may ask for in a day."""

import hashlib
import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from zooaudit.contract import Allowance, AuditRequest, Status, audit_id, forward_images_of, problem

from service.errors import Refused, refused
from service.queue import AuditRow

SETTLED_S = 60.0
"""Seconds after which an audit that was asked for is among the unfinished ones, or is not going to be."""
KEPT_S = 30 * 86_400
DAY_S = 86_400
RETRY_AFTER_S = 30
TAKE_IMAGES = """
local member, now, limit, kept_s = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - kept_s)
local counted = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local sum = tonumber(string.match(member, '%d+'))
for place = 1, #counted, 2 do sum = sum + tonumber(string.match(counted[place], '%d+')) end
if limit and sum > limit then return counted end
redis.call('ZADD', KEYS[1], now, member)
redis.call('EXPIRE', KEYS[1], kept_s)
return false
"""
"""Counts the images of a member if they fit; else returns what is counted. What is refused is at no time counted, so it
takes no room from others."""


@dataclass(frozen=True)
class Claim:
    """What was counted against a key for an audit: whether the audit was new to the key, and its images."""

    audit: str
    is_new: bool
    images: str


class Quota:
    """Limits the unfinished audits that one key has asked for, and the forward images that it asks for in 24 hours.
    Raises ``redis.RedisError`` when Redis does not answer.

    Redis keeps which audits a key has asked for, and how many images when, under a digest of the key. Which of the
    audits are unfinished is read from the audits themselves, so the count is right again whatever was lost or ended
    meanwhile. Images count when they are asked for, also those of an audit that is canceled.
    """

    def __init__(self, connection: Redis, limit: int, images_limit: int | None = None) -> None:
        self._redis: Any = connection
        self._limit = limit
        self._images_limit = images_limit

    def take(self, key: str | None, request: AuditRequest, read_rows: Callable[[], Mapping[str, AuditRow]]) -> Claim:
        """Count the audit of ``request`` among those that ``key`` has asked for, and its images.

        All requests without a key count together.

        Refuses with 429 when the key has as many unfinished audits as it may have, or has asked for so many images that
        those of this audit are too many.
        """
        identifier = audit_id(request)
        name, images_name = _name(key), _images_name(key)
        now = time.time()
        images = _member(request)
        with self._redis.pipeline() as pipe:
            pipe.zadd(name, {identifier: now})
            pipe.expire(name, KEPT_S)
            # In one step with the addition: of requests at the same time, each sees those before it.
            pipe.zrange(name, 0, -1, withscores=True)
            limit = "" if self._images_limit is None else self._images_limit
            pipe.eval(TAKE_IMAGES, 1, images_name, images, now, limit, DAY_S)
            added, _, asked_for, counted = pipe.execute()
        claim = Claim(identifier, bool(added), images)
        try:
            self._refuse_beyond_limit(key, identifier, dict(asked_for), read_rows)
            if counted is not None:
                others = list(zip(counted[::2], map(float, counted[1::2]), strict=True))
                self._refuse_images(key, request, others, read_rows)
        except Refused:
            self.give_back(key, claim)
            raise
        return claim

    def check(self, key: str | None, request: AuditRequest, read_rows: Callable[[], Mapping[str, AuditRow]]) -> None:
        """Refuse an audit as :meth:`take` would, but count nothing."""
        identifier, now = audit_id(request), time.time()
        asked_for = dict(self._redis.zrange(_name(key), 0, -1, withscores=True))
        self._refuse_beyond_limit(key, identifier, asked_for | {identifier.encode(): now}, read_rows)
        self._refuse_images(key, request, self._counted(key), read_rows)

    def use(self, key: str | None, read_rows: Callable[[], Mapping[str, AuditRow]]) -> tuple[Allowance, Allowance]:
        """Return how many unfinished audits the key has, and how many images it has asked for in 24 hours."""
        rows = read_rows()
        asked_for = (member.decode() for member in self._redis.zrange(_name(key), 0, -1))
        unfinished = sum(_is_unfinished(rows.get(identifier)) for identifier in asked_for)
        images = sum(_images_in(member) for member, _ in self._counted(key))
        return Allowance(used=unfinished, limit=self._limit), Allowance(used=images, limit=self._images_limit)

    def give_back(self, key: str | None, claim: Claim) -> None:
        """No longer count what was counted for an audit that was not accepted, or exists."""
        with self._redis.pipeline() as pipe:
            if claim.is_new:
                pipe.zrem(_name(key), claim.audit)
            pipe.zrem(_images_name(key), claim.images)
            pipe.execute()

    def _counted(self, key: str | None) -> list[tuple[bytes, float]]:
        counted: list[tuple[bytes, float]] = self._redis.zrangebyscore(
            _images_name(key), time.time() - DAY_S, "+inf", withscores=True
        )
        return counted

    def _refuse_images(
        self,
        key: str | None,
        request: AuditRequest,
        counted: Sequence[tuple[bytes, float]],
        read_rows: Callable[[], Mapping[str, AuditRow]],
    ) -> None:
        """Refuse the audit if its images are too many beside those in ``counted``, oldest first."""
        limit, wanted, identifier = self._images_limit, forward_images_of(request), audit_id(request)
        excess = 0 if limit is None else sum(_images_in(member) for member, _ in counted) + wanted - limit
        if limit is None or excess <= 0:
            return
        row = read_rows().get(identifier)
        if row is not None and row.status not in (Status.FAILED, Status.CANCELED):
            return  # nothing is measured for an audit that exists
        recent = (member for member, at in counted if at >= time.time() - SETTLED_S)
        if row is None and any(member.endswith(identifier.encode()) for member in recent):
            return  # another request asks for the same audit just now
        left = max(0, wanted - excess)
        whose = "This service" if key is None else "This key"
        allowance = f"{whose} may ask for {limit:,} forward images in 24 hours and has {left:,} left"
        detail = f"{allowance}; this audit has {wanted:,}."
        if wanted > limit:
            raise refused("too-many-images", f"{detail} Ask for fewer images or transforms.")
        # When enough of the older ones will have been asked for a day ago.
        freed, at = 0, time.time()
        for member, asked_at in counted:
            freed, at = freed + _images_in(member), asked_at
            if freed >= excess:
                break
        wait_s = max(1, math.ceil(at + DAY_S - time.time()))
        raise Refused(
            problem("too-many-images", f"{detail} Retry-After says when it fits."), {"Retry-After": str(wait_s)}
        )

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


def _name(key: str | None) -> str:
    digest = "everyone" if key is None else hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"zooaudit:asked:{digest}"


def _images_name(key: str | None) -> str:
    return _name(key).replace(":asked:", ":images:")


def _member(request: AuditRequest) -> str:
    """Make the member of a sorted set that stands for the images of one request."""
    return f"{forward_images_of(request)} {uuid.uuid4().hex} {audit_id(request)}"


def _images_in(member: bytes) -> int:
    return int(member.split()[0])


def _is_unfinished(row: AuditRow | None) -> bool:
    return row is not None and not row.status.final
