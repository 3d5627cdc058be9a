"""The report store: the record of what has been measured. The service only reads it."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import ValidationError
from zooaudit.contract import Report, report_key

from service.errors import StoreUnavailable

log = logging.getLogger("zooaudit.service")

T = TypeVar("T")


class ReportStore:
    """Reads reports from a folder or from ``s3://``. Raises :class:`StoreUnavailable` when that does not answer."""

    def __init__(self, location: str) -> None:
        self._store = open_store(location)

    def read(self, identifier: str) -> bytes | None:
        """The report as it was stored; None when there is none, or what is there is no report of that audit."""
        content = _ask(lambda: bytes(obstore.get(self._store, report_key(identifier)).bytes()))
        if content is None:
            return None
        try:
            if json.loads(content)["id"] == identifier:
                return content
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        log.warning("report %s in the store is damaged; it counts as absent", identifier)
        return None

    def load(self, identifier: str) -> Report | None:
        """The report, understood; None when there is none or it cannot be."""
        content = self.read(identifier)
        try:
            return None if content is None else Report.model_validate_json(content)
        except ValidationError as error:
            log.warning("report %s in the store is not understood: %s", identifier, error.errors()[0]["msg"])
            return None

    def identifiers(self) -> Iterator[str]:
        """The ids of all the reports there are."""
        listing = _ask(lambda: list(obstore.list(self._store, prefix="reports")))
        for batch in listing or []:
            for meta in batch:
                if match := re.fullmatch(r"reports/([0-9a-f]{32})\.json", meta["path"]):
                    yield match[1]


def open_store(location: str) -> ObjectStore:
    """A store in a local folder, or at a URL such as ``s3://bucket/prefix``."""
    if "://" not in location:
        return LocalStore(Path(location).absolute(), mkdir=True)
    # A request waits for this: give up long before obstore's three minutes.
    return from_url(
        location,
        client_options={"timeout": "10s", "connect_timeout": "3s", "allow_http": True},  # if AWS_ENDPOINT_URL says so
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=15)},
    )


def _ask(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except FileNotFoundError:
        return None
    except Exception as error:
        # obstore raises a dozen kinds, some of them bare OSErrors; to a client they are all the same.
        raise StoreUnavailable(f"{type(error).__name__}: {error}".splitlines()[0]) from error
