"""Server-sent events of an audit, read from a real server."""

import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from rq.job import JobStatus
from zooaudit.contract import Audit

from service import events
from service.connections import BoundedProtocol, Limits
from service.processes import free_port
from tests.fakes import ASK, is_problem


class Protocol(BoundedProtocol):
    limits = Limits(20)


@pytest.fixture
def client(app) -> Iterator[httpx.Client]:
    port = free_port()
    config = uvicorn.Config(app, port=port, log_config=None, http=Protocol, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.05)
        assert thread.is_alive()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join()


def fields(message: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in message.splitlines())


def test_a_stream_tells_of_changes_and_ends_with_the_audit(client, app, set_status, monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.5)
    identifier = client.post("/audit", json=ASK).json()["id"]
    messages = []
    with client.stream("GET", f"/audit/{identifier}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        text = ""
        for chunk in answer.iter_text():
            text += chunk
            while "\n\n" in text:
                message, _, text = text.partition("\n\n")
                messages.append(message)
                if message.startswith(":") and messages.count(message) == 1:
                    assert app.state.events._followers == {identifier: 1}
                    set_status(identifier, JobStatus.STARTED)
                elif message.startswith("id") and fields(message)["event"] == "running":
                    set_status(identifier, JobStatus.FAILED)
    assert messages[0] == "retry: 2000"
    told = [fields(message) for message in messages if message.startswith("id")]
    statuses = [message["event"] for message in told]
    assert list(dict.fromkeys(statuses)) == ["queued", "running", "failed"]
    assert all(Audit.model_validate_json(message["data"]).status == message["event"] for message in told)
    polled = client.get(f"/audit/{identifier}")
    assert (polled.headers["etag"], polled.text) == (told[-1]["id"], told[-1]["data"])

    again = client.get(f"/audit/{identifier}/events", headers={"Last-Event-ID": told[-1]["id"]})
    assert (again.status_code, again.content) == (204, b"")  # by which a browser's EventSource stops
    assert app.state.events._followers == {}


def test_an_event_has_the_etag_of_the_audit_with_all_that_is_written_on_it(client, set_status):
    identifier = client.post("/audit", json=ASK).json()["id"]
    written = {"labels": ["paper"], "note": "Table 3"}
    assert client.patch(f"/audit/{identifier}", json=written).status_code == 200
    set_status(identifier, JobStatus.FAILED)
    polled = client.get(f"/audit/{identifier}")
    _, message, _ = client.get(f"/audit/{identifier}/events").text.split("\n\n")
    told = fields(message)
    assert (told["id"], told["data"]) == (polled.headers["etag"], polled.text)
    assert polled.json()["note"] == "Table 3"
    known = {"Last-Event-ID": told["id"]}
    assert client.get(f"/audit/{identifier}/events", headers=known).status_code == 204
    assert client.patch(f"/audit/{identifier}", json={"note": "Table 4"}).status_code == 200
    assert "Table 4" in client.get(f"/audit/{identifier}/events", headers=known).text


def test_unknown_audits_and_too_many_streams_are_refused(client, app):
    assert is_problem(client.get(f"/audit/{'0' * 32}/events"), 404, "unknown-audit")
    identifier = client.post("/audit", json=ASK).json()["id"]
    app.state.events._followers["another"] = events.MOST_FOLLOWERS
    assert is_problem(client.get(f"/audit/{identifier}/events"), 503, "unavailable")
