"""Clients that are slow, silent or many, over real sockets: those that behave are answered all the same."""

import json
import logging
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from zooaudit.contract import Problem

from service.connections import BoundedProtocol, Limits
from service.log_limits import LogLimit
from service.processes import free_port, start, stop, tail
from service.turns import OTHERS

POST = b"POST /audit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
HALF_OPEN = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


@pytest.fixture
def serve(app) -> Iterator[Callable[[Limits], int]]:
    """Serve the application within limits, from a thread; returns the port."""
    with ExitStack() as exits:

        def begin(limits: Limits) -> int:
            class Protocol(BoundedProtocol):
                pass

            Protocol.limits = limits
            port = free_port()
            config = uvicorn.Config(app, port=port, http=Protocol, ws="none", log_config=None, access_log=False)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run)
            thread.start()
            exits.callback(thread.join)
            exits.callback(setattr, server, "should_exit", True)
            while not server.started:
                time.sleep(0.01)
            return port

        yield begin


@contextmanager
def connected(port: int, sent: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(sent)
        yield client


def answer_to(client: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    answer = b""
    try:
        while part := client.recv(65536):
            answer += part
    except ConnectionResetError:
        pass
    return answer


def problem_in(answer: bytes) -> Problem:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/problem+json\r\n" in head.lower()
    found = Problem.model_validate_json(body)
    assert head.startswith(f"HTTP/1.1 {found.status} {found.title}\r\n".encode())
    return found


def test_headers_that_do_not_come_end_the_connection_and_those_that_trickle_too(serve):
    port = serve(Limits(10, headers_s=0.5))
    with connected(port) as silent, connected(port, HALF_OPEN) as half_open, connected(port, HALF_OPEN) as trickling:
        for _ in range(1000):
            try:
                trickling.sendall(b"a")
            except OSError:
                break
            time.sleep(0.01)
        else:
            pytest.fail("one byte at a time kept the connection open")
        assert answer_to(silent) == b""
        refused = problem_in(answer_to(half_open))
        assert (refused.status, refused.type) == (408, "urn:zooaudit:problem:request-timeout")
        assert "headers took longer than 0.5 seconds" in refused.detail


def test_a_second_request_on_a_connection_has_the_same_limit(serve):
    port = serve(Limits(10, headers_s=0.5))
    with connected(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        client.sendall(HALF_OPEN)
        assert b"HTTP/1.1 408" in answer_to(client)


@pytest.mark.parametrize("begun", [POST, POST + b'{"model": ', POST.replace(b"POST /audit", b"GET /audit")])
def test_a_body_that_does_not_come_ends_the_request(serve, begun, caplog):
    port = serve(Limits(10, body_s=0.5))
    with connected(port, begun) as client:
        answer = answer_to(client)
    if begun.startswith(b"POST"):
        assert "body took longer than 0.5 seconds" in problem_in(answer).detail
    else:  # the answer does not need the body, so it came before
        assert answer.startswith(b"HTTP/1.1 200")
    assert caplog.records == []


def test_a_body_that_trickles_ends_the_request(serve, caplog):
    port = serve(Limits(10, body_s=0.5))
    with connected(port, POST) as client:
        try:
            for _ in range(99):
                client.sendall(b" ")
                time.sleep(0.05)
            pytest.fail("one byte at a time kept the request waiting")
        except OSError:
            pass
    assert caplog.records == []


def test_a_client_that_does_not_read_is_dropped(serve):
    port = serve(Limits(10, reading_s=0.5))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.settimeout(30)
        client.sendall(b"GET /static/plotly.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            size = int(http.head("/static/plotly.min.js").headers["content-length"])
        wait_until(lambda: connections_to(port) == 0)
        assert len(answer_to(client)) < size


@pytest.mark.parametrize("sent", [POST, POST + b'{"model"', POST.replace(b"100", b"99999"), HALF_OPEN, b""])
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_client_that_goes_away_leaves_no_line_in_the_log(serve, caplog, sent, how):
    port = serve(Limits(10))
    with connected(port, sent) as client:
        wait_until(lambda: connections_to(port) == 1)
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: connections_to(port) == 0)
    assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def connections_to(port: int) -> int:
    """How many connections to the port of a server in this process are established."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_slow_but_steady_client_gets_its_audit(serve):
    port = serve(Limits(10))
    body = json.dumps({"model": "timm/resnet18.a1_in1k", "dataset": "synthetic", "num_images": 8}).encode()
    request = POST.replace(b"Content-Length: 100", f"Content-Length: {len(body)}\r\nConnection: close".encode()) + body
    with connected(port) as client:
        for byte in request:
            client.sendall(bytes([byte]))
        assert answer_to(client).startswith(b"HTTP/1.1 202")


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"HELLO\r\n\r\n", HALF_OPEN + b"a" * 99_999]
)
def test_what_is_no_http_is_a_problem(serve, sent):
    with connected(serve(Limits(10)), sent) as client:
        assert problem_in(answer_to(client)).type == "urn:zooaudit:problem:malformed-http"


def test_when_it_is_full_the_longest_silent_connection_makes_room(serve):
    port = serve(Limits(3))
    with connected(port, HALF_OPEN) as first, connected(port) as second, connected(port, POST) as posting:
        with connected(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") as honest:
            assert answer_to(honest).startswith(b"HTTP/1.1 200")
        assert answer_to(first) == b""
        second.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer_to(second).startswith(b"HTTP/1.1 200")
        posting.sendall(b"{}" + b" " * 98)  # a request that has begun is not cut off
        assert posting.recv(65536).startswith(b"HTTP/1.1 422")


def test_bodies_that_do_not_come_keep_nobody_waiting(serve):
    port = serve(Limits(OTHERS + 10))
    with ExitStack() as clients:
        for _ in range(OTHERS + 20):
            clients.enter_context(connected(port, POST))
        assert httpx.get(f"http://127.0.0.1:{port}/audit/{'0' * 32}", timeout=30).status_code == 404
        assert_everything_is_answered(port)


def test_answers_that_are_not_read_keep_nobody_waiting(serve):
    port = serve(Limits(3))
    with ExitStack() as clients:
        for _ in range(3):
            client = clients.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /static/plotly.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n")

        def is_answered() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
            except httpx.TransportError:  # the files are still on their way into the sockets' buffers
                return False

        wait_until(is_answered)


@pytest.mark.parametrize("count", [100, 1100])
def test_half_open_connections_do_not_matter(redis_server, tmp_path, count):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    port = free_port()
    env = {
        "ZOOAUDIT_REDIS_URL": redis_server.url,
        "ZOOAUDIT_STORE": str(tmp_path / "store"),
        "ZOOAUDIT_PORT": str(port),
        "PYTHONPATH": ":".join(sys.path),
    }
    log = tmp_path / "api.log"
    service = start(["sh", "-c", f"ulimit -n 1024; exec {sys.executable} -m service"], log, env)
    try:
        wait_until(lambda: "running on" in tail(log))
        with ExitStack() as clients:
            for _ in range(count):
                clients.enter_context(connected(port, HALF_OPEN))
            assert_everything_is_answered(port)
            if count == 100:
                assert connections_to(port) == 100
        assert_everything_is_answered(port)
        assert service.poll() is None
    finally:
        stop(service, wait_s=10)
    assert log.stat().st_size < 2000, tail(log)


def assert_everything_is_answered(port: int) -> None:
    for path in ("/health", "/", "/static/app.js", "/audit"):
        assert httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10).status_code == 200


def test_the_log_holds_few_lines_of_each_kind():
    limit = LogLimit(lines=2, period_s=0.5)

    def passed(message: str, *filled_in: object, name: str = "a") -> str | None:
        record = logging.LogRecord(name, logging.INFO, "", 1, message, filled_in, None)
        return record.getMessage() if limit.filter(record) else None

    assert [passed("client %s fails", number) for number in range(5)] == [
        "client 0 fails",
        "client 1 fails",
        *[None] * 3,
    ]
    assert passed("something else") == "something else"
    assert passed("client %s fails", 5, name="b") == "client 5 fails"
    time.sleep(0.6)
    assert passed("client %s fails", 6) == "client 6 fails (and 3 more like this since the last one)"
    assert passed("client %s fails", 7) == "client 7 fails"


def test_the_limit_of_descriptors_is_raised_as_far_as_it_may_be():
    code = (
        "from resource import *; from service.connections import make_room; "
        "print(make_room().connections, getrlimit(RLIMIT_NOFILE))"
    )

    def after(soft: int, hard: int) -> str:
        shell = f"ulimit -Sn {soft}; ulimit -Hn {hard}; exec {sys.executable} -c '{code}'"
        env = {"PYTHONPATH": ":".join(sys.path)}
        return subprocess.run(["bash", "-c", shell], env=env, capture_output=True, text=True, check=True).stdout.strip()

    assert after(256, 1024) == "384 (1024, 1024)"
    assert after(1024, 4096) == "1000 (2256, 4096)"
    assert after(300, 300) == "22 (300, 300)"
