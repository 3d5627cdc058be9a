"""Child processes that never outlive the process that started them."""

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def start(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Starts ``command`` with its output in ``log``. The kernel kills it when this thread ends.

    It gets a session of its own, so that Ctrl+C reaches it only through whoever started it.
    """
    parent = os.getpid()

    def die_with_parent() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the kernel was told
            os._exit(1)

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def stop(process: subprocess.Popen[bytes], wait_s: float) -> None:
    """Asks ``process`` to end, and ends it after ``wait_s``."""
    process.terminate()
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port on loopback that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def tail(log: Path, lines: int = 20) -> str:
    """The end of a log, for a message about the process that wrote it."""
    content = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(content.splitlines()[-lines:])
