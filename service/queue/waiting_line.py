"""Who waits in the queue, in which order, and about when each of them starts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from rq import Queue
from rq.worker_registration import WORKERS_BY_QUEUE_KEY
from zooaudit.contract import (
    HELP_PREFIX,
    QUEUE,
    Audit,
    Board,
    Progress,
    QueuePosition,
    Status,
    board_key,
    members_key,
    state_key,
)
from zooaudit.contract.board import readable

from service.fresh import Fresh

MAX_AGE_S = 0.5
"""How old what is known of the line may be, in seconds: everybody who waits polls for it, and so reads it together."""
STEPS_S = ((60, 1), (600, 10), (3600, 60), (float("inf"), 600))
"""Estimates below the first number are told in steps of the second, so that an answer does not change without need."""


@dataclass(frozen=True)
class _Line:
    """The ids that wait, and their places; None where there is none. ``starts_in_s`` has an estimate for each of them
    and, last, one for an audit behind them all."""

    identifiers: dict[str, int]
    places: Sequence[float | None]
    starts_in_s: Sequence[float | None]


class WaitingLine:
    """The audits that wait for a worker. Every method raises ``redis.RedisError`` when Redis does not answer."""

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection  # redis-py types each answer as a union of all it could ever be
        self._queue = Queue(QUEUE, connection=connection, serializer="json")
        self._fresh = Fresh(self._read, MAX_AGE_S)

    def expire(self) -> None:
        """Make the next question see the changes that were just made."""
        self._fresh.expire()

    def show(self, audit: Audit) -> Audit:
        """Add to a queued audit where it stands; not at the moment when a worker takes it from the queue."""
        if audit.status is not Status.QUEUED:
            return audit
        asked_at = time.monotonic()
        line = self._fresh.get()
        if audit.id not in line.identifiers:  # it may be newer than the reading
            line = self._fresh.get(begun_after=asked_at)
        index = line.identifiers.get(audit.id)
        return audit if index is None else audit.model_copy(update={"queue": _position(line, index)})

    def position_at(self, place: float) -> QueuePosition:
        """Tell where an audit would stand that has this place (see ``contract.places``)."""
        line = self._fresh.get()
        behind = (index for index, other in enumerate(line.places) if other is not None and other > place)
        return _position(line, next(behind, len(line.places)))

    def _read(self) -> _Line:
        prefix = state_key("*")
        now_s = time.time()
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.sort(
                self._queue.key, by="nosort", get=["#", f"{prefix}->place", f"{prefix}->estimated_s"], groups=True
            )
            pipe.zrangebyscore(self._queue.started_job_registry.key, now_s, "+inf")
            pipe.smembers(WORKERS_BY_QUEUE_KEY % QUEUE)
            waiting, attempts, workers = pipe.execute()
        begun = {attempt.decode().partition(":")[0] for attempt in attempts}
        running = [identifier for identifier in begun if not identifier.startswith(HELP_PREFIX)]
        with self._redis.pipeline(transaction=False) as pipe:
            for identifier in running:
                pipe.hmget(state_key(identifier), "progress", "estimated_s")
                pipe.hgetall(board_key(identifier))
                pipe.hgetall(members_key(identifier))
            for worker in workers:
                pipe.hmget(worker, "last_heartbeat", "death")
            answers = pipe.execute()
        of_running, of_workers = answers[: 3 * len(running)], answers[3 * len(running) :]
        rests_s = [
            _rest_s(progress, _number(estimated), readable(board, members))
            for (progress, estimated), board, members in zip(*(of_running[index::3] for index in range(3)), strict=True)
        ]
        alive = sum(bool(heartbeat and not death) for heartbeat, death in of_workers)
        return _Line(
            identifiers={identifier.decode(): index for index, (identifier, _, _) in enumerate(waiting)},
            places=[_number(place) for _, place, _ in waiting],
            starts_in_s=_starts_in_s(rests_s, [_number(estimated) for _, _, estimated in waiting], alive),
        )


def _starts_in_s(
    rests_s: Sequence[float | None], estimated_s: Sequence[float | None], workers: int
) -> list[float | None]:
    """Estimate when each audit in the line starts, and one behind them all: the work before it, shared over the
    workers. None where a part of that work is not known, or nobody does it."""
    if not workers:
        return [None] * (len(estimated_s) + 1)
    starts: list[float | None] = []
    before_s = None if None in rests_s else sum(rest for rest in rests_s if rest is not None)
    for seconds in (*estimated_s, None):
        starts.append(None if before_s is None else _coarse(before_s / workers))
        before_s = None if before_s is None or seconds is None else before_s + seconds
    return starts


def _rest_s(progress: bytes | None, estimated_s: float | None, board: Board | None) -> float | None:
    """Return how long one worker would go on with a running audit, by the progress of all that measure it; before that
    tells, as long as it was estimated."""
    now = Progress.model_validate_json(progress) if progress else Progress()
    if board is not None and now.phase == "measuring":
        now = board.progress(now)
        if now.eta_s is not None:
            return now.eta_s * max(1, len(board.in_flight()))
    if now.phase in ("storing", "done"):
        return 0.0
    return now.eta_s if now.phase == "measuring" and now.eta_s is not None else estimated_s


def _coarse(seconds: float) -> float:
    step = next(step for limit, step in STEPS_S if seconds < limit)
    return float(round(seconds / step) * step)


def _position(line: _Line, index: int) -> QueuePosition:
    return QueuePosition(position=index + 1, starts_in_s=line.starts_in_s[index])


def _number(text: bytes | None) -> float | None:
    return None if text is None else float(text)
