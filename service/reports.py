"""The report store, which is the record of all finished audits. The service writes only reports that it imports."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import ValidationError
from zooaudit.contract import (
    ALL_TRANSFORMS,
    Block,
    Import,
    Report,
    ReportHead,
    import_key,
    report_key,
    request_of,
    said,
    store_trouble,
)

from service.errors import StoreUnavailable

log = logging.getLogger("zooaudit.service")

T = TypeVar("T")
R = TypeVar("R", Report, ReportHead)
BRIEF_REPORTS_KEPT = 256
"""How many reports stay in memory: those of the largest comparison, and some more."""


class ReportStore:
    """Reads reports from a folder or ``s3://``. Raises :class:`StoreUnavailable` when the store does not answer."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.brief = lru_cache(maxsize=BRIEF_REPORTS_KEPT)(self._brief)
        """The report without its blocks' rows by transform, which are most of its size; LookupError when there is none.

        Kept in memory, some 300 kB each: a report never changes, and comparisons ask for the same reports repeatedly.
        """

    def read(self, identifier: str) -> bytes | None:
        """Read the report byte for byte as stored; None when there is none, or the file is no report of this audit."""
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
        """Read the report as an object; None when there is none, or the file is no report of this audit."""
        return self._load(identifier, Report)

    def head(self, identifier: str) -> ReportHead | None:
        """Read what tells the report's model, method and scores by part; None as with :meth:`load`."""
        return self._load(identifier, ReportHead)

    def _load(self, identifier: str, kind: type[R]) -> R | None:
        content = self._content(identifier)
        if content is None:
            return None
        try:
            report = kind.model_validate_json(content)
            if isinstance(report, Report):
                request_of(report)  # else its audit could not be shown
        except ValidationError as error:
            log.warning("report %s in the store cannot be read: %s", identifier, said(error.errors()[0]))
            return None
        if report.id != identifier:
            log.warning("report %s in the store is damaged; it counts as absent", identifier)
            return None
        return report

    def load_import(self, report: Report) -> Import | None:
        """Read how a stored report was imported; None if it was measured here."""
        seal = report.environment.report_sha256
        if seal is None:
            return None
        key = import_key(report.id, seal)
        content = _none_if_missing(lambda: bytes(obstore.get(self._store, key).bytes()))
        try:
            return None if content is None else Import.model_validate_json(content)
        except ValidationError as error:
            log.warning("the note on the import of %s cannot be read: %s", report.id, said(error.errors()[0]))
            return None

    def add_import(self, report: Report, content: bytes, imported: Import) -> None:
        """Store a sealed report byte for byte as it came, and how it came. A report of this audit that is there already
        stays as it is, unless it is damaged."""
        seal = report.environment.report_sha256
        assert seal is not None
        key = report_key(report.id)
        try:
            # The note first: a report without it would count as measured here. It is of this report alone, so it means
            # nothing if another one is stored before this.
            obstore.put(self._store, import_key(report.id, seal), imported.model_dump_json().encode())
            try:
                obstore.put(self._store, key, content, mode="create")
            except AlreadyExistsError:
                if self.load(report.id) is None:
                    obstore.put(self._store, key, content)
        except StoreUnavailable:
            raise
        except Exception as error:
            raise StoreUnavailable(store_trouble(error)) from error

    def read_object(self, key: str) -> bytes | None:
        """Read what is no report, byte for byte; None when there is nothing."""
        return _none_if_missing(lambda: bytes(obstore.get(self._store, key).bytes()))

    def _brief(self, identifier: str) -> Report:
        report = self.load(identifier)
        if report is None:
            raise LookupError(identifier)
        return report.model_copy(update={"blocks": tuple(map(_without_transforms, report.blocks))})

    def _content(self, identifier: str) -> bytes | None:
        return self.read_object(report_key(identifier))

    def identifiers(self) -> Iterator[str]:
        """Yield the ids of all reports in the store."""
        batches = _none_if_missing(lambda: list(obstore.list(self._store, prefix="reports")))
        for batch in batches or []:
            for meta in batch:
                if match := re.fullmatch(r"reports/([0-9a-f]{32})\.json", meta["path"]):
                    yield match[1]


def open_store(location: str) -> ObjectStore:
    """Open the store in a local folder, or at a URL such as ``s3://bucket/prefix``."""
    if "://" not in location:
        return LocalStore(Path(location).absolute(), mkdir=True)
    # An HTTP request waits for the store, so give up long before obstore's default of three minutes.
    return from_url(
        location,
        client_options={"timeout": "10s", "connect_timeout": "3s", "allow_http": True},  # if AWS_ENDPOINT_URL is http:
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=15)},
    )


def _none_if_missing(read: Callable[[], T]) -> T | None:
    """Call ``read``, which reads from the store; None when nothing is there. Raises StoreUnavailable if it fails."""
    try:
        return read()
    except FileNotFoundError:
        return None
    except Exception as error:
        # obstore raises a dozen types of errors, some of them bare OSErrors; clients treat them all the same.
        raise StoreUnavailable(store_trouble(error)) from error


def _without_transforms(block: Block) -> Block:
    scores: dict[str, Any] = {
        name: score.model_copy(update={"by_transform": ()})
        for name in ALL_TRANSFORMS
        if (score := getattr(block, name)) is not None
    }
    return block.model_copy(update=scores)
