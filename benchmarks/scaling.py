"""How audits get faster with more workers: ``python -m benchmarks.scaling real|simulated|sweep [--out FILE]``

real       One audit of a ResNet-50 under all 35 transforms, by one worker and then by two, each with one thread of the
           CPU. Both find the same decoded images in the cache, which is filled before. Printed are the wall times from
           the request to the report, their ratio, and whether both reports are the same to the last digit, apart from
           environment and timing.
simulated  One audit of 35 transforms, and several at once, by 1 to 64 workers that sleep instead of computing
           (``tests.e2e.stand_in``), so that this machine has the cores for them.
sweep      Many short audits, asked for one after another: audits per second, and whether any was lost or doubled.

What the columns of a simulation mean, with the time of one view of all images as the unit:

possible    the shortest makespan by shards of whole transforms, each of which needs the reference view, too: 1 +
            ceil(35 / workers) views for one audit, where one worker needs 36
speedup     over one worker, who measures several audits one after another
efficiency  speedup / workers; in brackets what it is for the makespan that is possible
reached     possible makespan / makespan
busy        the share of all workers' time in which they slept, that is, measured
commands    what Redis has executed, inside of scripts too: for each audit; in each second; in each second before the
            first audit, when all workers looked for one
"""

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from redis import Redis
from zooaudit.contract import IDLE_KEY, AuditRequest, Report, report_key

from service.stack import Stack, running
from tests.e2e.harness import eventually
from tests.e2e.stand_in import STEPS

SHIFTS = tuple(range(1, 33))
ANGLES = (90, 180, 270)
TRANSFORMS = len(SHIFTS) + len(ANGLES)
STAND_IN = (sys.executable, "-m", "tests.e2e.stand_in", "--workers")
START_LIMIT_S = 180.0
IDLE_FOR_S = 5.0
"""For how long the commands of idle workers are counted."""
MEASURED = {"environment", "timing"}
"""What two reports of the same audit may differ in."""

Row = dict[str, Any]


@contextmanager
def stack_of(workers: int, runs: Path | None = None, **variables: str) -> Iterator[Stack]:
    """Run a stack until the end of the block, of real workers or, if there is a folder for their ``runs``, of such as
    sleep. All workers are ready when it begins."""
    env = {"ZOOAUDIT_API_KEYS": "", "OMP_NUM_THREADS": "1", **variables}
    if runs is not None:
        runs.mkdir()
        env["FAKE_RUNS"] = str(runs)
    command = (*STAND_IN, str(workers)) if runs is not None else None
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), workers=1 if command else workers, env=env, worker_command=command) as stack,
        Redis.from_url(stack.redis_url) as redis,
    ):
        wait_until_idle(redis, workers)
        yield stack


def wait_until_idle(redis: Any, workers: int) -> None:
    """Wait until so many workers have said that they look for work."""
    eventually(lambda: redis.zcount(IDLE_KEY, time.time(), "+inf") == workers, START_LIMIT_S)


def measured(stack: Stack, requests: Sequence[AuditRequest], limit_s: float) -> Row:
    """Ask for audits one after another and wait for all reports; return the seconds and the commands that it took."""
    with Redis.from_url(stack.redis_url) as redis, httpx.Client(base_url=stack.url, trust_env=False) as http:
        before, begun_s = commands(redis), time.perf_counter()
        identifiers = []
        for request in requests:
            answer = http.post("/audit", json=request.model_dump(mode="json"), timeout=60)
            answer.raise_for_status()
            identifiers.append(answer.json()["id"])
        asked_s = time.perf_counter() - begun_s
        # Not by the API, whose questions to Redis would count, too.
        missing = {stack.directory / "store" / report_key(identifier) for identifier in identifiers}
        while missing and time.perf_counter() - begun_s < limit_s:
            missing = {path for path in missing if not path.exists()}
            time.sleep(0.02)
        seconds = time.perf_counter() - begun_s
        called = commands(redis) - before
    return {
        "seconds": seconds,
        "asking_seconds": asked_s,
        "lost": len(missing),
        "identifiers": identifiers,
        "commands": called.total(),
        "most_called": dict(called.most_common(12)),
    }


def commands(redis: Any) -> Counter[str]:
    """Return how often Redis has executed each command."""
    stats = redis.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()})


def real(model: str, images: int) -> Row:
    """Measure one audit by one real worker and by two."""
    from benchmarks.gpu import fill, in_own_process
    from worker.images.canvas_cache import CanvasCache
    from worker.settings import CACHE_GIB, canvases_folder

    request = AuditRequest(
        model=model,
        weights="untrained",
        dataset="synthetic",
        num_images=images,
        translations_px=SHIFTS,
        rotations_deg=ANGLES,
    )
    seconds, reports = [], []
    with tempfile.TemporaryDirectory() as caches:
        env = {"XDG_CACHE_HOME": caches}
        folder = canvases_folder(env)
        in_own_process(lambda: fill(CanvasCache(folder, CACHE_GIB), model, images))
        kept = set(folder.iterdir())
        for workers in (1, 2):
            with stack_of(workers, ZOOAUDIT_DEVICE="cpu", **env) as stack:
                row = measured(stack, [request], 3600.0)
                if row["lost"]:
                    audit = httpx.get(f"{stack.url}/audit/{row['identifiers'][0]}", trust_env=False)
                    sys.exit(f"The audit of {workers} workers got no report within an hour: {audit.text}")
                path = stack.directory / "store" / report_key(row["identifiers"][0])
                reports.append(Report.model_validate_json(path.read_bytes()))
            seconds.append(row["seconds"])
            timing = reports[-1].timing
            print(
                f"{workers} x 1 thread: {row['seconds']:7.1f} s from request to report, of it {timing.seconds:.1f} s "
                f"measured by {timing.workers}, {timing.forward_images} forward images, {timing.repeated_images} for "
                "nothing",
                flush=True,
            )
        if set(folder.iterdir()) != kept:
            sys.exit("The workers decoded the images again, so the times say nothing: mend this benchmark.")
    equal = reports[0].model_dump(exclude=MEASURED) == reports[1].model_dump(exclude=MEASURED)
    print(f"ratio {seconds[0] / seconds[1]:.3f}, the reports are {'equal' if equal else 'NOT EQUAL'}")
    return {
        "model": model,
        "images": images,
        "seconds": seconds,
        "ratio": seconds[0] / seconds[1],
        "equal": equal,
        "timings": [report.timing.model_dump(mode="json") for report in reports],
    }


def simulated(crews: Sequence[int], audits: int, view_s: float) -> list[Row]:
    """Measure one audit, and several at once where there is a worker for each, by crews of workers that sleep."""
    print(
        f"{'workers':>7} {'audits':>6} {'makespan':>9} {'possible':>9} {'speedup':>7} {'efficiency':>13} "
        f"{'reached':>7} {'busy':>5} {'again':>5} {'commands: an audit':>18} {'a second':>8} {'idle':>5}"
    )
    rows: list[Row] = []
    alone_s = (1 + TRANSFORMS) * view_s  # until one worker has been measured
    for workers in crews:
        with (
            tempfile.TemporaryDirectory() as folder,
            stack_of(workers, Path(folder) / "runs", STAND_IN_S=str(view_s / STEPS)) as stack,
            Redis.from_url(stack.redis_url) as redis,
        ):
            before = commands(redis)
            time.sleep(IDLE_FOR_S)
            idle = (commands(redis) - before).total() / IDLE_FOR_S
            for count in (1, audits) if 1 < audits <= workers else (1,):
                wait_until_idle(redis, workers)
                requests = [short(seed=1000 * count + number, shifts=SHIFTS, angles=ANGLES) for number in range(count)]
                row = measured(stack, requests, 60 + 2 * count * (1 + TRANSFORMS) * view_s)
                if row["lost"]:
                    sys.exit(f"{row['lost']} of {count} audits got no report from {workers} workers.")
                if workers == 1:
                    alone_s = row["seconds"]
                rows.append(scaled(row, workers, view_s, alone_s * count, Path(folder) / "runs") | {"idle": idle})
                print(line(rows[-1]), flush=True)
    return rows


def short(seed: int, shifts: Sequence[int], angles: Sequence[int] = ()) -> AuditRequest:
    """Return a request whose views take one step for each of STEPS images."""
    return AuditRequest(
        model="timm/quick.v1",
        weights="untrained",
        dataset="synthetic",
        num_images=STEPS,
        seed=seed,
        translations_px=tuple(shifts),
        rotations_deg=tuple(angles),
    )


def possible_views(audits: int, workers: int) -> int:
    """Return the makespan, in views, of audits that are measured by shards of whole transforms: as many whole audits
    as there are workers at a time, and the rest by equal shares of the workers.

    >>> possible_views(1, 1), possible_views(1, 16), possible_views(1, 64), possible_views(8, 64)
    (36, 4, 2, 6)
    """
    rounds, rest = divmod(audits, workers)
    return rounds * (1 + TRANSFORMS) + (1 + math.ceil(TRANSFORMS / (workers // rest)) if rest else 0)


def scaled(row: Row, workers: int, view_s: float, alone_s: float, runs: Path) -> Row:
    """Add to what was measured what it says about scaling, given the seconds that one worker needs."""
    lines = [line for name in row["identifiers"] for line in (runs / name).read_text().splitlines()]
    steps = len(lines) - sum(line.endswith("reference") for line in lines)
    audits, seconds = len(row["identifiers"]), row["seconds"]
    possible_s = possible_views(audits, workers) * view_s
    views = audits * (1 + TRANSFORMS)
    return {
        "workers": workers,
        "audits": audits,
        "view_s": view_s,
        "makespan_s": seconds,
        "possible_s": possible_s,
        "speedup": alone_s / seconds,
        "efficiency": alone_s / seconds / workers,
        "possible_efficiency": views * view_s / possible_s / workers,
        "reached": possible_s / seconds,
        "busy": len(lines) * view_s / STEPS / (workers * seconds),
        "repeated": steps / (audits * TRANSFORMS * STEPS) - 1,
        "commands_per_audit": row["commands"] / audits,
        "commands_per_second": row["commands"] / seconds,
        "most_called": row["most_called"],
    }


def line(row: Row) -> str:
    return (
        f"{row['workers']:7d} {row['audits']:6d} {row['makespan_s']:7.1f} s {row['possible_s']:7.1f} s "
        f"{row['speedup']:7.2f} {row['efficiency']:6.2f} ({row['possible_efficiency']:.2f}) {row['reached']:7.2f} "
        f"{row['busy']:5.2f} {row['repeated']:5.0%} {row['commands_per_audit']:18.0f} "
        f"{row['commands_per_second']:8.0f} {row['idle']:5.0f}"
    )


def sweep(workers: int, audits: int) -> Row:
    """Ask for many short audits, and check that each was measured once."""
    with (
        tempfile.TemporaryDirectory() as folder,
        stack_of(workers, Path(folder) / "runs", STAND_IN_S="0.0001") as stack,
    ):
        requests = [short(seed=number, shifts=[1]) for number in range(audits)]
        row = measured(stack, requests, 120 + audits)
        runs = [Path(folder) / "runs" / identifier for identifier in row["identifiers"]]
        steps = [len(path.read_text().splitlines()) if path.exists() else 0 for path in runs]
    result = {
        "workers": workers,
        "audits": audits,
        "seconds": row["seconds"],
        "asking_seconds": row["asking_seconds"],
        "audits_per_second": audits / row["seconds"],
        "commands_per_audit": row["commands"] / audits,
        "commands_per_second": row["commands"] / row["seconds"],
        "lost": row["lost"],
        "measured_twice": sum(count > 2 * STEPS for count in steps),
        "most_called": row["most_called"],
    }
    print(*(f"{name:20} {value:.5g}" for name, value in result.items() if name != "most_called"), sep="\n")
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="(default: benchmarks/data/scaling-PART.json)")
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("real")
    part.add_argument("--model", default="timm/resnet50.a1_in1k")
    part.add_argument("--images", type=int, default=64)
    part = parts.add_parser("simulated")
    part.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    part.add_argument("--audits", type=int, default=8, help="how many at once (default: 8)")
    part.add_argument("--view-s", type=float, default=4.0, help="seconds that one view of all images takes")
    part = parts.add_parser("sweep")
    part.add_argument("--workers", type=int, default=16)
    part.add_argument("--audits", type=int, default=1371, help="(default: 1371, the architectures of timm)")
    options = parser.parse_args()
    wrong = False
    result: Any
    if options.part == "real":
        result = real(options.model, options.images)
        wrong = not result["equal"]
    elif options.part == "simulated":
        result = simulated(options.workers, options.audits, options.view_s)
    else:
        result = sweep(options.workers, options.audits)
        wrong = bool(result["lost"] or result["measured_twice"])
    out = options.out or Path(__file__).parent / "data" / f"scaling-{options.part}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    about = {"date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count()}
    out.write_text(json.dumps({**about, options.part: result}, indent=1) + "\n")
    print(out)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
