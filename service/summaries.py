"""What a leaderboard needs of each report: read once, kept in memory, and in Redis for the next start."""

import hashlib
import json
import logging
import threading
import time
from array import array
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError
from zooaudit.contract import (
    LEADERBOARD_NUMBERS,
    LeaderboardMethod,
    LeaderboardRow,
    ReportSummary,
    leaderboard_number,
    summary_of,
)

from service.errors import StoreUnavailable
from service.reports import ReportStore

log = logging.getLogger("zooaudit.service")

READERS = 4
"""How many reports are read at once: from S3, most of the time is waiting."""
BATCH = 200
DECIMALS = 6
WAIT_S = 1.0
"""How long a request waits for reports that are not read yet: enough for those of the audits that have just ended."""
LOST_S = 60.0
"""How long a report that could not be read is not tried again."""
KEPT_S = 30 * 86_400
SCHEMA = json.dumps([ReportSummary.model_json_schema(), DECIMALS], sort_keys=True)
KEY = f"zooaudit:summaries:{hashlib.sha256(SCHEMA.encode()).hexdigest()[:12]}"
"""Redis hash: the ReportSummary of each audit, as JSON. A service whose summaries have other fields has another one."""
SCORE_PLACES = {name: place for place, name in enumerate(LEADERBOARD_NUMBERS)}


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """One report: ``row`` has no parts, which take much memory as objects, and ``json`` is the whole row. ``scores``
    are in the order of SCORE_PLACES, NaN where there is none."""

    method: LeaderboardMethod
    row: LeaderboardRow
    scores: "array[float]"
    json: bytes


@dataclass(frozen=True)
class Known:
    """The ``summaries`` of some audits; ``pending`` of them are still to be read, ``unreadable`` cannot be read."""

    summaries: tuple[Summary, ...]
    pending: int
    unreadable: int


class Summaries:
    """Reads summaries from Redis, or else from the reports in the store. Threads may share it."""

    def __init__(self, store: ReportStore, redis: Redis) -> None:
        self._store = store
        self._redis = redis
        self._summaries: dict[str, Summary] = {}
        self._methods: dict[LeaderboardMethod, LeaderboardMethod] = {}
        self._lost_until_s: dict[str, float] = {}
        self._wanted: dict[str, None] = {}
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._failure: StoreUnavailable | None = None

    def start(self) -> None:
        """Begin to read all reports in the background. Never raises."""
        threading.Thread(target=self._want_all, name="summaries-start", daemon=True).start()

    def of(self, identifiers: Collection[str], wait_s: float = WAIT_S) -> Known:
        """Return the summaries of the audits with these ids, after waiting up to ``wait_s`` seconds for new ones.

        Raises StoreUnavailable when the store did not answer for one that is missing.
        """
        if missing := self._missing(identifiers):
            self._want(missing)
            self._idle.wait(wait_s)
            missing = self._missing(identifiers)
            if missing and self._failure is not None:
                raise self._failure
        summaries = tuple(self._summaries[identifier] for identifier in identifiers if identifier in self._summaries)
        return Known(summaries, len(missing), len(identifiers) - len(summaries) - len(missing))

    def forget(self, identifier: str) -> None:
        """Forget an audit whose report was deleted: a later one under its id may differ."""
        self._summaries.pop(identifier, None)
        self._redis.hdel(KEY, identifier)

    def _missing(self, identifiers: Iterable[str]) -> list[str]:
        now_s = time.monotonic()
        return [
            identifier
            for identifier in identifiers
            if identifier not in self._summaries and self._lost_until_s.get(identifier, now_s) <= now_s
        ]

    def _want_all(self) -> None:
        try:
            self._want(list(self._store.identifiers()))
        except StoreUnavailable as error:
            log.warning("could not list the reports for the leaderboard yet: %s", error)

    def _want(self, identifiers: Iterable[str]) -> None:
        """Read these in the background."""
        with self._lock:
            self._wanted.update(dict.fromkeys(identifiers))
            if self._wanted and self._idle.is_set():
                self._idle.clear()
                self._failure = None
                threading.Thread(target=self._work, name="summaries", daemon=True).start()

    def _work(self) -> None:
        with ThreadPoolExecutor(READERS, "summaries") as readers:
            try:
                while batch := self._take():
                    self._read(batch, readers)
            except StoreUnavailable as error:
                log.warning("could not read reports for the leaderboard: %s", error)
                self._give_up(error)
            except Exception:
                log.exception("could not read reports for the leaderboard")
                self._give_up(StoreUnavailable("reports could not be read"))

    def _take(self) -> list[str]:
        with self._lock:
            while self._wanted:
                batch = [self._wanted.popitem()[0] for _ in range(min(BATCH, len(self._wanted)))]
                if missing := self._missing(batch):
                    return missing
            self._idle.set()
            return []

    def _give_up(self, failure: StoreUnavailable) -> None:
        with self._lock:
            self._failure = failure
            self._wanted.clear()
            self._idle.set()

    def _read(self, identifiers: list[str], readers: ThreadPoolExecutor) -> None:
        """Read these from Redis, and those that it does not have from the store."""
        for summary in self._cached(identifiers):
            self._keep(summary)
        missing, made = self._missing(identifiers), []
        for identifier, made_summary in zip(missing, readers.map(self._summarize, missing), strict=True):
            if made_summary is None:
                self._lost_until_s[identifier] = time.monotonic() + LOST_S
            else:
                made.append(made_summary)
                self._keep(made_summary)
        if made:
            self._cache(made)

    def _summarize(self, identifier: str) -> ReportSummary | None:
        head = self._store.head(identifier)
        return None if head is None else with_rounded_scores(summary_of(head))

    def _keep(self, summary: ReportSummary) -> None:
        row = summary.row
        self._summaries[row.id] = Summary(
            method=self._methods.setdefault(summary.method, summary.method),
            row=row.model_copy(update={"parts": {}}),
            scores=array("d", _scores(row)),
            json=row.model_dump_json().encode(),
        )

    def _cached(self, identifiers: list[str]) -> Iterator[ReportSummary]:
        """Yield the summaries that Redis has; one that is damaged counts as absent."""
        try:
            texts = self._redis.hmget(KEY, identifiers)
        except RedisError as error:
            log.warning("could not look up summaries of reports: %s", error)
            return
        for identifier, text in zip(identifiers, texts, strict=True):
            try:
                summary = ReportSummary.model_validate_json(text) if text is not None else None
            except ValidationError:
                log.warning("the summary of report %s in Redis is damaged; it is made again", identifier)
                continue
            if summary is not None and summary.row.id == identifier:
                yield summary

    def _cache(self, summaries: Iterable[ReportSummary]) -> None:
        texts: dict[Any, Any] = {summary.row.id: summary.model_dump_json() for summary in summaries}
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.hset(KEY, mapping=texts)
                pipe.expire(KEY, KEPT_S)
                pipe.execute()
        except RedisError as error:
            log.warning("could not keep summaries of reports: %s", error)


def _scores(row: LeaderboardRow) -> Iterator[float]:
    for name in SCORE_PLACES:
        value = leaderboard_number(row, name)
        yield float("nan") if value is None else value


def with_rounded_scores(summary: ReportSummary) -> ReportSummary:
    """Round the scores: with all their sixteen digits, a leaderboard would be half as large again."""
    row = summary.row.model_dump(mode="json")
    measured = {name: _rounded(row[name]) for name in ("parts", "consistency") if name in row}
    rounded = LeaderboardRow.model_validate_json(json.dumps(row | measured))
    return ReportSummary(method=summary.method, row=rounded)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
