"""Either client, with a transport that plays answers."""

from collections.abc import Callable
from typing import Any

import pytest
from zooaudit import AsyncAuditClient, AuditClient

from tests.client.samples import CLIENTS, Script


@pytest.fixture(params=CLIENTS)
def make(request) -> Callable[..., tuple[AuditClient | AsyncAuditClient, Script]]:
    """Return a function that makes a client and the transport that plays the given steps to it."""

    def made(*steps: Any, **options: Any) -> tuple[AuditClient | AsyncAuditClient, Script]:
        transport = Script(*steps)
        return request.param("http://service.test", transport=transport, **options), transport

    return made
