"""What a list of audits, and a dry run, costs: ``python -m benchmarks.listing [--audits N]``

Fills an embedded Redis with N audits that have ended, 20 that run and 200 that wait, and times ``GET /audit`` and
``GET /leaderboard``: the first list of a new service, then the median of 20 requests for each query, both while the
rows are fresh and while every request looks for changes first. Then it times ``POST /audit?dry_run=true``, whose first
request reads a few reports. Only the newest audits have a report, so the leaderboard has some 300 rows.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from redis import Redis
from rq.job import Job, JobStatus
from zooaudit.contract import (
    CATALOGUE_KEY,
    INDEX_KEY,
    JOB,
    QUEUE,
    AuditRequest,
    Catalogue,
    Progress,
    audit_id,
    report_key,
    state_key,
)

from service.audit_rows import REFRESH_S
from service.stack import running
from tests.fakes import entry, report_of

QUERIES = {
    "first page": "/audit?limit=50",
    "page 100": "/audit?limit=50&offset=4950",
    "sorted by model": "/audit?limit=50&sort=model",
    "longest first": "/audit?limit=50&sort=-duration",
    "failed resnets": "/audit?limit=50&status=failed&model=resnet",
    "leaderboard": "/leaderboard?limit=10000",
    "leaderboard, 20 rows": "/leaderboard?limit=20&family=resnet",
}


FAMILIES = ("resnet", "vit", "convnext")
NEWEST = 500
"""How many of the audits that have ended last have a report, if they succeeded."""


def fill(redis: Redis, audits: int, store: Path) -> None:
    """Put ``audits`` that have ended, 20 that run and 200 that wait into Redis, reports of the newest into the store,
    and the catalogue of their models into Redis."""
    entries = tuple(
        entry(f"timm/{family}{number}", "a1_in1k", family=family, parameters=10**6 * (number + 1))
        for family in FAMILIES
        for number in range(100)
    )
    catalogue = Catalogue(entries=entries, datasets={"imagenet-val": None}).model_dump_json()
    redis.hset(CATALOGUE_KEY, mapping={"version": "made up", "json": catalogue})
    (store / "reports").mkdir(parents=True, exist_ok=True)
    chance, now = random.Random(0), datetime.now(UTC)
    ended = [chance.choices([JobStatus.FINISHED, JobStatus.FAILED], [9, 1])[0] for _ in range(audits)]
    with redis.pipeline(transaction=False) as pipe:
        for seed, status in enumerate([*ended, *[JobStatus.STARTED] * 20, *[JobStatus.QUEUED] * 200]):
            model = f"timm/{chance.choice(FAMILIES)}{chance.randrange(100)}.a1_in1k"
            request = AuditRequest(model=model, seed=seed)
            identifier = audit_id(request)
            job = Job.create(
                JOB,
                [request.model_dump(mode="json")],
                id=identifier,
                connection=redis,
                status=status,
                serializer="json",
            )
            job.created_at = now - timedelta(seconds=10 * (audits + 220 - seed))
            if status is not JobStatus.QUEUED:
                job.started_at = job.created_at + timedelta(seconds=5)
            if status in (JobStatus.FINISHED, JobStatus.FAILED):
                job.ended_at = job.started_at + timedelta(seconds=chance.uniform(10, 1000))
            job.save(pipeline=pipe)
            if status is JobStatus.FINISHED and seed >= audits - NEWEST:
                (store / report_key(identifier)).write_text(report_of(request).model_dump_json())
            progress = Progress(phase="measuring", done=seed, total=2 * audits)
            pipe.hset(state_key(identifier), "progress", progress.model_dump_json())
            pipe.zadd(INDEX_KEY, {identifier: job.created_at.timestamp()})
            if status is JobStatus.QUEUED:
                pipe.rpush(f"rq:queue:{QUEUE}", identifier)
        pipe.set("zooaudit:restored", "1")
        pipe.execute()


def milliseconds(call: Callable[[], httpx.Response]) -> float:
    begin = time.perf_counter()
    call().raise_for_status()
    return 1000 * (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audits", type=int, default=10_000)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), workers=0, env={"ZOOAUDIT_API_KEYS": ""}) as stack,
        httpx.Client(base_url=stack.url, timeout=60, trust_env=False) as http,
    ):
        fill(Redis.from_url(stack.redis_url), options.audits, Path(folder) / "store")
        print(f"{'cold, first list of the service':32s} {milliseconds(lambda: http.get('/audit')):7.0f} ms")
        for pause, state in ((0.0, "warm"), (1.1 * REFRESH_S, "looking for changes")):
            for name, path in QUERIES.items():
                taken = []
                for _ in range(20):
                    time.sleep(pause)
                    taken.append(milliseconds(lambda path=path: http.get(path)))
                print(f"{name + ', ' + state:32s} {statistics.median(taken):7.0f} ms", flush=True)
        for model in ("timm/resnet50", "timm/vit50"):
            body = AuditRequest(model=model, seed=2**32 - 1).model_dump(mode="json")
            dry_runs = [
                milliseconds(lambda body=body: http.post("/audit", params={"dry_run": True}, json=body))
                for _ in range(21)
            ]
            print(f"{'dry run of ' + model + ', first':32s} {dry_runs[0]:7.0f} ms", flush=True)
            print(f"{'dry run of ' + model + ', next':32s} {statistics.median(dry_runs[1:]):7.0f} ms", flush=True)


if __name__ == "__main__":
    main()
