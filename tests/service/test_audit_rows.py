"""The rows of all audits: sorted, filtered, counted, paged by cursor and by offset, and never stale."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from obstore.store import MemoryStore
from redis import Redis
from rq.job import JobStatus
from zooaudit.contract import AuditRequest, Sort, Status, state_key

from service import cursors
from service.accepted import AcceptedAudits
from service.audit_rows import AuditRows
from service.queue import AuditQueue
from tests.fakes import ASK, is_problem, report_of

MODELS = ("timm/resnet18.a1_in1k", "timm/ResNet50.a1_in1k", "torchvision/vit_b_16")
START = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def queue(redis) -> AuditQueue:
    return AuditQueue(redis)


@pytest.fixture
def audit_rows(queue) -> AuditRows:
    return AuditRows(queue)


def nothing(_: str) -> None:
    return None


def submit(queue: AuditQueue, seed: int, model: str = MODELS[0]) -> str:
    return queue.submit(AuditRequest(**{**ASK, "model": model}, seed=seed), nothing, AcceptedAudits(MemoryStore()))[
        0
    ].id


@pytest.fixture
def mixed(queue, redis, set_status) -> list[str]:
    """Forty audits of every status, in the order in which they were accepted; some durations and times are equal."""
    chance = random.Random(0)
    ids = []
    for seed in range(40):
        identifier = submit(queue, seed, chance.choice(MODELS))
        began = START + timedelta(minutes=seed)
        way = chance.choice(["queued", "running", "done", "failed", "canceled"])
        if way == "running":
            set_status(identifier, JobStatus.STARTED, started_at=began)
        if way in ("done", "failed"):
            end = began + timedelta(seconds=chance.choice([1, 2, 30]))
            status = JobStatus.FINISHED if way == "done" else JobStatus.FAILED
            set_status(identifier, status, started_at=began, ended_at=end)
        if way == "canceled":
            queue.cancel(identifier)
        redis.zadd("zooaudit:audits", {identifier: (began - timedelta(seconds=seed % 3 * 60)).timestamp()})
        ids.append(identifier)
    return ids


def walk(audit_rows: AuditRows, limit: int, **query) -> list[str]:
    """The ids of all pages, each reached by the cursor of the page before."""
    seen, after = [], None
    while True:
        page = audit_rows.page(limit=limit, after=after, **query)
        seen += [row.id for row in page.rows]
        if page.last is None:
            return seen
        after = cursors.decode(cursors.encode(page.last), query["sort"])


@pytest.mark.parametrize("sort", get_args(Sort))
def test_every_order_is_total_and_the_same_by_cursor_and_by_offset(audit_rows, queue, mixed, sort):
    audits = queue.read(mixed)
    whole = [row.id for row in audit_rows.page(sort, limit=100).rows]
    assert sorted(whole) == sorted(mixed)
    assert walk(audit_rows, 7, sort=sort) == whole
    assert [row.id for at in range(0, 40, 7) for row in audit_rows.page(sort, limit=7, offset=at).rows] == whole

    def value(audit):
        return {
            "model": audit.request.model.lower(),
            "status": list(Status).index(audit.status),
            "duration": audit.started_at and audit.finished_at and audit.finished_at - audit.started_at,
            "created": {row.id: row.created_s for row in audit_rows.page(limit=100).rows}[audit.id],
        }[sort.strip("-")]

    values = [value(audits[identifier]) for identifier in whole]
    known = [one for one in values if one is not None]
    assert values[len(known) :] == [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=sort.startswith("-"))


def test_rows_say_what_the_audits_say(audit_rows, queue, mixed):
    audits = queue.read(mixed)
    assert {audit.status for audit in audits.values()} == set(Status)
    for row in audit_rows.page(limit=100).rows:
        audit = audits[row.id]
        assert (row.model, row.status) == (audit.request.model, audit.status)
        assert (row.started_at, row.finished_at) == (audit.started_at, audit.finished_at)


def test_filters_count_what_they_leave(audit_rows, queue, mixed):
    audits = queue.read(mixed).values()
    wanted = {Status.FAILED, Status.RUNNING}
    page = audit_rows.page("model", wanted, "RESNET", limit=2)
    expected = [a for a in audits if a.status in wanted and "resnet" in a.request.model.lower()]
    assert (len(page.rows), page.total) == (2, len(expected))
    assert set(walk(audit_rows, 2, sort="model", statuses=wanted, model="RESNET")) == {audit.id for audit in expected}
    assert audit_rows.page(model="nothing").total == 0
    start = mixed[0][:4]
    assert {row.id for row in audit_rows.page(id_start=start).rows} == {one for one in mixed if one.startswith(start)}


def test_a_cursor_stays_true_while_audits_come_and_go(audit_rows, queue, redis):
    ids = [submit(queue, seed) for seed in range(6)]
    page = audit_rows.page(limit=2)
    assert [row.id for row in page.rows] == [ids[5], ids[4]]
    submit(queue, 6)
    redis.zrem("zooaudit:audits", ids[4])
    audit_rows.expire()
    assert [row.id for row in audit_rows.page(limit=2, after=page.last).rows] == [ids[3], ids[2]]


def test_only_what_may_have_changed_is_read_again(audit_rows, queue, mixed, monkeypatch):
    read: list[str] = []
    rows = queue.rows
    monkeypatch.setattr(queue, "rows", lambda created: read.extend(created) or rows(created))
    audit_rows.page()
    assert sorted(read) == sorted(mixed)
    read.clear()
    audit_rows.page()
    assert read == []
    audit_rows.expire()
    running = {row.id for row in audit_rows.page(limit=100).rows if row.status is Status.RUNNING}
    assert set(read) == running
    read.clear()
    again = next(row.id for row in audit_rows.page(limit=100).rows if row.status is Status.FAILED)
    queue.submit(queue.read([again])[again].request, nothing, AcceptedAudits(MemoryStore()))
    new = submit(queue, 99)
    audit_rows.expire()
    assert {row.id for row in audit_rows.page(limit=100).rows if row.status is Status.QUEUED} >= {again, new}
    assert set(read) == running | {again, new}


def test_what_a_worker_or_a_cancel_does_is_seen(audit_rows, queue, redis, set_status):
    taken, canceled = (submit(queue, seed) for seed in range(2))

    def statuses():
        audit_rows.expire()
        return {row.id: row.status for row in audit_rows.page().rows}

    assert statuses() == {taken: Status.QUEUED, canceled: Status.QUEUED}
    set_status(taken, JobStatus.STARTED, started_at=datetime.now(UTC))
    queue.cancel(canceled)
    assert statuses() == {taken: Status.RUNNING, canceled: Status.CANCELED}
    redis.hset(state_key(taken), "outcome", "canceled 1")
    assert statuses()[taken] == Status.CANCELED
    redis.flushall()
    assert statuses() == {}


def test_rows_are_renewed_in_time_without_being_told(audit_rows, queue, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("service.fresh.time.monotonic", lambda: now[0])
    assert audit_rows.page().total == 0
    submit(queue, 0)
    now[0] += 0.4
    assert audit_rows.page().total == 0
    now[0] += 0.2
    assert audit_rows.page().total == 1


def test_a_look_that_failed_is_made_again(audit_rows, queue, monkeypatch):
    submit(queue, 0)
    with monkeypatch.context() as broken:
        broken.setattr(queue, "index", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            audit_rows.page()
    assert audit_rows.page().total == 1


async def test_the_endpoint_sorts_filters_and_pages(http, set_status):
    async def ask(**changes):
        return (await http.post("/audit", json=ASK | changes)).json()["id"]

    slow, quick, vit = await ask(seed=0), await ask(seed=1), await ask(model=MODELS[2], seed=2)
    for identifier, seconds in ((slow, 9), (quick, 3)):
        ended = START + timedelta(seconds=seconds)
        set_status(identifier, JobStatus.FINISHED, started_at=START, ended_at=ended)

    async def listed(**params):
        page = (await http.get("/audit", params=params)).json()
        return [audit["id"] for audit in page["audits"]], page["total"]

    assert await listed() == ([vit, quick, slow], 3)
    assert await listed(sort="created") == ([slow, quick, vit], 3)
    assert await listed(sort="duration") == ([quick, slow, vit], 3)
    assert await listed(sort="-duration", limit=1) == ([slow], 3)
    assert await listed(sort="-model", limit=1, offset=1) == ([quick], 3)
    assert await listed(status="queued,succeeded", model="RESNET") == ([quick, slow], 2)
    assert await listed(offset=5) == ([], 3)
    first = (await http.get("/audit?sort=-duration&limit=2")).json()
    rest = (await http.get("/audit", params={"sort": "-duration", "cursor": first["next_cursor"]})).json()
    assert [audit["id"] for audit in rest["audits"]] == [vit]
    assert rest["next_cursor"] is None
    for query in (f"cursor={first['next_cursor']}", "sort=odd", "status=queued,odd", "offset=-1"):
        answer = await http.get(f"/audit?{query}")
        assert is_problem(answer, 422, "invalid-request")
        assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


async def test_an_audit_that_moved_on_is_not_shown_under_its_old_status(http, set_status):
    identifier = (await http.post("/audit", json=ASK)).json()["id"]
    assert len((await http.get("/audit?status=queued")).json()["audits"]) == 1
    set_status(identifier, JobStatus.STARTED, started_at=datetime.now(UTC))
    assert (await http.get("/audit?status=queued")).json()["audits"] == []


def test_restored_audits_are_listed(audit_rows, queue, redis: Redis):
    assert audit_rows.page().total == 0
    report = report_of(AuditRequest(**ASK), START)
    queue.restore(report)
    audit_rows.expire()
    (row,) = audit_rows.page().rows
    assert (row.id, row.status, row.created_s) == (report.id, Status.SUCCEEDED, START.timestamp())
    assert redis.zcard("zooaudit:audits") == 1


def test_those_in_line_share_a_failure_instead_of_waiting_for_one_each():
    in_line, calls = threading.Semaphore(0), []

    class Line:
        """A lock that tells when somebody comes to it."""

        def __init__(self) -> None:
            self._lock = threading.Lock()

        def __enter__(self) -> None:
            in_line.release()
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()

    class Stalled:
        def index(self) -> None:
            for _ in range(5):
                in_line.acquire()
            calls.append("index")
            raise TimeoutError("no answer")

    rows = AuditRows(Stalled())
    rows._fresh._lock = Line()
    with ThreadPoolExecutor(5) as threads:
        failures = [future.exception() for future in [threads.submit(rows.page) for _ in range(5)]]
    assert [str(failure) for failure in failures] == ["no answer"] * 5
    assert calls == ["index"]
    in_line.release(4)
    with pytest.raises(TimeoutError):
        rows.page()
    assert calls == ["index", "index"]  # who comes later tries again
