"""The report store, into which a worker puts the reports, and the shards of running audits."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import ValidationError
from zooaudit.contract import Report, report_key, store_trouble

PROBE_BYTES = 64 * 2**10
"""How much a probe writes: an empty file fits even on a full disk."""


class StoreUnavailable(Exception):
    """The report store cannot be read or written now. The message says why, without paths or addresses."""


class ReportStore:
    """Reports in a local folder, or at a URL such as ``s3://bucket/prefix``. Every method raises StoreUnavailable."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._opened: ObjectStore | None = None

    def read(self, identifier: str) -> Report | None:
        """Read the report of an audit; None when the store has none, or only a damaged one."""
        try:
            with _telling_why():
                content = bytes(obstore.get(self._store(), report_key(identifier)).bytes())
            report = Report.model_validate_json(content)
        except (FileNotFoundError, ValidationError):
            return None
        return report if report.id == identifier else None

    def probe(self) -> None:
        """Write a file and delete it again, to learn before measuring whether a report could be stored."""
        key = f"probes/{uuid4().hex}"
        with _telling_why():
            obstore.put(self._store(), key, bytes(PROBE_BYTES))
            obstore.delete(self._store(), key)

    def create(self, identifier: str, content: bytes) -> None:
        """Store a report. One that is there already stays as it is, unless it is damaged."""
        try:
            with _telling_why():
                obstore.put(self._store(), report_key(identifier), content, mode="create")
        except AlreadyExistsError:
            if self.read(identifier) is None:
                with _telling_why():
                    obstore.put(self._store(), report_key(identifier), content)

    def put(self, key: str, content: bytes) -> None:
        """Store what is not a report."""
        with _telling_why():
            obstore.put(self._store(), key, content)

    def get(self, key: str) -> bytes | None:
        """Read what :meth:`put` has stored; None if there is nothing."""
        try:
            with _telling_why():
                return bytes(obstore.get(self._store(), key).bytes())
        except FileNotFoundError:
            return None

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of all that is stored under a prefix."""
        try:
            with _telling_why():
                return [meta["path"] for batch in obstore.list(self._store(), prefix=prefix) for meta in batch]
        except FileNotFoundError:
            return []

    def delete(self, prefix: str) -> None:
        """Delete all that is stored under a prefix."""
        with suppress(FileNotFoundError), _telling_why():
            obstore.delete(self._store(), self.keys(prefix))
            if "://" not in self._location:
                shutil.rmtree(Path(self._location, prefix), ignore_errors=True)  # or empty folders would be left

    def _store(self) -> ObjectStore:
        if self._opened is None:
            if "://" in self._location:
                self._opened = from_url(
                    self._location,
                    client_options={"timeout": "60s", "allow_http": True},  # if AWS_ENDPOINT_URL is http:
                    retry_config={"retry_timeout": timedelta(minutes=1)},
                )
            else:
                self._opened = LocalStore(Path(self._location).absolute(), mkdir=True)
        return self._opened


@contextmanager
def _telling_why() -> Iterator[None]:
    """Turn whatever obstore raises, but for missing and existing files, into StoreUnavailable."""
    try:
        yield
    except (FileNotFoundError, AlreadyExistsError):
        raise
    except Exception as error:
        raise StoreUnavailable(store_trouble(error)) from error
