"""A small model hub and file server on loopback, and a process that loads models from them.

The hub speaks the part of the protocol that downloads need: HEAD and GET of ``/{org}/{name}/resolve/main/{file}`` with
``ETag`` and ``X-Repo-Commit``, and ``X-Error-Code`` on a 404. Any other path is a plain file. ``python -m
tests.worker.zoo.hub`` is the process: a request a line on stdin, an answer a line on stdout (see :class:`Zoo`).
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import unittest.mock
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Served:
    """A file as the server gives it: of ``body``, only the first ``sent`` bytes leave; ``delay_s`` goes before.

    Without an ``etag`` it is no hub's answer: the hub's own headers are missing.
    """

    body: bytes
    etag: str
    sent: int
    delay_s: float = 0.0


@dataclass
class Hub:
    """The server. ``files`` maps paths to what they serve; ``requests`` are those that came, as "METHOD path"."""

    files: dict[str, Served] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def publish(self, repo: str, body: bytes, filename: str = "model.safetensors", etag: str | None = None) -> Served:
        """A file of a repository; its ETag is the SHA-256 of the body, as the real hub's is, unless given."""
        return self.serve(f"/{repo}/resolve/main/{filename}", body, etag)

    def serve(self, path: str, body: bytes, etag: str | None = None) -> Served:
        served = Served(body, hashlib.sha256(body).hexdigest() if etag is None else etag, len(body))
        self.files[path] = served
        return served

    def start(self) -> None:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.requests.append(f"HEAD {self.path}")
                self.answer()

            def do_GET(self) -> None:
                hub.requests.append(f"GET {self.path}")
                served = self.answer()
                if served is not None:
                    self.wfile.write(served.body[: served.sent])

            def answer(self) -> Served | None:
                served = hub.files.get(self.path)
                if served is None:
                    repo = self.path.partition("/resolve/")[0] + "/resolve/"
                    known = any(path.startswith(repo) for path in hub.files)
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
                    self.send_header("X-Repo-Commit", COMMIT)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return None
                time.sleep(served.delay_s)
                self.send_response(200)
                if served.etag:
                    self.send_header("ETag", f'"{served.etag}"')
                    self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", str(len(served.body)))
                self.end_headers()
                return served

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """For a while, nothing listens on the hub's port."""
        self.stop()
        try:
            yield
        finally:
            self.start()


class Zoo:
    """Loads models in a process of its own, whose hub and caches are the test's: they are fixed at the import."""

    def __init__(self, hub: Hub, home: Path, **environment: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.worker.zoo.hub"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
            env=os.environ
            | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "TORCH_HOME": str(home / "torch")}
            | {"PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1"}
            | environment,
        )

    def load(self, name: str, weights: str = "pretrained", **options: Any) -> dict[str, Any]:
        """What became of ``zoo.load``: {"loaded": ..., "tensors": sha256, "progress": [...]} or {"problem": ...}.

        Options: ``url`` in the place of torchvision's or timm's, ``timeout_s`` in the place of the time limit, and
        ``cancel`` to have the progress callback raise at the first byte; the answer is then {"raised": "Cancelled"}.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"name": name, "weights": weights, **options}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert isinstance(answer, dict)
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)


class Cancelled(Exception):
    """What the progress callback raises, on request."""


def main() -> None:
    import timm
    import torchvision
    from zooaudit.contract import Progress

    from worker import zoo
    from worker.errors import AuditError
    from worker.zoo import download
    from worker.zoo.weights import tensors_sha256

    limit_s = download.TIMEOUT_S
    for line in sys.stdin:
        request = json.loads(line)
        progress: list[Progress] = []

        def on_progress(step: Progress, cancel: bool = request.get("cancel", False), steps: Any = progress) -> None:
            steps.append(step)
            if cancel and step.phase == "downloading":
                raise Cancelled

        source, architecture, _ = zoo.resolve(request["name"])
        with contextlib.ExitStack() as stack:
            download.TIMEOUT_S = request.get("timeout_s", limit_s)
            if "url" in request and source == "torchvision":
                published = torchvision.models.get_model_weights(architecture).DEFAULT.value
                stack.enter_context(download.replaced(published, "url", request["url"]))
            if "url" in request and source == "timm":
                known = timm.models._registry._model_pretrained_cfgs
                full = request["name"].partition("/")[2]
                elsewhere = dataclasses.replace(known[full], url=request["url"], hf_hub_id=None)
                stack.enter_context(unittest.mock.patch.dict(known, {full: elsewhere}))
            try:
                model = zoo.load(request["name"], request["weights"], on_progress)
            except AuditError as error:
                answer: dict[str, Any] = {"problem": error.problem.model_dump(mode="json")}
            except Cancelled:
                answer = {"raised": "Cancelled"}
            else:
                answer = {
                    "loaded": {"name": model.name, "weights": model.weights.model_dump(), "top1": model.imagenet_top1},
                    "tensors": tensors_sha256(model.module),
                    "training": model.module.training,
                }
        answer["progress"] = [step.model_dump(mode="json") for step in progress]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
