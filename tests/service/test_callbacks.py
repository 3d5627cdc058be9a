"""Callbacks: a receiver hears of an audit's end, signed, at least once, and nobody else's network is reached."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpcore
import pytest
import zooaudit
from obstore.store import LocalStore
from pydantic import SecretStr, ValidationError
from rq.job import JobStatus
from standardwebhooks import Webhook
from zooaudit.contract import AuditRequest, audit_id
from zooaudit.contract.callbacks import signature

from service import callbacks
from service.app import create_app
from service.callback_addresses import CheckedNetwork, ForbiddenAddress, is_public
from service.callback_records import CallbackRecords
from service.processes import free_port
from service.settings import ServiceSettings
from tests.fakes import ASK, is_problem

SECRET = "whsec_" + "c2VjcmV0" * 6
PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1"),
    *("240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1"),
    *("::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
]


class Receiver:
    """A receiver on loopback that keeps what it is told, and answers with ``statuses`` in turn, then with 204."""

    def __init__(self, port: int, statuses: list[int]) -> None:
        self.told: list[tuple[dict[str, str], bytes]] = []
        self.arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(statuses.pop(0) if statuses else 204)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                with receiver.arrived:
                    receiver.told.append(({name.lower(): value for name, value in self.headers.items()}, body))
                    receiver.arrived.notify_all()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.told) >= count, timeout=60)


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    receivers = []

    def begin(port: int, statuses: list[int] | None = None) -> Receiver:
        receivers.append(Receiver(port, statuses or []))
        return receivers[-1]

    yield begin
    for receiver in receivers:
        receiver.server.shutdown()
        receiver.server.server_close()


@pytest.fixture
def settings(redis_server, tmp_path) -> ServiceSettings:
    return ServiceSettings(
        redis_url=redis_server.url,
        store=str(tmp_path / "store"),
        api_keys=(),
        callback_secret=SecretStr(SECRET),
        callback_private=("127.0.0.1",),
    )


@pytest.fixture
def names(tmp_path) -> Callable[[], list[str]]:
    return lambda: list(CallbackRecords(LocalStore(tmp_path / "store", mkdir=True)).names())


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def test_a_receiver_that_is_down_hears_of_it_after_a_restart_and_an_emptied_redis(
    http, app, settings, redis, set_status, receive, names
):
    port = free_port()
    answer = await http.post("/audit", json={**ASK, "callback_url": f"http://127.0.0.1:{port}/told?token=hidden"})
    identifier = answer.json()["id"]
    assert answer.status_code == 202
    assert "hidden" not in answer.text
    assert identifier == audit_id(AuditRequest(**ASK))
    set_status(identifier, JobStatus.FAILED, ended_at=datetime.now(UTC))
    assert (await http.patch(f"/audit/{identifier}", json={"labels": ["paper"]})).status_code == 200
    app.state.callbacks.start()
    until(lambda: redis.hget(callbacks.COUNTS_KEY, "failed"))
    app.state.callbacks.stop()

    receiver = receive(port, [500, 302])
    job, index = redis.dump(f"rq:job:{identifier}"), redis.zrange("zooaudit:audits", 0, -1, withscores=True)
    redis.flushall()
    redis.restore(f"rq:job:{identifier}", 0, job)
    redis.zadd("zooaudit:audits", dict(index))
    again = create_app(settings)
    again.state.callbacks.start()
    receiver.wait(3)
    until(lambda: not names() and redis.hget(callbacks.COUNTS_KEY, "delivered"))
    again.state.callbacks.stop()

    assert len({headers["webhook-id"] for headers, _ in receiver.told}) == 1
    shown = (await http.get(f"/audit/{identifier}")).json()
    assert shown["labels"] == ["paper"]
    for headers, body in receiver.told:
        assert json.loads(body) == shown
        told = Webhook(SECRET).verify(body, headers)
        assert (told["id"], told["status"]) == (identifier, "failed")
        assert zooaudit.verify_callback(body, headers, SECRET).status == "failed"
    assert redis.hgetall(callbacks.COUNTS_KEY) == {b"failed": b"2", b"delivered": b"1"}


async def test_receivers_that_take_long_to_fail_hold_no_other_up(http, app, redis, set_status, monkeypatch):
    monkeypatch.setattr(callbacks, "SENDERS", 1)
    for path in "abcdefgh":
        answer = await http.post("/audit", json={**ASK, "callback_url": f"http://127.0.0.1:1/{path}"})
    identifier = answer.json()["id"]
    set_status(identifier, JobStatus.FAILED, ended_at=datetime.now(UTC))
    maker = app.state.callbacks
    *tried, fresh = list(maker._pending)
    tried.remove(other := tried[3])
    for number, name in enumerate(tried):
        redis.set(callbacks._attempts_key(name), 1 + number)
    redis.set(callbacks._claim_key(other), "waits")
    order: list[str] = []
    monkeypatch.setattr(maker, "_attempt", order.append)
    for _ in range(len(tried) + 2):
        maker._look()
        until(lambda: not maker._sending)
    assert order == [fresh, *tried]


async def test_one_host_keeps_some_senders_free_for_others(http, app, set_status, receive, monkeypatch):
    receiver = receive(free_port())
    maker = app.state.callbacks
    monkeypatch.setattr(callbacks, "MOST_AT_ONE_HOST", 1)
    maker._hosts["127.0.0.1"] = 1
    url = f"http://127.0.0.1:{receiver.server.server_port}/"
    identifier = (await http.post("/audit", json={**ASK, "callback_url": url})).json()["id"]
    set_status(identifier, JobStatus.FAILED, ended_at=datetime.now(UTC))
    (name,) = maker._pending
    maker._make(name)
    assert not receiver.told
    assert 0 < maker._redis.ttl(callbacks._claim_key(name)) <= callbacks.HOST_BUSY_S
    assert maker._redis.get(callbacks._attempts_key(name)) is None
    maker._hosts.clear()
    maker._redis.delete(callbacks._claim_key(name))
    maker._make(name)
    receiver.wait(1)
    assert maker._hosts == {}


async def test_many_callbacks_to_a_receiver_that_never_answers_hold_no_other_up(
    http, app, set_status, receive, monkeypatch
):
    monkeypatch.setattr(callbacks, "SENDERS", 2)
    monkeypatch.setattr(callbacks, "MOST_AT_ONE_HOST", 1)
    maker, waits = app.state.callbacks, threading.Event()
    monkeypatch.setattr(maker, "_private", ("127.0.0.1", "never.example.org"))
    monkeypatch.setattr(maker, "_resolve", lambda host, _: [host] if host == "127.0.0.1" else [str(waits.wait(60))])
    receiver = receive(free_port())
    answers = f"http://127.0.0.1:{receiver.server.server_port}/"
    never = [f"http://never.example.org/{number}" for number in range(8)]
    for seed, urls in enumerate((never, never, never, [answers])):
        for url in urls:
            asked = {**ASK, "seed": seed, "callback_url": url}
            identifier = (await http.post("/audit", json=asked)).json()["id"]
        set_status(identifier, JobStatus.FAILED, ended_at=datetime.now(UTC))
    begun_s = time.monotonic()
    maker.start()
    receiver.wait(1)
    assert time.monotonic() - begun_s < callbacks.LIMIT_S
    maker.stop()
    waits.set()


async def test_a_deleted_audit_takes_its_waiting_callbacks_along(http, app, redis, set_status, receive, names):
    port = free_port()
    asked = {**ASK, "callback_url": f"http://127.0.0.1:{port}/told"}
    identifier = (await http.post("/audit", json=asked)).json()["id"]
    set_status(identifier, JobStatus.FAILED, ended_at=datetime.now(UTC))
    app.state.callbacks.start()
    until(lambda: redis.hget(callbacks.COUNTS_KEY, "failed"))
    assert names()
    assert (await http.delete(f"/audit/{identifier}", params={"purge": "true"})).status_code == 200
    assert not names()  # at once: the URL may hold a secret, and the next attempt may be an hour away
    receiver = receive(port)
    assert (await http.post("/audit", json=ASK)).status_code == 202
    set_status(identifier, JobStatus.FAILED, ended_at=datetime.now(UTC))
    until(lambda: not app.state.callbacks.waiting())
    app.state.callbacks.stop()
    assert not receiver.told


async def test_what_was_asked_for_after_a_deletion_outlives_it(http, app, names):
    asked = {**ASK, "callback_url": "http://127.0.0.1:1/"}
    identifier = (await http.post("/audit", json=asked)).json()["id"]
    records = CallbackRecords(app.state.deletions._store)
    records.drop_all_of(identifier, datetime.now(UTC) - timedelta(minutes=1))
    assert names()
    records.drop_all_of("0" * 32, datetime.now(UTC))
    assert names()
    records.drop_all_of(identifier, datetime.now(UTC))
    assert not names()


async def test_two_services_tell_each_url_of_an_existing_audit_once(http, app, settings, set_status, receive, names):
    receiver = receive(free_port())
    base = f"http://127.0.0.1:{receiver.server.server_port}"
    identifier = (await http.post("/audit", json=ASK)).json()["id"]
    for path in ("/a", "/b", "/a"):
        answer = await http.post("/audit", json={**ASK, "callback_url": base + path})
        assert (answer.status_code, answer.json()["id"]) == (200, identifier)
    set_status(identifier, JobStatus.CANCELED)
    services = [app, create_app(settings)]
    for service in services:
        service.state.callbacks.start()
    receiver.wait(2)
    until(lambda: not names())
    for service in services:
        service.state.callbacks.stop()
        service.state.callbacks._look()  # whatever it still has in mind
        until(lambda service=service: not service.state.callbacks._sending)
    assert len({headers["webhook-id"] for headers, _ in receiver.told}) == len(receiver.told) == 2


@pytest.mark.parametrize(
    "host", ["localhost", "a.localhost", "2130706433", "0x7f.1", "10.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "0"]
)
async def test_a_private_host_is_refused_at_once(http, host, names):
    answer = await http.post("/audit", json={**ASK, "callback_url": f"http://{host}/x"})
    assert is_problem(answer, 422, "callback-refused")
    assert names() == []
    assert (await http.get("/audit")).json()["total"] == 0


async def test_one_audit_has_eight_urls_at_most(http):
    for number in range(callbacks.MOST_URLS):
        answer = await http.post("/audit", json={**ASK, "callback_url": f"https://example.org/{number}"})
        assert answer.status_code in (200, 202)
    ninth = await http.post("/audit", json={**ASK, "callback_url": "https://example.org/ninth"})
    assert is_problem(ninth, 422, "callback-refused")
    assert (await http.post("/audit", json={**ASK, "callback_url": "https://example.org/0"})).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.org/x", "example.org/x", "https://", "https://u:p@example.org/", "https://example.org/#x"),
        *("https://example.org:0/", "https://example.org:99999/", "https://exa mple.org/", "https://ex\\ample.org/"),
        "https://example.org/" + "x" * 2048,
    ],
)
async def test_a_bad_url_is_refused(http, url):
    assert is_problem(await http.post("/audit", json={**ASK, "callback_url": url}), 422, "invalid-request")


def test_the_secret_must_be_there_and_be_one():
    with pytest.raises(ValidationError, match="ZOOAUDIT_CALLBACK_SECRET"):
        ServiceSettings(callback_url="https://example.org/")
    with pytest.raises(ValidationError, match="fewer than 24 bytes"):
        ServiceSettings(callback_secret=SecretStr("c2VjcmV0"))


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_never_reached(address):
    assert not is_public(address)
    network = CheckedNetwork(False, 5.0, lambda _host, _port: ["93.184.215.14", address])
    with pytest.raises(ForbiddenAddress):
        network.connect_tcp("example.org", 80)


def test_the_connection_goes_to_the_address_that_was_checked(receive):
    answers = iter([["127.0.0.1"]])
    port = receive(free_port()).server.server_port
    stream = CheckedNetwork(True, 5.0, lambda _host, _port: next(answers)).connect_tcp("example.org", port)
    assert stream.get_extra_info("server_addr")[:2] == ("127.0.0.1", port)
    stream.close()
    with pytest.raises(httpcore.ReadTimeout):
        CheckedNetwork(True, 0.0, lambda _host, _port: ["127.0.0.1"]).connect_tcp("example.org", port)


def test_a_look_up_that_hangs_ends_with_the_attempt():
    ends = threading.Event()
    begun_s = time.monotonic()
    network = CheckedNetwork(False, 0.2, lambda _host, _port: [str(ends.wait(60))])
    with pytest.raises(httpcore.ConnectTimeout):
        network.connect_tcp("example.org", 80)
    assert time.monotonic() - begun_s < 10
    ends.set()


async def test_a_name_that_turns_private_is_not_reached_and_the_log_says_why(
    http, app, set_status, receive, monkeypatch, caplog
):
    receiver = receive(free_port())
    port = receiver.server.server_port
    url = f"http://turns.example.org:{port}/told?token=hidden"
    identifier = (await http.post("/audit", json={**ASK, "callback_url": url})).json()["id"]
    set_status(identifier, JobStatus.FAILED, ended_at=datetime.now(UTC))
    answers = iter([OSError("no such host"), ["127.0.0.1"], ["93.184.215.14", "127.0.0.1"]])

    def resolve(_host: str, _port: int) -> list[str]:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    maker = app.state.callbacks
    monkeypatch.setattr(maker, "_resolve", resolve)
    (name,) = maker._pending
    with caplog.at_level("DEBUG"):
        for _ in range(3):
            maker._redis.delete(callbacks._claim_key(name))
            maker._make(name)
    assert not receiver.told
    assert caplog.text.count("leads into a private network") == 2
    assert caplog.text.count("cannot be reached (the host has no address: no such host)") == 1
    assert "hidden" not in caplog.text


def test_a_receiver_refuses_what_is_forged_or_old():
    body, now = b'{"no": "audit"}', str(int(time.time()))

    def headers(timestamp: str, signed: bytes = body) -> dict[str, str]:
        text = signature(SECRET, "msg_1", timestamp, signed)
        return {"Webhook-Id": "msg_1", "Webhook-Timestamp": timestamp, "Webhook-Signature": f"v1a,x {text}"}

    for given, reason in (
        (headers(now, b"other"), "no signature"),
        (headers(now) | {"Webhook-Id": "msg_2"}, "no signature"),
        (headers(str(int(now) - 301)), "more than 300 seconds"),
        (headers(now) | {"Webhook-Timestamp": "soon"}, "missing"),
        ({}, "missing"),
        (headers(now), "no audit"),
    ):
        with pytest.raises(zooaudit.CallbackRefused, match=reason):
            zooaudit.verify_callback(body, given, SECRET)


def test_pauses_grow_to_an_hour():
    assert 1.0 <= callbacks.pause_after(1) <= 2.0
    assert 1800.0 <= callbacks.pause_after(1000) <= 3600.0
