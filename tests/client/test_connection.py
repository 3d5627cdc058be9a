"""The way to a service: no proxy to this machine's own loopback, one sentence for a proxy that cannot be used."""

import socketserver
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from zooaudit import Unavailable, UnexpectedAnswer
from zooaudit.connection import checked_url, proxy_variable
from zooaudit.contract import Health

from tests.client.samples import CLIENTS, got

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
HEALTH = Health(status="ok", version="1", redis=True, workers=1, running=0, queued=0, datasets={})


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Answers(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1 that answers everything the same, and keeps what it was asked."""

    def __init__(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), AnswersHandler)
        self.status, self.body, self.headers, self.asked = status, body, headers or {}, list[str]()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class AnswersHandler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body.encode())

    do_CONNECT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def service() -> Iterator[Answers]:
    server = Answers(200, HEALTH.model_dump_json(), {"Content-Type": "application/json"})
    with serving(server):
        yield server


@pytest.fixture
def proxy() -> Iterator[Answers]:
    server = Answers(502, "<html>Bad Gateway</html>")
    with serving(server):
        yield server


async def health(client_type: type, url: str) -> Health:
    client = client_type(url, retry_s=0)
    try:
        return await got(client.health())
    finally:
        await got(client.close())


@pytest.mark.parametrize("client_type", CLIENTS)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_loopback_is_reached_without_a_proxy(monkeypatch, service, proxy, client_type, variable, host):
    monkeypatch.setenv(variable, f"http://{proxy.address}")
    assert await health(client_type, f"http://{host}:{service.server_port}") == HEALTH
    assert (proxy.asked, service.asked) == ([], ["/health"])


@pytest.mark.parametrize("client_type", CLIENTS)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
async def test_another_machine_is_reached_through_the_proxy_which_an_error_names(
    monkeypatch, proxy, client_type, variable
):
    monkeypatch.setenv(variable, f"http://{proxy.address}")
    with pytest.raises(Unavailable, match=f"answered 502 Bad Gateway through the proxy of {variable}"):
        await health(client_type, "http://service.test:8000")
    assert proxy.asked == ["http://service.test:8000/health"]


@pytest.mark.parametrize("client_type", CLIENTS)
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("socks5://127.0.0.1:1080", "ALL_PROXY names a SOCKS proxy, which takes a package that is not installed: pip"),
        ("socks5h://127.0.0.1:1080", "pip install 'httpx\\[socks\\]', or unset ALL_PROXY, or add service.test to NO_"),
        ("socks4://127.0.0.1:1080", "ALL_PROXY is not the address of an HTTP or SOCKS5 proxy: correct or unset it"),
        ("http://127.0.0.1:port", "ALL_PROXY is not the address"),
        ("http://", "ALL_PROXY is not the address"),
        ("user:secret@127.0.0.1:port", "ALL_PROXY is not the address"),
    ],
)
async def test_a_proxy_that_cannot_be_used(monkeypatch, service, client_type, address, message):
    monkeypatch.setenv("ALL_PROXY", address)
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(ValueError, match=message) as caught:
        client_type("http://service.test")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("NO_PROXY", "service.test")
    await got(client_type("http://service.test").close())  # as the message says
    assert await health(client_type, f"http://{service.address}") == HEALTH  # loopback needs no proxy


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        *(
            (f"http://{host}:8000", None)
            for host in ("127.0.0.1", "127.9.8.7", "localhost", "LOCALHOST", "a.localhost")
        ),
        *((f"https://{host}", None) for host in ("[::1]", "[::ffff:127.0.0.1]", "direct.test", "sub.direct.test")),
        *((f"http://{host}", "HTTP_PROXY") for host in ("128.0.0.1", "[::2]", "localhost.test", "10.0.0.1")),
        ("https://service.test", "all_proxy"),
    ],
)
def test_which_proxy_leads_where(monkeypatch, url, variable):
    monkeypatch.setenv("HTTP_PROXY", "http://one.test")
    monkeypatch.setenv("all_proxy", "http://two.test")
    monkeypatch.setenv("no_proxy", "direct.test")
    assert proxy_variable(checked_url(url)) == variable


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8000", "'localhost:8000' is not an http:// or https:// URL. Did you mean http://localhost:8000?"),
        ("ftp://service.test", "'ftp://service.test' is not an http:// or https:// URL"),
        ("http://service.test:99999", "http://service.test:99999 has no port from 1 to 65535"),
        ("http://u:secret@service.test/#/audits", "http://service.test/#/audits is the address of a page"),
        ("http://user:secret@service.test:port", "is not a URL"),
    ],
)
@pytest.mark.parametrize("client_type", CLIENTS)
def test_what_is_no_address_of_a_service(client_type, url, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        client_type(url)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("client_type", CLIENTS)
async def test_passwords_of_an_address_stay_secret(client_type):
    client = client_type("http://user:secret@127.0.0.1:9", retry_s=0)
    assert "secret" not in repr(client) + client.base_url
    with pytest.raises(Exception, match=r"Cannot reach http://127\.0\.0\.1:9: ") as caught:
        await got(client.health())
    assert "secret" not in str(caught.value)
    await got(client.close())


@pytest.mark.parametrize("client_type", CLIENTS)
async def test_an_address_that_sends_its_callers_elsewhere(client_type):
    server = Answers(308, "", {"Location": "https://service.test/"})
    with (
        serving(server),
        pytest.raises(UnexpectedAnswer, match=r"sends its callers to https://service\.test/: give"),
    ):
        await health(client_type, f"http://{server.address}")


@pytest.mark.parametrize("client_type", CLIENTS)
async def test_connections_that_are_not_secure(monkeypatch, service, tmp_path: Path, client_type):
    with pytest.raises(UnexpectedAnswer, match=r"No secure connection .*; a service without TLS has an http:"):
        await health(client_type, f"https://{service.address}")

    authority, certificate = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    secure = Answers(200, HEALTH.model_dump_json())
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    url = f"https://localhost:{secure.server_port}"
    with serving(secure):
        with pytest.raises(UnexpectedAnswer, match=r"certificate.*; SSL_CERT_FILE may name a file"):
            await health(client_type, url)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # as the message says
        assert await health(client_type, url) == HEALTH
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(ValueError, match="the certificates of SSL_CERT_FILE cannot be read: "):
        client_type(url)
