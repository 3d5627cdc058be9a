"""The client and a script below a path of a reverse proxy that strips it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from zooaudit import AuditClient

ASK = {"model": "timm/quick.v1", "dataset": "synthetic", "num_images": 8}


@pytest.fixture
def proxied(stack) -> Iterator[str]:
    """The address below which a proxy serves the stack."""

    class Proxy(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if not self.path.startswith("/zoo/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {**self.headers, "X-Forwarded-Prefix": "/zoo"}
            answer = httpx.request(self.command, stack.url + self.path[4:], headers=headers, content=body, timeout=30)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/zoo"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_client_works_below_a_path(proxied, slash):
    with AuditClient(proxied + slash) as client:
        handle = client.audit(**ASK)
        report = handle.wait(timeout=60)
        assert report.id == handle.id
        assert handle.id in [audit.id for audit in client.audits()]
        assert client.health().redis


def test_location_and_links_lead_where_they_say(proxied):
    posted = httpx.post(f"{proxied}/audit", json={**ASK, "seed": 5})
    audit = httpx.get(posted.url.join(posted.headers["location"]))
    assert audit.json()["id"] == posted.json()["id"]
    assert httpx.get(posted.url.join(audit.json()["links"]["self"])).status_code == 200
    assert httpx.get(posted.url.join(audit.json()["links"]["report"])).status_code in (200, 409)
