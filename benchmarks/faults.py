"""Break a stack that shares audits: ``python -m benchmarks.faults --seed S [--audits N] [--workers N] [--out FILE]``

Workers that sleep instead of computing (``tests.e2e.stand_in``) share N audits, a few at a time, of different lengths;
some have a baseline, some too many transforms for one pass. Meanwhile workers, their children, the API and Redis are
killed by signal 9 and started again, or frozen and thawed, as the seed says. In the end no audit may be lost, stuck,
doubled or different: each report must be the one that is computed from its request without any worker. What workers
have written down of each step that they took shows how much was measured twice, whatever the reports say of it: less
than 15 % of all.

The history (when what was done to whom) is written to FILE as JSON. The exit status is 1 if anything is wrong.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from redis import Redis
from rq import Queue
from zooaudit.contract import OPEN_KEY, QUEUE, AuditRequest, Report, board_key, members_key

from service.stack import Stack, running
from tests.e2e.faults import TTL_S, Schedule
from tests.e2e.harness import eventually
from tests.e2e.stand_in import STEPS, expected

WORKER = (sys.executable, "-m", "tests.e2e.stand_in")
IMAGE_S = 0.01
AT_ONCE = 3
"""How many audits are unfinished at most, on average: fewer than workers, so that some of them help."""
REPEATED_BELOW = 0.15
VICTIMS = {"worker": 3, "child of worker": 3, "worker and child of worker": 1, "api": 1, "redis": 1}
"""How often each is hit, relative to the others."""
MEASURED = {"environment", "timing"}
"""What two reports of the same audit may differ in."""


@dataclass(frozen=True)
class Fault:
    """Something that befalls a ``victim``, which stays dead or frozen ``for_s`` seconds. The next comes ``pause_s``
    later."""

    kills: bool
    victim: str
    worker: int
    for_s: float
    pause_s: float


def faults(seed: int, workers: int, every_s: float) -> Iterator[Fault]:
    """Draw faults without end: the same ones from the same seed, however long each takes."""
    chance = random.Random(f"faults {seed}")
    while True:
        (victim,) = chance.choices(list(VICTIMS), list(VICTIMS.values()))
        yield Fault(
            kills=chance.random() < 0.5,
            victim=victim,
            worker=chance.randrange(workers),
            for_s=chance.uniform(0.5, 2 * TTL_S),
            pause_s=chance.uniform(0.5, 1.5) * every_s,
        )


def requests(seed: int, audits: int) -> Iterator[AuditRequest]:
    """Draw requests: of all lengths, some with a baseline, some for which few transforms fit into memory."""
    chance = random.Random(f"requests {seed}")
    for number in range(audits):
        seeds = chance.choice([0, 0, 0, 0, 1, 2])
        yield AuditRequest(
            model=f"timm/{chance.choice(['quick', 'poor'])}.v1",
            weights="pretrained",
            dataset="synthetic",
            num_images=10 * chance.randint(2, 10),
            seed=1000 * seed + number,
            translations_px=sorted(chance.sample(range(1, 33), chance.choice([2, 8, 16, 32]))),
            rotations_deg=chance.choice([(), (90, 180, 270)]),
            baseline=seeds > 0,
            baseline_seeds=max(1, seeds),
        )


class SharedSchedule(Schedule):
    """A stack under faults whose audits are shared."""

    def __init__(self, stack: Stack, http: httpx.Client, seed: int, audits: int, every_s: float) -> None:
        super().__init__(stack, http, seed)
        self.http = http
        self.to_ask = list(requests(seed, audits))[::-1]
        self.faults = faults(seed, len(stack.workers), every_s)
        self.requests: dict[str, AuditRequest] = {}
        self.history: list[dict[str, Any]] = []
        self.begun_s = time.monotonic()

    def work(self) -> None:
        """Ask for the next audit if there is room for it, and look at all that have not ended."""
        unfinished = self.accepted.keys() - self.ended.keys()
        if self.to_ask and len(unfinished) < self.random.randint(1, 2 * AT_ONCE - 1):
            request = self.to_ask[-1]
            answer = self.request("POST", "/audit", json=request.model_dump(mode="json"))
            if answer is not None and answer.is_success:  # 200 if an answer was lost before
                identifier = answer.json()["id"]
                self.accepted[identifier] = request.model
                self.requests[identifier] = self.to_ask.pop()
            elif answer is not None:
                self.complain(f"a request was refused: {answer.status_code} {answer.text[:200]}")
        for identifier in unfinished:
            self.look_at(identifier)

    def run_all(self) -> list[str]:
        """Break the stack until all audits have been asked for and most have ended, and return what is wrong."""
        while self.to_ask or len(self.ended) < len(self.accepted) - AT_ONCE:
            fault = next(self.faults)
            self.go_on(fault.pause_s)
            with suppress(psutil.NoSuchProcess):
                self.kill(fault) if fault.kills else self.freeze(fault)
            self.stack.mend()
        return self.heal() + list(self.lost()) + list(self.different()) + list(self.left_over())

    def kill(self, fault: Fault) -> None:
        for process in self.victims(fault):
            self.note(fault, "kill -9", process)
            process.kill()
            for part in (*self.stack.workers, self.stack.api, self.stack.redis.process):
                if part.pid == process.pid:
                    part.wait(10)
        if fault.victim in ("api", "redis"):  # the stack would start it again at once
            self.go_on(fault.for_s)

    def freeze(self, fault: Fault) -> None:
        frozen = self.victims(fault)
        for process in frozen:
            self.note(fault, "freeze", process)
            process.suspend()
        try:
            self.go_on(fault.for_s)
        finally:
            for process in frozen:
                with suppress(psutil.NoSuchProcess):
                    self.note(fault, "thaw", process)
                    process.resume()

    def victims(self, fault: Fault) -> list[psutil.Process]:
        """Return the processes that the fault befalls; none if a worker has no child just now."""
        if fault.victim == "api":
            return [psutil.Process(self.stack.api.pid)]
        if fault.victim == "redis":
            return [psutil.Process(self.stack.redis.process.pid)]
        worker = psutil.Process(self.stack.workers[fault.worker].pid)
        found = [worker] if fault.victim.startswith("worker") else []
        return found + (worker.children() if "child" in fault.victim else [])

    def note(self, fault: Fault, what: str, process: psutil.Process) -> None:
        victim = f"{fault.victim} {fault.worker + 1}" if "worker" in fault.victim else fault.victim
        at_s = round(time.monotonic() - self.begun_s, 2)
        self.history.append({"at_s": at_s, "fault": what, "victim": victim, "pid": process.pid})
        print(f"{at_s:7.1f} s  {what:8} {victim}, {len(self.accepted)} accepted, {len(self.ended)} ended", flush=True)

    def lost(self) -> Iterator[str]:
        for identifier, (status, error, _) in self.ended.items():
            if status != "succeeded":
                yield f"{identifier} is lost: {status}, {error}"
        listed: Counter[str] = Counter()
        cursor: str | None = ""
        while cursor is not None:
            page = self.http.get("/audit", params={"limit": 100, **({"cursor": cursor} if cursor else {})}).json()
            listed.update(audit["id"] for audit in page["audits"])
            cursor = page.get("next_cursor")
        if listed != Counter(self.accepted.keys()):
            yield f"the list of audits has {listed.total()}, {len(listed)} of them distinct, and not those accepted"

    def different(self) -> Iterator[str]:
        for identifier, request in self.requests.items():
            answer = self.http.get(f"/audit/{identifier}/report")
            if not answer.is_success:
                continue  # it is lost
            report = Report.model_validate_json(answer.content)
            if report.model_dump(exclude=MEASURED) != expected(request).model_dump(exclude=MEASURED):
                yield f"{identifier} has another report than it must have"

    def left_over(self) -> Iterator[str]:
        """Name what should be gone once all audits have ended."""
        with Redis.from_url(self.stack.redis_url) as redis:
            queue = Queue(QUEUE, connection=redis, serializer="json")
            registry = queue.started_job_registry

            def left() -> list[str]:
                waiting = [f"{identifier} waits" for identifier in queue.get_job_ids()]
                taken = [f"{identifier} has been taken" for identifier in queue.intermediate_queue.get_job_ids()]
                runs = [f"{entry.decode()} runs" for entry in redis.zrange(registry.key, 0, -1)]
                opened = [f"{identifier.decode()} is open" for identifier in redis.zrange(OPEN_KEY, 0, -1)]
                keys = [key for identifier in self.accepted for key in (board_key(identifier), members_key(identifier))]
                boards = [f"{key} is in Redis" for key in keys if redis.exists(key)]
                shards = self.stack.directory / "store" / "shards"
                files = [f"{path.name} is in the store" for path in shards.rglob("*") if path.is_file()]
                return waiting + taken + runs + opened + boards + files

            with suppress(AssertionError):
                eventually(lambda: not left(), 30.0)
            yield from (f"after the end of all audits, {what}" for what in left())

    def measured(self) -> dict[str, float]:
        """Count, from what the workers have written down, the forward images that were measured, of them those of
        reference views, and those of the others that were measured again."""
        done = reference = again = reported = missing = 0
        for identifier, request in self.requests.items():
            images = request.num_images // STEPS
            lines = (self.stack.directory / "runs" / identifier).read_text().splitlines()
            steps = [line.partition(" ")[2] for line in lines if not line.endswith("reference")]
            tasks = len(request.translations_px) + len(request.rotations_deg)
            models = 1 + request.baseline * request.baseline_seeds
            done += images * len(lines)
            reference += images * (len(lines) - len(steps))
            again += images * (len(steps) - len(set(steps)))
            missing += images * (STEPS * tasks * models - len(set(steps)))
            answer = self.http.get(f"/audit/{identifier}/report")
            reported += answer.json()["timing"].get("repeated_images") or 0 if answer.is_success else 0
        return {
            "forward_images": done,
            "of_reference_views": reference,
            "repeated": again,
            "repeated_share": again / max(1, done - reference),
            "repeated_as_reports_say": reported,
            "never_measured": missing,
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--audits", type=int, default=100)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two faults, about (default: 10)")
    parser.add_argument("--keep", type=Path, help="keep the stack's data and logs in this new folder")
    parser.add_argument("--out", type=Path, help="(default: benchmarks/data/faults-SEED.json)")
    options = parser.parse_args()
    out = options.out or Path(__file__).parent / "data" / f"faults-{options.seed}.json"
    with tempfile.TemporaryDirectory() as folder:
        result = break_a_stack(
            options.keep or Path(folder), options.seed, options.audits, options.workers, options.every
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"date": datetime.now(UTC).date().isoformat(), **result}, indent=1) + "\n")
    print(*(f"{name}: {value}" for name, value in result["measured"].items()), sep="\n")
    print(f"{len(result['history'])} events in {result['seconds']:.0f} s: {out}")
    print(*result["wrong"], sep="\n")
    return 1 if result["wrong"] else 0


def break_a_stack(directory: Path, seed: int, audits: int, workers: int, every_s: float) -> dict[str, Any]:
    """Run the schedule on a stack that keeps its data in ``directory``; return what was done and what is wrong."""
    (directory / "runs").mkdir(parents=True)
    env = {
        "ZOOAUDIT_WORKER_TTL_S": str(TTL_S),
        "FAKE_RUNS": str(directory / "runs"),
        "ZOOAUDIT_API_KEYS": "",
        "STAND_IN_S": str(IMAGE_S),
        "OMP_NUM_THREADS": "1",
    }
    with (
        running(directory, workers=workers, env=env, worker_command=WORKER) as stack,
        httpx.Client(base_url=stack.url, timeout=2, trust_env=False) as http,
    ):
        schedule = SharedSchedule(stack, http, seed, audits, every_s)
        wrong = schedule.run_all()
        seconds = time.monotonic() - schedule.begun_s
        measured = schedule.measured()
    if measured["never_measured"]:
        wrong.append(f"{measured['never_measured']} forward images were never measured")
    if measured["repeated_share"] >= REPEATED_BELOW:
        wrong.append(
            f"{measured['repeated_share']:.1%} of the work was repeated, which is {REPEATED_BELOW:.0%} or more"
        )
    return {
        "seed": seed,
        "audits": audits,
        "workers": workers,
        "seconds": round(seconds, 1),
        "measured": measured,
        "wrong": wrong,
        "history": schedule.history,
    }


if __name__ == "__main__":
    sys.exit(main())
