"""Fixtures: stacks of real processes (Redis, the API and workers), and a browser."""

import itertools
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page
from zooaudit import AuditClient

from service.stack import Stack, running
from tests.e2e.browser import KEY, LIMIT_MS, chromium, opened
from tests.e2e.harness import FAKE_WORKER, Audits

SEEDS = itertools.count(1)


@pytest.fixture(scope="module")
def fake_stack(tmp_path_factory) -> Iterator[Stack]:
    """A stack whose worker makes its measurements up, and counts as dead after three seconds of silence."""
    directory = tmp_path_factory.mktemp("stack")
    runs = directory / "runs"
    runs.mkdir()
    env = {"ZOOAUDIT_WORKER_TTL_S": "3", "FAKE_RUNS": str(runs), "ZOOAUDIT_API_KEYS": ""}
    with running(directory, env=env, worker_command=FAKE_WORKER) as stack:
        yield stack


@pytest.fixture
def stack(fake_stack) -> Iterator[Stack]:
    """The stack, whose ended processes are restarted after each test."""
    yield fake_stack
    fake_stack.mend()


@pytest.fixture
def audits(stack) -> Iterator[Audits]:
    with httpx.Client(base_url=stack.url, timeout=30) as http:
        yield Audits(http, stack.directory / "runs", seeds=SEEDS)


@pytest.fixture(scope="package")
def service(tmp_path_factory) -> Iterator[Stack]:
    """A stack that needs a key, with a real worker."""
    directory = tmp_path_factory.mktemp("dashboard-stack")
    (directory / "checkpoints").mkdir()
    env = {
        "ZOOAUDIT_API_KEYS": KEY,
        "ZOOAUDIT_CHECKPOINTS": str(directory / "checkpoints"),
        "OMP_NUM_THREADS": "1",
    }
    with running(directory, env=env) as stack:
        yield stack


# Not of session scope: while a browser is open, no other test can have an event loop.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, service) -> Iterator[Page]:
    with opened(browser, service.url) as page:
        yield page


@pytest.fixture
def client(service) -> Iterator[AuditClient]:
    with AuditClient(service.url, api_key=KEY) as client:
        yield client
        for audit in list(client.audits(status="queued,running")):
            client.cancel(audit.id)
            client.wait(audit.id, LIMIT_MS / 1000, poll_s=0.05)
