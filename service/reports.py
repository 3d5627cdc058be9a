"""The report store: the record of what has been measured. The service only reads it."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import ValidationError
from zooaudit.contract import Block, Report, report_key

from service.errors import StoreUnavailable

log = logging.getLogger("zooaudit.service")

T = TypeVar("T")
BRIEF = 256
"""Reports kept in memory: those of the largest comparison, and some."""


class ReportStore:
    """Reads reports from a folder or from ``s3://``. Raises :class:`StoreUnavailable` when that does not answer."""

    def __init__(self, location: str) -> None:
        self._store = open_store(location)
        self.brief = lru_cache(maxsize=BRIEF)(self._brief)
        """The report without its blocks' rows by transform, most of its size; raises LookupError when there is none.
        Kept in memory, some 300 kB each: a report is immutable, and a comparison asks for many, again and again."""

    def read(self, identifier: str) -> bytes | None:
        """The report as it was stored; None when there is none, or what is there is no report of that audit."""
        content = self._content(identifier)
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
        content = self._content(identifier)
        if content is None:
            return None
        try:
            report = Report.model_validate_json(content)
        except ValidationError as error:
            log.warning("report %s in the store is not understood: %s", identifier, error.errors()[0]["msg"])
            return None
        if report.id != identifier:
            log.warning("report %s in the store is damaged; it counts as absent", identifier)
            return None
        return report

    def _brief(self, identifier: str) -> Report:
        report = self.load(identifier)
        if report is None:
            raise LookupError(identifier)
        return report.model_copy(update={"blocks": tuple(map(_without_transforms, report.blocks))})

    def _content(self, identifier: str) -> bytes | None:
        return _ask(lambda: bytes(obstore.get(self._store, report_key(identifier)).bytes()))

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


def _without_transforms(block: Block) -> Block:
    kinds = {kind: getattr(block, kind).model_copy(update={"by_transform": ()}) for kind in ("translation", "rotation")}
    return block.model_copy(update=kinds)


def _ask(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except FileNotFoundError:
        return None
    except Exception as error:
        # obstore raises a dozen kinds, some of them bare OSErrors; to a client they are all the same.
        raise StoreUnavailable(f"{type(error).__name__}: {error}".splitlines()[0]) from error
