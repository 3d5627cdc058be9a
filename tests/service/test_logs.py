"""Logs as JSON, of a real service process and of the formatter."""

import json
import logging
import os
import subprocess
import sys

import httpx
from zooaudit.contract.logs import JsonFormatter

from service.processes import free_port
from tests.e2e.harness import eventually
from tests.fakes import ASK


def run_service(tmp_path, redis_url: str, requests, **env: str) -> str:
    """Run a service while ``requests`` are made of it, and return what it has written."""
    port = free_port()
    env = (
        os.environ
        | {"ZOOAUDIT_PORT": str(port), "ZOOAUDIT_STORE": str(tmp_path), "ZOOAUDIT_REDIS_URL": redis_url}
        | env
    )
    process = subprocess.Popen([sys.executable, "-m", "service"], env=env, stderr=subprocess.PIPE, text=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:

            def answers() -> bool:
                try:
                    return http.get("/openapi.json").status_code == 200
                except httpx.TransportError:
                    return False

            eventually(answers, 20)
            requests(http)
    finally:
        process.terminate()
        written = process.communicate(timeout=20)[1]
    return written


def test_a_service_whose_redis_is_away_writes_an_object_on_each_line(tmp_path):
    redis_url = f"redis://127.0.0.1:{free_port()}/0"
    written = run_service(
        tmp_path, redis_url, lambda http: http.post("/audit", json=ASK), ZOOAUDIT_LOG_FORMAT="json", ZOOAUDIT_POTR="1"
    )
    lines = [json.loads(line) for line in written.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert any(line["level"] == "WARNING" and "ZOOAUDIT_POTR" in line["message"] for line in lines)
    assert any(line["logger"] == "zooaudit.service" and line["message"].startswith("Redis: ") for line in lines)
    assert any(line["logger"].startswith("uvicorn") for line in lines)


def test_the_audit_that_a_message_names_and_a_traceback_stay_on_one_line():
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        info = sys.exc_info()
    identifier = "0123456789abcdef" * 2
    record = logging.LogRecord("zooaudit.worker", logging.ERROR, "", 0, "%s: broke\n\ud800", (identifier,), info)
    record.created = 0.25
    (line,) = JsonFormatter().format(record).splitlines()
    read = json.loads(line)
    assert read["audit"] == identifier
    assert read["time"] == "1970-01-01T00:00:00.250+00:00"
    assert read["exception"].endswith("ValueError: first\nsecond")
    other = logging.LogRecord("zooaudit.worker", logging.INFO, "", 0, "sha256 %s", (identifier * 2,), None)
    assert json.loads(JsonFormatter().format(other)).keys() == {"time", "level", "logger", "message"}


def test_what_python_writes_by_itself_is_an_object_on_each_line_too():
    code = (
        "import threading, warnings; from zooaudit.contract.logs import configure; configure('json');"
        "warnings.warn('odd');"
        "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join(); raise OSError('gone')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["WARNING", "ERROR", "CRITICAL"]
    assert "ZeroDivisionError" in lines[1]["exception"]
    assert "OSError: gone" in lines[2]["exception"]
    assert ended.returncode == 1
