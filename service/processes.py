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
    """Start ``command`` and append its output to ``log``. The kernel kills it when the calling thread ends.

    The child gets a session of its own, so Ctrl+C reaches only its parent.
    """
    parent = os.getpid()

    def die_with_parent() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before prctl was called
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
    """Terminate ``process``, and kill it if it still runs after ``wait_s`` seconds."""
    process.terminate()
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """Find a port on loopback on which no process listens now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def tail(log: Path, lines: int = 20, since: int = 0) -> str:
    """Read the last lines of a log from its byte ``since`` on, for a message about the process that wrote it."""
    content = log.read_bytes()[since:].decode(errors="replace") if log.exists() else ""
    return "\n".join(content.splitlines()[-lines:])
