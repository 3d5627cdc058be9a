"""A real Redis server for all tests, started once; and no proxies, since tests only talk to this machine."""

import os
import shutil
from collections.abc import Iterator

import pytest
from redis import Redis

from service.redis_server import EmbeddedRedis
from tests.e2e.browser import chromium

for name in [name for name in os.environ if name.upper() in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")]:
    del os.environ[name]


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory) -> Iterator[None]:
    """Let audits find nothing that earlier runs of the tests have kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


@pytest.fixture(scope="session")
def kaleido() -> Iterator[None]:
    """Give kaleido the browser of the other tests, unless it finds one by itself."""
    with pytest.MonkeyPatch.context() as patch:
        if not (shutil.which("chromium") or shutil.which("google-chrome")):
            with chromium() as browser:
                patch.setenv("BROWSER_PATH", browser.browser_type.executable_path)
        yield


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis(redis_server) -> Iterator[Redis]:
    """A connection to an empty Redis."""
    with Redis.from_url(redis_server.url) as connection:
        connection.flushall()
        yield connection
