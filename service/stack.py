"""Run the whole service on this machine: Redis, the API and workers, started and stopped together.

``python -m service.stack`` runs it in the foreground; tests and the demo use :func:`running`.
"""

import signal
import sys

if __name__ == "__main__":
    # Ctrl+C ends the second in which the modules below are imported, too, without a traceback.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

import argparse
import os
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import httpx
from pydantic import ValidationError
from zooaudit.contract.settings import PREFIX, expanded, faults_of, is_folder, unknown_settings

from service.processes import free_port, start, stop, tail
from service.redis_server import EmbeddedRedis
from service.settings import ServiceSettings, faults_here
from service.stack_folder import SettingsRefused, locked, note_store

WORKER = (sys.executable, "-m", "worker")
FOR_EACH_GPU = ("--devices", "all")
START_LIMIT_S = 180.0
MAX_DEATHS = 5
"""A part that dies more often than this within DEATHS_WITHIN_S is not started again."""
DEATHS_WITHIN_S = 600.0
WRONG_SETTINGS = 2
"""The exit status of a part whose settings cannot work."""


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
    _log_starts: dict[str, int] = field(default_factory=dict)

    def start_api(self) -> None:
        self.api = self._start("api", [sys.executable, "-m", "service"], self.env)

    def start_worker(self, **env: str) -> subprocess.Popen[bytes]:
        """Start another worker. ``env`` overrides variables of the stack's environment."""
        name = f"worker-{len(self.workers) + 1}"
        self.workers.append(self._start(name, self.worker_command, {**self.env, **env}))
        return self.workers[-1]

    def log(self, name: str) -> Path:
        if name == "redis" and self.redis is not None:
            return self.redis.log
        return self.directory / "logs" / f"{name}.log"

    def ended(self) -> list[tuple[str, int]]:
        """List the parts that have ended, each with its exit status, which is minus the signal that killed it."""
        parts = {f"worker-{number}": worker for number, worker in enumerate(self.workers, start=1)}
        if self.api is not None:
            parts = {"api": self.api, **parts}
        if self.redis is not None and self.redis.process is not None:
            parts = {"redis": self.redis.process, **parts}
        return [(name, status) for name, process in parts.items() if (status := process.poll()) is not None]

    def wait(self, limit_s: float = START_LIMIT_S) -> None:
        """Wait until the API answers and, if the stack has workers, one of them is ready.

        Raises SettingsRefused when a part's settings cannot work, and RuntimeError when it does not start otherwise.
        """
        deadline = time.monotonic() + limit_s
        # Without the environment's proxies, which do not lead back to this machine.
        with httpx.Client(base_url=self.url, timeout=5, trust_env=False) as http:
            while True:
                for name, status in self.ended():
                    self._give_up(name, status, f"{name} did not start")
                try:
                    health = http.get("/health").json()
                    if health["status"] == "ok" or (health["redis"] and not self.workers):
                        return
                except httpx.TransportError:
                    pass
                if time.monotonic() > deadline:
                    logs = "\n".join(tail(log) for log in sorted((self.directory / "logs").glob("*.log")))
                    raise RuntimeError(f"the stack was not ready after {limit_s:.0f} s; its logs end with:\n{logs}")
                time.sleep(0.1)

    def mend(self) -> None:
        """Start every part again that has ended, and wait until the stack is ready."""
        for name, _ in self.ended():
            self._start_again(name)
        self.wait()

    def keep_running(self) -> NoReturn:
        """Start parts again when they die, until one has died too often (RuntimeError) or is told to stop."""
        deaths: dict[str, list[float]] = defaultdict(list)
        while True:
            for name, status in self.ended():
                now_s = time.monotonic()
                deaths[name] = [then_s for then_s in deaths[name] if now_s - then_s < DEATHS_WITHIN_S] + [now_s]
                how = f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"
                count = len(deaths[name])
                if count > MAX_DEATHS or status == WRONG_SETTINGS:
                    minutes = DEATHS_WITHIN_S / 60
                    self._give_up(name, status, f"{name} has died {count} times within {minutes:.0f} minutes ({how})")
                print(f"{name} has died ({how}) and is started again; its log: {self.log(name)}", flush=True)
                self._start_again(name)
            time.sleep(0.5)

    def stop(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            stop(worker, wait_s=10)
        if self.api is not None:
            stop(self.api, wait_s=10)

    def _start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        log = self.log(name)
        self._log_starts[name] = log.stat().st_size if log.exists() else 0
        return start(command, log, env)

    def _start_again(self, name: str) -> None:
        if name == "redis" and self.redis is not None:
            with suppress(RuntimeError):  # it has ended again, and counts so
                self.redis.start()
        elif name == "api":
            self.start_api()
        else:
            number = int(name.removeprefix("worker-"))
            self.workers[number - 1] = self._start(name, self.worker_command, self.env)

    def _give_up(self, name: str, status: int, why: str) -> NoReturn:
        last_words = tail(self.log(name), since=self._log_starts.get(name, 0))
        if status == WRONG_SETTINGS:
            named = [line for line in last_words.splitlines() if re.match(r"[A-Z][A-Z0-9_]+: ", line)]
            raise SettingsRefused("\n".join(named) or last_words)
        raise RuntimeError(f"{why}; its log ends with:\n{last_words}")


@contextmanager
def running(
    directory: Path,
    *,
    workers: int | None = None,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    worker_command: Sequence[str] | None = None,
) -> Iterator[Stack]:
    """Run a stack on loopback that keeps its data in ``directory``, and stop it at the end of the block.

    By default it has a process that runs a worker for each GPU, or one worker where there is none or where
    ZOOAUDIT_DEVICE names the device. With ``workers`` it has that many processes of one worker each.

    ``env`` overrides variables of this process' environment. Raises RuntimeError, with the end of the log, when one of
    the processes does not start, and its subclass SettingsRefused when settings cannot work or when another stack uses
    ``directory``.
    """
    directory = directory.absolute()
    merged = {**os.environ, **(env or {})}
    merged = {name: value for name, value in merged.items() if value or not name.startswith(PREFIX)}
    port = port or free_port()
    with ExitStack() as exits:
        exits.enter_context(locked(directory, "--directory"))
        merged.setdefault("ZOOAUDIT_STORE", str(directory / "store"))
        merged.setdefault("ZOOAUDIT_STOP_GRACE_S", "0")
        merged.setdefault("ZOOAUDIT_HOST", "127.0.0.1")
        merged["ZOOAUDIT_PORT"] = str(port)
        _refuse_wrong_settings(merged)
        redis = None
        if "ZOOAUDIT_REDIS_URL" not in merged:
            if is_folder(merged["ZOOAUDIT_STORE"]):
                # With a Redis of its own, each stack would take up what the other has accepted.
                exits.enter_context(locked(expanded(merged["ZOOAUDIT_STORE"]), "ZOOAUDIT_STORE"))
            redis = EmbeddedRedis(directory / "redis")
            exits.callback(redis.stop)
            redis.start()
            merged["ZOOAUDIT_REDIS_URL"] = redis.url
            note_store(directory / "redis" / "store", merged["ZOOAUDIT_STORE"])
        url = f"http://{_reachable(merged['ZOOAUDIT_HOST'])}:{port}"
        if worker_command is None:
            for_each_gpu = workers is None and "ZOOAUDIT_DEVICE" not in merged
            worker_command = (*WORKER, *FOR_EACH_GPU) if for_each_gpu else WORKER
        stack = Stack(url, merged["ZOOAUDIT_REDIS_URL"], directory, merged, worker_command, redis)
        exits.callback(stack.stop)
        stack.start_api()
        for _ in range(1 if workers is None else workers):
            stack.start_worker()
        stack.wait()
        yield stack


def _refuse_wrong_settings(variables: Mapping[str, str]) -> None:
    """Raise SettingsRefused when the API cannot work with these settings, before anything starts."""
    values = {
        name: variables.get(f"{PREFIX}{name.upper()}", setting.default)
        for name, setting in ServiceSettings.model_fields.items()
    }
    try:
        faults = list(faults_here(ServiceSettings(**values)))
    except ValidationError as error:
        faults = faults_of(error)
    if faults:
        raise SettingsRefused("\n".join(faults))


def _reachable(host: str) -> str:
    """Return the host of a URL at which the API answers on this machine when it listens on ``host``."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))
    return f"[{host}]" if ":" in host else host


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a stack until Ctrl+C or SIGTERM, and return 0; 1 when a part died too often, 2 when settings cannot work."""
    parser = argparse.ArgumentParser(prog="python -m service.stack", description="Run Redis, the API and workers.")
    parser.add_argument("--directory", type=Path, default=Path("var"), help="folder for all data (default: var)")
    parser.add_argument(
        "--workers",
        type=int,
        help="number of workers, all on the device of ZOOAUDIT_DEVICE (default: one for each GPU, or one)",
    )
    options = parser.parse_args(arguments)
    if options.workers is not None and options.workers < 0:
        parser.error("--workers: write 0 or more")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = ServiceSettings()
    except ValidationError as error:
        print(*faults_of(error), sep="\n", file=sys.stderr)
        return WRONG_SETTINGS
    for unknown in unknown_settings(os.environ):
        print(unknown, file=sys.stderr)
    try:
        print("starting Redis, the API and the workers (which import torch: up to half a minute) ...", flush=True)
        with running(options.directory, workers=options.workers, port=settings.port or None) as stack:
            print(f"zooaudit is at {stack.url}, logs in {stack.directory / 'logs'}; Ctrl+C stops it", flush=True)
            stack.keep_running()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return WRONG_SETTINGS if isinstance(error, SettingsRefused) else 1
    except KeyboardInterrupt:
        print("stopped; unfinished audits go on next time", flush=True)
        return 0


if __name__ == "__main__":
    sys.exit(main())
