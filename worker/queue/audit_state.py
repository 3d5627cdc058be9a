"""The state of a running audit in Redis: its progress, its error, whether it was canceled, and a report kept for later.

All of it is written in the name of an :class:`Attempt`, so every function raises Superseded once another one counts.
"""

import time
from datetime import timedelta
from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.client import Pipeline
from redis.exceptions import RedisError
from redis.retry import Retry
from zooaudit.contract import (
    TROUBLES_KEY,
    Problem,
    Progress,
    board_key,
    kept_report_key,
    members_key,
    state_key,
)

from worker.queue.attempt import Attempt, State, Superseded

PROGRESS_EVERY_S = 0.3
KEEP_REPORT = timedelta(days=30)

# One command, because this connection does not repeat anything: a transaction would repeat itself while Redis is away.
WRITE_PROGRESS = """
local attempt, leads = redis.call('HGET', KEYS[1], 'attempt'), KEYS[1] == KEYS[2]
if attempt ~= ARGV[1] and (attempt or not leads) then return {'superseded', ''} end
if leads then redis.call('HSET', KEYS[2], 'progress', ARGV[2]) end
local version = redis.call('HGET', KEYS[3], 'version') or ''
if version ~= '' and ARGV[3] ~= '' then redis.call('HSET', KEYS[4], ARGV[1], ARGV[3]) end
return {redis.call('HGET', KEYS[2], 'outcome') or '', version}
"""


class Canceled(Exception):
    """Ends a job whose audit was canceled."""


class AuditState:
    """The hash that stands in Redis beside the job of the audit ``identifier`` (see ``contract.state_key``), as a job
    reads and writes it that measures the audit or helps with it.

    Progress has a connection of its own, which does not wait: measuring goes on while Redis is away or refuses.
    """

    def __init__(self, attempt: Attempt, redis_url: str, identifier: str) -> None:
        self._attempt = attempt
        self._id = identifier
        self._key = state_key(identifier)
        self.hasty_redis: Any = Redis.from_url(
            redis_url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(ExponentialBackoff(), 0)
        )
        self._phase = ""
        self._next_write_s = 0.0

    def begin(self) -> bool:
        """Begin the audit. Raises Canceled when it was canceled before it started.

        Returns True when an earlier attempt may have stored or kept the report already.
        """

        def write(pipe: Pipeline, state: State) -> None:
            _raise_if_canceled(state.get(b"outcome"))
            pipe.hdel(self._key, "outcome")

        state = self._attempt.change(write)
        return b"outcome" in state or b"deaths" in state

    def write_progress(self, progress: Progress, member: str = "", *, force: bool = False) -> bytes | None:
        """Write how far the audit is, and how far this ``member`` of its workers is (a ``MemberRecord`` as JSON).

        This happens at most every PROGRESS_EVERY_S within a phase unless ``force`` is set.

        Returns the version of the audit's board: empty where there is none, None where this was not the time to ask.
        Raises Canceled when the audit was canceled meanwhile.
        """
        now_s = time.monotonic()
        if not force and progress.phase == self._phase and now_s < self._next_write_s:
            return None
        self._phase, self._next_write_s = progress.phase, now_s + PROGRESS_EVERY_S
        keys = [state_key(self._attempt.job.id), self._key, board_key(self._id), members_key(self._id)]
        try:
            outcome, version = self.hasty_redis.eval(
                WRITE_PROGRESS, len(keys), *keys, self._attempt.token, progress.model_dump_json(), member
            )
        except RedisError:
            return None
        if outcome == b"superseded":
            raise Superseded(self._id)
        _raise_if_canceled(outcome)
        return bytes(version)

    def begin_storing(self) -> None:
        """Make it too late to cancel the audit. Raises Canceled when the cancel came first."""

        def write(pipe: Pipeline, state: State) -> None:
            _raise_if_canceled(state.get(b"outcome"))
            pipe.hset(self._key, "outcome", "storing")

        self._attempt.change(write)

    def keep_report(self, report: bytes, trouble: str, for_s: float) -> None:
        """Keep in Redis a report that could not be stored, let the audit be canceled again, and tell the service's
        health of the ``trouble`` for ``for_s`` seconds."""

        def write(pipe: Pipeline, _state: State) -> None:
            pipe.hdel(self._key, "outcome")
            pipe.zadd(TROUBLES_KEY, {trouble: time.time() + for_s})
            pipe.set(kept_report_key(self._id), report, ex=KEEP_REPORT)

        self._attempt.change(write)

    def kept_report(self) -> bytes | None:
        """Return the report that an earlier attempt has kept; None when there is none."""
        redis: Any = self._attempt.job.connection
        report: bytes | None = redis.get(kept_report_key(self._id))
        return report

    def drop_kept_report(self) -> None:
        self._attempt.change(lambda pipe, _state: pipe.delete(kept_report_key(self._id)))

    def write_error(self, error: Problem) -> None:
        self._attempt.change(lambda pipe, _state: pipe.hset(self._key, "error", error.model_dump_json()))


def _raise_if_canceled(outcome: bytes | None) -> None:
    if (outcome or b"").startswith(b"canceled"):
        raise Canceled
