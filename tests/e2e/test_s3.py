"""The report store in a bucket of S3, which moto simulates."""

import itertools
from collections.abc import Iterator

import httpx
import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store
from redis import Redis

from service.stack import running
from tests.e2e.harness import FAKE_WORKER, Audits


@pytest.fixture
def s3() -> Iterator[dict[str, str]]:
    """A simulated S3 with one bucket, 'audits'; returns the environment variables that lead to it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    assert httpx.put(f"{url}/audits").status_code == 200
    yield {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "ZOOAUDIT_STORE": "s3://audits/some/prefix",
    }
    server.stop()


def bucket(env: dict[str, str]) -> S3Store:
    return S3Store(
        "audits",
        endpoint=env["AWS_ENDPOINT_URL"],
        access_key_id=env["AWS_ACCESS_KEY_ID"],
        secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region=env["AWS_REGION"],
        client_options={"allow_http": True},
    )


def test_reports_live_in_a_bucket(s3, tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    env = {"FAKE_RUNS": str(runs), "ZOOAUDIT_API_KEYS": "", **s3}
    with (
        running(tmp_path, env=env, worker_command=FAKE_WORKER) as stack,
        httpx.Client(base_url=stack.url, timeout=30) as http,
    ):
        audits = Audits(http, runs, itertools.count())
        identifier = audits.submit("quick")
        assert audits.ended(identifier).status == "succeeded"
        report = audits.report(identifier)
        stored = obstore.get(bucket(s3), f"some/prefix/reports/{identifier}.json")
        assert bytes(stored.bytes()).decode() == report.model_dump_json()
        assert not (tmp_path / "store").exists()
        with Redis.from_url(stack.redis_url) as redis:
            redis.flushall()
        assert [audit["id"] for audit in http.get("/audit").json()["audits"]] == [identifier]
