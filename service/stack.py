"""Run the whole service on this machine: Redis, the API and workers, started and stopped together.

``python -m service.stack`` runs it in the foreground; tests and the demo use :func:`running`.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from service.processes import free_port, start, stop, tail
from service.redis_server import EmbeddedRedis
from service.settings import ServiceSettings

WORKER = (sys.executable, "-m", "worker")
START_LIMIT_S = 180.0


@dataclass
class Stack:
    """A stack's processes and addresses. ``redis`` is None when ZOOAUDIT_REDIS_URL names a Redis started elsewhere."""

    url: str
    redis_url: str = field(repr=False)  # both this and env hold passwords
    directory: Path
    env: Mapping[str, str] = field(repr=False)
    worker_command: Sequence[str]
    redis: EmbeddedRedis | None = None
    api: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_api(self) -> None:
        self.api = start([sys.executable, "-m", "service"], self.log("api"), self.env)

    def start_worker(self, **env: str) -> subprocess.Popen[bytes]:
        """Start another worker. ``env`` overrides variables of the stack's environment."""
        process = start(self.worker_command, self.log(f"worker-{len(self.workers) + 1}"), {**self.env, **env})
        self.workers.append(process)
        return process

    def log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def ended(self) -> tuple[str, Path] | None:
        """Return the name and the log of a process that has ended; None while all run."""
        processes = {"api": self.api, **{f"worker-{n}": worker for n, worker in enumerate(self.workers, start=1)}}
        if self.redis is not None and self.redis.process is not None and self.redis.process.poll() is not None:
            return "redis", self.directory / "redis" / "redis.log"
        for name, process in processes.items():
            if process is not None and process.poll() is not None:
                return name, self.log(name)
        return None

    def wait(self, limit_s: float = START_LIMIT_S) -> None:
        """Wait until the API answers and, if the stack has workers, one of them is ready."""
        deadline = time.monotonic() + limit_s
        while True:
            if ended := self.ended():
                name, log = ended
                raise RuntimeError(f"{name} did not start; its log ends with:\n{tail(log)}")
            try:
                health = httpx.get(f"{self.url}/health", timeout=5).json()
                if health["status"] == "ok" or (health["redis"] and not self.workers):
                    return
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline:
                logs = "\n".join(tail(log) for log in sorted((self.directory / "logs").glob("*.log")))
                raise RuntimeError(f"the stack was not ready after {limit_s:.0f} s; its logs end with:\n{logs}")
            time.sleep(0.1)

    def mend(self) -> None:
        """Restart every process that has ended, and wait until the stack is ready."""
        if self.redis is not None and (self.redis.process is None or self.redis.process.poll() is not None):
            self.redis.start()
        if self.api is None or self.api.poll() is not None:
            self.start_api()
        count = len(self.workers)
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        for _ in range(count - len(self.workers)):
            self.start_worker()
        self.wait()

    def stop(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            stop(worker, wait_s=10)
        if self.api is not None:
            stop(self.api, wait_s=10)


@contextmanager
def running(
    directory: Path,
    *,
    workers: int = 1,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    worker_command: Sequence[str] = WORKER,
) -> Iterator[Stack]:
    """Run a stack on loopback that keeps its data in ``directory``, and stop it at the end of the block.

    ``env`` overrides variables of this process' environment. Raises RuntimeError, with the end of the log, when one of
    the processes does not start.
    """
    directory = directory.absolute()
    merged = {**os.environ, **(env or {})}
    port = port or free_port()
    with ExitStack() as exits:
        redis = None
        if "ZOOAUDIT_REDIS_URL" not in merged:
            redis = EmbeddedRedis(directory / "redis")
            redis.start()
            exits.callback(redis.stop)
            merged["ZOOAUDIT_REDIS_URL"] = redis.url
        merged.setdefault("ZOOAUDIT_STORE", str(directory / "store"))
        merged.setdefault("ZOOAUDIT_STOP_GRACE_S", "0")
        merged.setdefault("ZOOAUDIT_HOST", "127.0.0.1")
        merged["ZOOAUDIT_PORT"] = str(port)
        url = f"http://127.0.0.1:{port}"
        stack = Stack(url, merged["ZOOAUDIT_REDIS_URL"], directory, merged, worker_command, redis)
        exits.callback(stack.stop)
        stack.start_api()
        for _ in range(workers):
            stack.start_worker()
        stack.wait()
        yield stack


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a stack until Ctrl+C or SIGTERM (exit status 0), or until one of its processes ends (1)."""
    parser = argparse.ArgumentParser(prog="python -m service.stack", description="Run Redis, the API and workers.")
    parser.add_argument("--directory", type=Path, default=Path("var"), help="folder for all data (default: var)")
    parser.add_argument("--workers", type=int, default=1, help="number of workers (default: 1)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print("starting Redis, the API and the worker (which imports torch: up to half a minute) ...", flush=True)
    try:
        with running(options.directory, workers=options.workers, port=ServiceSettings().port or None) as stack:
            print(f"zooaudit is at {stack.url}, logs in {stack.directory / 'logs'}; Ctrl+C stops it", flush=True)
            while (ended := stack.ended()) is None:
                time.sleep(0.5)
            name, log = ended
            print(f"{name} has ended; its log ends with:\n{tail(log)}", file=sys.stderr)
            return 1
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; unfinished audits go on next time", flush=True)
        return 0


if __name__ == "__main__":
    sys.exit(main())
