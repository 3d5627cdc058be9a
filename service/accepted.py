"""The requests of accepted audits in the report store, each until its audit has ended, and what was measured of them.

Redis may lose what it was told last, or everything. What was accepted is written here first, and
:class:`service.recovery.Recovery` takes up from here what Redis has lost.
"""

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import obstore
from obstore.store import ObjectStore
from pydantic import ValidationError
from zooaudit.contract import AuditRequest, Contract, audit_id, said, store_trouble

from service.errors import StoreUnavailable

log = logging.getLogger("zooaudit.service")

KEEP_SHARDS = timedelta(days=30)
"""How long the store keeps what was measured of an audit that has no report."""
PROBE_BYTES = 64 * 2**10
"""How much a probe writes: an empty file fits even on a full disk."""


class AcceptedAudit(Contract):
    """The request of an accepted audit, the time of its acceptance in UTC, and how long it was estimated to take, if
    that could be told."""

    request: AuditRequest
    accepted_at: datetime
    estimated_s: float | None = None


class AcceptedAudits:
    """The audits that have been accepted and may not have ended. Raises StoreUnavailable when the store fails."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def keep(self, audit: AcceptedAudit) -> None:
        """Write an audit down before it is accepted, or before it gets another priority."""
        self._write(_key(audit_id(audit.request)), audit.model_dump_json().encode())

    def load(self, identifier: str) -> AcceptedAudit | None:
        """Read what was accepted under this id; None when there is nothing, or only something damaged."""
        try:
            content = bytes(obstore.get(self._store, _key(identifier)).bytes())
            accepted = AcceptedAudit.model_validate_json(content)
        except FileNotFoundError:
            return None
        except ValidationError as error:
            log.warning("accepted audit %s cannot be read and is lost: %s", identifier, said(error.errors()[0]))
            self.drop(identifier)
            return None
        except Exception as error:
            raise StoreUnavailable(store_trouble(error)) from error
        return accepted if audit_id(accepted.request) == identifier else None

    def drop(self, identifier: str) -> None:
        """Remove an audit that has ended, or was not accepted after all."""
        try:
            obstore.delete(self._store, _key(identifier))
        except FileNotFoundError:
            pass
        except Exception as error:
            raise StoreUnavailable(store_trouble(error)) from error

    def identifiers(self) -> Iterator[str]:
        """Yield the ids of all audits that are written down."""
        try:
            for batch in obstore.list(self._store, prefix="accepted"):
                for meta in batch:
                    if match := re.fullmatch(r"accepted/([0-9a-f]{32})\.json", meta["path"]):
                        yield match[1]
        except FileNotFoundError:
            return
        except Exception as error:
            raise StoreUnavailable(store_trouble(error)) from error

    def drop_old_shards(self) -> None:
        """Remove the shards of audits that were canceled or have failed long ago, and were not asked for again."""
        oldest = datetime.now(UTC) - KEEP_SHARDS
        try:
            for batch in obstore.list(self._store, prefix="shards"):
                if old := [meta["path"] for meta in batch if meta["last_modified"] < oldest]:
                    obstore.delete(self._store, old)
        except FileNotFoundError:
            return
        except Exception as error:
            raise StoreUnavailable(store_trouble(error)) from error

    def probe(self) -> None:
        """Write a file, to learn whether an audit could be accepted now."""
        self._write("accepted/probe", bytes(PROBE_BYTES))

    def _write(self, key: str, content: bytes) -> None:
        try:
            obstore.put(self._store, key, content)
        except Exception as error:
            raise StoreUnavailable(store_trouble(error)) from error


def _key(identifier: str) -> str:
    return f"accepted/{identifier}.json"
