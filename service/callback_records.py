"""The callbacks that are still to be made, in the report store: a file each, until it is made or given up."""

import hashlib
import logging
import re
from collections.abc import Iterator
from datetime import datetime

import obstore
from obstore.store import ObjectStore
from pydantic import ValidationError
from zooaudit.contract import Contract, said, store_trouble

from service.errors import StoreUnavailable

log = logging.getLogger("zooaudit.service")


class CallbackRecord(Contract):
    """A URL that is to be told of an audit's end. ``message_id`` is the same however often it is told."""

    audit_id: str
    url: str
    message_id: str
    asked_at: datetime

    @property
    def name(self) -> str:
        """The record's name: one audit is told to one URL once."""
        return name_of(self.audit_id, self.url)


def name_of(audit_id: str, url: str) -> str:
    """Return the name of the record that one audit and one URL have."""
    return f"{audit_id}-{hashlib.sha256(url.encode()).hexdigest()[:16]}"


class CallbackRecords:
    """All records. Raises StoreUnavailable when the store fails."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def keep(self, record: CallbackRecord) -> None:
        try:
            obstore.put(self._store, _key(record.name), record.model_dump_json().encode())
        except Exception as error:
            raise StoreUnavailable(store_trouble(error)) from error

    def load(self, name: str) -> CallbackRecord | None:
        """Read a record; None when there is none, or only something damaged."""
        try:
            return CallbackRecord.model_validate_json(bytes(obstore.get(self._store, _key(name)).bytes()))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            log.warning("callback %s cannot be read and is lost: %s", name, said(error.errors()[0]))
            self.drop(name)
            return None
        except Exception as error:
            raise StoreUnavailable(store_trouble(error)) from error

    def drop(self, name: str) -> None:
        """Remove a record: its callback is made, or given up."""
        try:
            obstore.delete(self._store, _key(name))
        except FileNotFoundError:
            pass
        except Exception as error:
            raise StoreUnavailable(store_trouble(error)) from error

    def drop_all_of(self, audit_id: str, asked_by: datetime) -> None:
        """Remove the records of one audit that were made no later than ``asked_by``."""
        for name in [name for name in self.names() if name.startswith(audit_id)]:
            if (record := self.load(name)) and record.asked_at <= asked_by:
                self.drop(name)

    def names(self) -> Iterator[str]:
        """Yield the names of all records."""
        try:
            for batch in obstore.list(self._store, prefix="callbacks"):
                for meta in batch:
                    if match := re.fullmatch(r"callbacks/([0-9a-f]{32}-[0-9a-f]{16})\.json", meta["path"]):
                        yield match[1]
        except FileNotFoundError:
            return
        except Exception as error:
            raise StoreUnavailable(store_trouble(error)) from error


def _key(name: str) -> str:
    return f"callbacks/{name}.json"
