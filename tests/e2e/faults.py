"""Break a running stack at random, and check that no audit is lost, measured for nothing, or changed after its end.

``python -m tests.e2e.faults --seed 3 --faults 40`` runs a schedule and prints each fault. The measurements are made
up (see ``fake_worker``); Redis, the API, the workers and the faults are real.
"""

import argparse
import itertools
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import httpx
import psutil
from redis import Redis
from redis.exceptions import RedisError

from service.stack import Stack, running
from tests.e2e.harness import FAKE_WORKER, Audits, eventually

TTL_S = 4
FINAL = ("succeeded", "failed", "canceled")


class Schedule:
    """A stack under faults, with all that it has accepted and all that it has shown as final."""

    def __init__(self, stack: Stack, http: httpx.Client, seed: int) -> None:
        self.stack = stack
        self.random = random.Random(seed)
        self.audits = Audits(http, stack.directory / "runs", seeds=itertools.count(1000 * seed))
        self.accepted: dict[str, str] = {}
        self.canceled: set[str] = set()
        self.ended: dict[str, tuple[str, str | None, str | None]] = {}
        """The status, the error and the digest of the report of each audit that has ended."""
        self.emptied = False
        self.complaints: list[str] = []

    def request(self, method: str, path: str, **options) -> httpx.Response | None:
        """Send a request. Answers other than those of a service that cannot do more now are complaints."""
        try:
            answer = self.audits.http.request(method, path, **options)
        except httpx.TransportError:
            return None  # the API was killed
        if answer.status_code >= 500 and answer.status_code != 503:
            self.complain(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return None if answer.status_code == 503 else answer

    def work(self) -> None:
        """Ask for an audit, perhaps cancel one, and look at three."""
        way = self.random.choice(["quick", "slow", "slow", "mute", "dies_once"])
        body = self.audits.request_body(way, num_images=self.random.randint(3, 40))
        answer = self.request("POST", "/audit", json=body)
        if answer is not None and answer.status_code == 202:
            self.accepted[answer.json()["id"]] = way
        waiting = [identifier for identifier in self.accepted if identifier not in self.ended]
        if waiting and self.random.random() < 0.1:
            identifier = self.random.choice(waiting)
            answer = self.request("DELETE", f"/audit/{identifier}")
            if answer is not None and answer.is_success:
                self.canceled.add(identifier)
        for identifier in self.random.sample(sorted(self.accepted), min(3, len(self.accepted))):
            self.look_at(identifier)

    def look_at(self, identifier: str) -> None:
        answer = self.request("GET", f"/audit/{identifier}")
        if answer is None:
            return
        before = self.ended.get(identifier)
        if answer.status_code == 404 and before and before[0] != "succeeded" and self.emptied:
            return  # only Redis knew that it had failed or was canceled
        if answer.status_code != 200:
            self.complain(f"{identifier}: {answer.status_code}, after {before}")
            return
        audit = answer.json()
        if audit["status"] not in FINAL:
            if before and not (before[0] == "failed" and self.emptied):
                self.complain(f"{identifier} is {audit['status']}, after {before}")
            return
        report = self.request("GET", f"/audit/{identifier}/report")
        if report is None:
            return
        digest = sha256(report.content).hexdigest() if report.status_code == 200 else None
        error = audit["error"] and f"{audit['error']['type']} {audit['error']['detail']}"
        end = (audit["status"], error, digest)
        if self.ended.setdefault(identifier, end) != end and not (self.emptied and before and before[0] == "failed"):
            self.complain(f"{identifier} has changed after its end: {self.ended[identifier]} -> {end}")

    def complain(self, complaint: str) -> None:
        if complaint not in self.complaints:
            self.complaints.append(complaint)

    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(worker.pid) for worker in self.stack.workers if worker.poll() is None]

    def children(self) -> list[psutil.Process]:
        found = []
        for worker in self.processes():
            with suppress(psutil.NoSuchProcess):
                found += worker.children()
        return found

    def kill_a_child(self) -> None:
        for child in self.children()[:1]:
            child.kill()

    def kill_a_worker(self) -> None:
        self.random.choice(self.stack.workers).kill()
        time.sleep(1)

    def stop_a_worker(self) -> None:
        worker = self.random.choice(self.stack.workers)
        worker.terminate()
        with suppress(Exception):
            worker.wait(10)

    def freeze(self) -> None:
        """Freeze a worker, its child or both for up to twice the time after which it counts as dead."""
        worker = self.random.choice(self.processes())
        frozen = self.random.choice([[worker], worker.children(), [worker, *worker.children()]])
        for process in frozen:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        self.go_on(self.random.uniform(1, 2 * TTL_S))
        self.random.shuffle(frozen)
        for process in frozen:
            with suppress(psutil.NoSuchProcess):
                process.resume()
            time.sleep(self.random.uniform(0, 1))

    def kill_the_api(self) -> None:
        self.stack.api.kill()
        self.stack.api.wait()

    def kill_redis(self) -> None:
        self.stack.redis.process.kill()
        self.stack.redis.process.wait()
        self.go_on(self.random.uniform(0, 2 * TTL_S))
        self.stack.redis.start()

    def stall_redis(self) -> None:
        self.stack.redis.process.send_signal(signal.SIGSTOP)
        self.go_on(self.random.uniform(0, TTL_S))
        self.stack.redis.process.send_signal(signal.SIGCONT)

    def empty_redis(self) -> None:
        with Redis.from_url(self.stack.redis_url) as redis:
            redis.flushall()
        self.emptied = True

    def refuse(self) -> None:
        refuse, allow = self.random.choice(
            [
                (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
                (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
                (("ACL", "SETUSER", "default", "-@write"), ("ACL", "SETUSER", "default", "+@all")),
            ]
        )
        with Redis.from_url(self.stack.redis_url) as redis:
            redis.execute_command(*refuse)
            self.go_on(self.random.uniform(0, 2 * TTL_S))
            redis.execute_command(*allow)

    def block_the_store(self) -> None:
        reports = self.stack.directory / "store" / "reports"
        reports.mkdir(parents=True, exist_ok=True)
        reports.rename(reports.with_name("away"))
        reports.write_text("in the way")
        self.go_on(self.random.uniform(0, 2 * TTL_S))
        reports.unlink()
        reports.with_name("away").rename(reports)

    def go_on(self, for_s: float) -> None:
        """Use the stack for some seconds."""
        deadline_s = time.monotonic() + for_s
        while time.monotonic() < deadline_s:
            self.work()
            time.sleep(0.3)

    def run(self, faults: int) -> list[str]:
        """Break the stack that often, let it heal, and return what is wrong."""
        kinds: list[Callable[[], None]] = [
            *(self.kill_a_child, self.kill_a_worker, self.stop_a_worker, self.freeze, self.freeze, self.kill_the_api),
            *(self.kill_redis, self.stall_redis, self.empty_redis, self.refuse, self.refuse, self.block_the_store),
        ]
        for number in range(faults):
            fault = self.random.choice(kinds)
            print(f"{number:3} {fault.__name__}, {len(self.accepted)} accepted, {len(self.ended)} ended", flush=True)
            with suppress(RedisError, psutil.NoSuchProcess, IndexError):
                fault()
            self.go_on(self.random.uniform(0, 2))
            self.stack.mend()
        return self.heal()

    def heal(self) -> list[str]:
        """Wait until all audits have ended, and return what is wrong."""
        print("healing", flush=True)
        try:
            eventually(self.all_ended, 180.0 + 5 * len(self.accepted))
        except AssertionError:
            for identifier in sorted(self.accepted.keys() - self.ended.keys()):
                self.complain(f"{identifier} never ends: {self.audits.http.get(f'/audit/{identifier}').text[:200]}")
        for identifier in self.accepted:
            self.look_at(identifier)
        return self.complaints + self.wrong_ends() + self.unexpected_errors()

    def all_ended(self) -> bool:
        for identifier in self.accepted.keys() - self.ended.keys():
            self.look_at(identifier)
        time.sleep(0.5)
        return self.accepted.keys() <= self.ended.keys()

    def wrong_ends(self) -> list[str]:
        wrong = []
        for identifier, (status, error, report) in self.ended.items():
            if (report is not None) != (status == "succeeded"):
                wrong.append(f"{identifier} has {status}, but its report is {report}")
            if status == "canceled" and identifier not in self.canceled:
                wrong.append(f"{identifier} is canceled, which nobody asked for")
            if status == "failed" and not ("worker-died" in (error or "") and "3 times" in (error or "")):
                wrong.append(f"{identifier} has failed: {error}")
        return wrong

    def unexpected_errors(self) -> list[str]:
        found = []
        for log in sorted((self.stack.directory / "logs").glob("*.log")):
            found += [
                f"{log.name}: {line}"
                for line in log.read_text().splitlines()
                if re.search("Traceback|unexpected", line)
            ]
        return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Break a running stack at random, and check what becomes of its audits."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wrong = break_a_stack(Path(folder), options.seed, options.faults)
    print(*wrong, sep="\n")
    return 1 if wrong else 0


def break_a_stack(directory: Path, seed: int, faults: int) -> list[str]:
    """Run a schedule of faults on a stack of two workers that keeps its data in ``directory``; return what is wrong."""
    (directory / "runs").mkdir()
    env = {"ZOOAUDIT_WORKER_TTL_S": str(TTL_S), "FAKE_RUNS": str(directory / "runs"), "ZOOAUDIT_API_KEYS": ""}
    with (
        running(directory, workers=2, env=env, worker_command=FAKE_WORKER) as stack,
        httpx.Client(base_url=stack.url, timeout=10) as http,
    ):
        return Schedule(stack, http, seed).run(faults)


if __name__ == "__main__":
    sys.exit(main())
