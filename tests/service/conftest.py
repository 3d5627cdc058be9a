"""The API in this process, on a real Redis and a report store in a folder."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from rq.job import Job, JobStatus
from zooaudit.contract import CATALOGUE_KEY, Catalogue, Report, report_key

from service.app import create_app
from service.settings import ServiceSettings
from tests.fakes import CATALOGUE


@pytest.fixture
def settings(redis_server, tmp_path) -> ServiceSettings:
    return ServiceSettings(redis_url=redis_server.url, store=str(tmp_path / "store"), api_keys=())


@pytest.fixture
def app(settings, published):  # noqa: ARG001 - only its effect on Redis is needed
    return create_app(settings)


@pytest.fixture
async def http(app):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.fixture
def published(redis) -> Catalogue:
    """The catalogue, published as a worker does it."""
    content = CATALOGUE.model_dump_json()
    redis.hset(CATALOGUE_KEY, mapping={"version": hashlib.sha256(content.encode()).hexdigest(), "json": content})
    return CATALOGUE


@pytest.fixture
def set_status(redis: Redis) -> Callable[[str, JobStatus], None]:
    """Bring an audit to a status as a worker does it; further arguments set fields of its job."""

    def change(identifier: str, status: JobStatus, **fields: Any) -> None:
        job = Job.fetch(identifier, connection=redis, serializer="json")
        for name, value in fields.items():
            setattr(job, name, value)
        job.set_status(status)
        job.save()
        redis.lrem("rq:queue:audits", 0, identifier)

    return change


@pytest.fixture
def store_report(tmp_path: Path) -> Callable[[Report], None]:
    def write(report: Report) -> None:
        path = tmp_path / "store" / report_key(report.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.model_dump_json())

    return write
