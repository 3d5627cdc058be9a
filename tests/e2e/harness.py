"""Submit audits and follow them, in end-to-end tests."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from zooaudit import AuditClient
from zooaudit.contract import Audit, Report, report_key

from service.stack import Stack, running

FAKE_WORKER = (sys.executable, "-m", "tests.e2e.fake_worker")


def eventually(condition: Callable[[], Any], within_s: float) -> Any:
    """Call ``condition`` until it returns something true, and return that. Fails after ``within_s`` seconds."""
    deadline = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"did not happen within {within_s} s"
        time.sleep(0.05)
    return answer


def alive(pid: int) -> bool:
    """Whether a process runs. A zombie, which has ended and waits to be reaped, does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def stack_of_reports(directory: Path, reports: Iterable[Report]) -> Iterator[Stack]:
    """A stack without workers, with these reports in its store, which its leaderboard has read."""
    for report in reports:
        path = directory / "store" / report_key(report.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.model_dump_json())
    with running(directory, workers=0, env={"ZOOAUDIT_API_KEYS": ""}) as stack:
        with AuditClient(stack.url, timeout=60) as client:
            client.leaderboard(limit=1, wait_s=120)
        yield stack


class Audits:
    """Submits audits, each with another seed, and follows them."""

    def __init__(self, http: httpx.Client, runs: Path, seeds: Iterator[int]) -> None:
        self.http = http
        self._runs = runs
        self._seeds = seeds

    def request_body(self, model: str, **changes: Any) -> dict[str, Any]:
        body = {"model": model, "weights": "untrained", "dataset": "synthetic", "num_images": 10}
        return body | {"seed": next(self._seeds)} | changes

    def submit(self, model: str, **changes: Any) -> str:
        answer = self.http.post("/audit", json=self.request_body(model, **changes))
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def get(self, identifier: str) -> Audit:
        answer = self.http.get(f"/audit/{identifier}")
        assert answer.status_code == 200, answer.text
        return Audit.model_validate_json(answer.content)

    def until(self, identifier: str, *statuses: str, within_s: float = 20.0) -> Audit:
        """Wait until the audit has one of these statuses, and return it."""
        return eventually(lambda: (audit := self.get(identifier)).status in statuses and audit, within_s)

    def ended(self, identifier: str, within_s: float = 20.0) -> Audit:
        return self.until(identifier, "succeeded", "failed", "canceled", within_s=within_s)

    def measuring(self, identifier: str) -> Audit:
        """Wait until a worker has written progress, and return the audit."""
        return eventually(lambda: (audit := self.get(identifier)).progress.phase != "queued" and audit, 20.0)

    def report(self, identifier: str) -> Report:
        answer = self.http.get(f"/audit/{identifier}/report")
        assert answer.status_code == 200, answer.text
        return Report.model_validate_json(answer.content)

    def runs(self, identifier: str) -> list[int]:
        """The ids of the processes that have run the audit, in order."""
        file = self._runs / identifier
        return [int(line) for line in file.read_text().split()] if file.exists() else []
