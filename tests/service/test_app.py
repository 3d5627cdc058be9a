"""The application around the endpoints: keys, hosts, headers, static files, health, errors and settings."""

import subprocess
import sys
import time

import httpx
import pytest
from pydantic import ValidationError
from zooaudit.contract import AuditRequest, Health

from service.app import create_app
from service.settings import ServiceSettings
from tests.fakes import ASK, is_problem, report_of


@pytest.fixture
async def locked(redis_server, published, tmp_path):  # noqa: ARG001 - only its effect on Redis is needed
    """A client of a service that has two keys."""
    settings = ServiceSettings(redis_url=redis_server.url, store=str(tmp_path), api_keys="first, second")
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://audits.example") as client:
        yield client


@pytest.mark.parametrize("given", [None, "first", "Basic first", "Bearer", "Bearer wrong", "Bearer first,second"])
async def test_without_a_key_nothing_is_changed(locked, redis, given):
    headers = {"Authorization": given} if given else {}
    for answer in (
        await locked.post("/audit", json=ASK, headers=headers),
        await locked.post("/audit", content=b"{", headers=headers),
        await locked.delete(f"/audit/{'0' * 32}", headers=headers),
    ):
        assert is_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert redis.llen("rq:queue:audits") == 0


@pytest.mark.parametrize("given", ["Bearer first", "bearer second"])
async def test_each_key_opens_and_reading_needs_none(locked, given):
    headers = {"Authorization": given}
    answer = await locked.post("/audit", json=ASK, headers=headers)
    assert answer.status_code == 202
    assert (await locked.get(f"/audit/{answer.json()['id']}")).status_code == 200
    assert (await locked.delete(f"/audit/{answer.json()['id']}", headers=headers)).status_code == 200


async def test_without_keys_only_loopback_hosts_are_answered(http):
    for host in ("localhost:8000", "127.0.0.1", "127.1.2.3:80", "[::1]:8000"):
        assert (await http.get("/health", headers={"Host": host})).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[", "localhost.evil.example:8000"):
        answer = await http.get("/health", headers={"Host": host})
        assert is_problem(answer, 403, "foreign-host")
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_answer_carries_the_security_headers(http):
    for path in ("/", "/static/plotly.min.js", "/health", "/nowhere"):
        headers = (await http.get(path)).headers
        assert headers["content-security-policy"].startswith(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


async def test_the_dashboard_is_served(http):
    page = await http.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    script = await http.get("/static/plotly.min.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert len(script.content) > 1_000_000
    module = await http.get("/static/app.js")
    assert (module.status_code, module.headers["cache-control"]) == (200, "no-cache")
    known = {"If-None-Match": module.headers["etag"]}
    assert (await http.get("/static/app.js", headers=known)).status_code == 304
    assert is_problem(await http.get("/static/nothing.js"), 404, "not-found")
    assert is_problem(await http.get("/static/%2e%2e/%2e%2e/pyproject.toml"), 404, "not-found")


async def test_unknown_paths_and_methods_are_problems(http):
    assert is_problem(await http.get("/nowhere"), 404, "not-found")
    assert is_problem(await http.get("/redoc"), 404, "not-found")
    answer = await http.put("/audit", json=ASK)
    assert is_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"]


async def test_a_bug_is_a_problem_that_gives_nothing_away(app, http, monkeypatch, caplog):
    monkeypatch.setattr(app.state, "queue", None)
    answer = await http.get("/audit")
    assert is_problem(answer, 500, "internal-error")
    assert "NoneType" not in answer.text
    assert "NoneType" in caplog.text


async def test_health_counts_workers_jobs_and_images(http, redis):
    health = Health.model_validate_json((await http.get("/health")).content)
    assert (health.status, health.redis, health.workers) == ("degraded", True, 0)
    assert health.datasets == {"synthetic": None, "photos": 20}
    for name, fields in {"a": {"last_heartbeat": "x"}, "b": {"last_heartbeat": "x", "death": "y"}, "c": {}}.items():
        redis.sadd("rq:workers:audits", f"rq:worker:{name}")
        if fields:
            redis.hset(f"rq:worker:{name}", mapping=fields)
    redis.zadd("rq:wip:audits", {"x:1": time.time() + 60, "y:1": time.time() - 60})
    await http.post("/audit", json=ASK)
    health = Health.model_validate_json((await http.get("/health")).content)
    assert (health.status, health.workers, health.queued, health.running) == ("ok", 1, 1, 1)


async def test_health_names_the_device_of_each_living_worker(http, redis):
    workers = {"a": "cuda:1", "b": "cuda:0", "c": "cuda:1", "gone": "cpu", "older": None}
    for name, device in workers.items():
        redis.sadd("rq:workers:audits", f"rq:worker:{name}")
        fields = {"last_heartbeat": "x", "device": device, "death": "y" if name == "gone" else None}
        redis.hset(f"rq:worker:{name}", mapping={field: value for field, value in fields.items() if value})
    health = Health.model_validate_json((await http.get("/health")).content)
    assert (health.workers, health.devices) == (4, ("cuda:0", "cuda:1", "cuda:1"))


async def test_a_store_that_does_not_answer_is_503(http, tmp_path, caplog):
    blocked = tmp_path / "store"
    blocked.rmdir()
    blocked.write_text("a file where the folder was")
    for answer in (
        await http.get(f"/audit/{'0' * 32}/report"),
        await http.get(f"/audit/{'0' * 32}"),
        await http.post("/audit", json=ASK),
    ):
        assert is_problem(answer, 503, "store-unavailable")
        assert "not a directory" in answer.json()["detail"]
        assert str(tmp_path) not in answer.text
    assert (await http.get("/audit")).status_code == 200
    assert "report store" in caplog.text


def test_settings_are_frozen_split_and_silent(monkeypatch):
    monkeypatch.setenv("ZOOAUDIT_API_KEYS", " first ,second,, ")
    monkeypatch.setenv("ZOOAUDIT_REDIS_URL", "redis://:hidden@example:1/0")
    settings = ServiceSettings()
    assert [key.get_secret_value() for key in settings.api_keys] == ["first", "second"]
    assert "first" not in repr(settings)
    assert "hidden" not in repr(settings)
    with pytest.raises(ValidationError):
        settings.port = 1
    monkeypatch.setenv("ZOOAUDIT_API_KEYS", "smörgås")
    with pytest.raises(ValidationError, match="visible ASCII"):
        ServiceSettings()


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"ZOOAUDIT_HOST": "0.0.0.0"}, "listens on loopback only"),
        ({"ZOOAUDIT_HOST": "example.com"}, "listens on loopback only"),
        ({"ZOOAUDIT_PORT": "http"}, "ZOOAUDIT_PORT"),
        ({"ZOOAUDIT_API_KEYS": "ключ"}, "ZOOAUDIT_API_KEYS"),
    ],
)
def test_the_service_does_not_start_with_settings_that_are_not_safe_or_not_right(env, words, tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "service"],
        env={"PATH": "", "ZOOAUDIT_STORE": str(tmp_path), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 2
    assert words in process.stderr
    assert "ключ" not in process.stderr


async def test_keys_guard_reads_where_the_operator_says_so(redis_server, published, tmp_path, store_report):  # noqa: ARG001 - only its effect on Redis is needed
    settings = ServiceSettings(
        redis_url=redis_server.url, store=str(tmp_path / "store"), api_keys="ops:admin:first", keys_guard_reads=True
    )
    report = report_of(AuditRequest(**ASK))
    store_report(report)
    transport = httpx.ASGITransport(create_app(settings))
    key = {"Authorization": "Bearer first"}
    async with httpx.AsyncClient(transport=transport, base_url="http://audits.example") as client:
        document = (await client.get("/openapi.json")).json()
        open_paths = {"/health"}
        readable = [path for path, item in document["paths"].items() if "get" in item]
        assert len(readable) >= 9
        for path in readable:
            url = path.replace("{identifier}", report.id).replace("{name}", "resnet18")
            for method in ("get", "head"):
                refused = await client.request(method, url)
                if path in open_paths:
                    assert refused.status_code == 200
                    continue
                assert refused.status_code == 401, (method, path)
                assert refused.headers["www-authenticate"] == "Bearer"
                assert (await client.request(method, url, headers=key)).status_code in (200, 422, 503), (method, path)
        assert is_problem(await client.get("/audit", headers={"Authorization": "Bearer wrong"}), 401, "unauthorized")
        for path in ("/", "/static/app.js", "/static/plotly.min.js"):
            assert (await client.get(path)).status_code == 200


def test_reads_cannot_be_guarded_without_a_key(monkeypatch):
    monkeypatch.setenv("ZOOAUDIT_KEYS_GUARD_READS", "true")
    with pytest.raises(ValidationError, match="set ZOOAUDIT_API_KEYS"):
        ServiceSettings()
