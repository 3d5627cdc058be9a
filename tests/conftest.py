"""A real Redis server for all tests, started once; and no proxies, since tests only talk to this machine."""

import os
from collections.abc import Iterator

import pytest
from redis import Redis

from service.redis_server import EmbeddedRedis

for name in [name for name in os.environ if name.upper() in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")]:
    del os.environ[name]


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory) -> Iterator[None]:
    """Let audits find nothing that earlier runs of the tests have kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
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
