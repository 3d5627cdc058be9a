"""What people have written on audits: kept in the report store, and in Redis for quick reading."""

import logging
import re
import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from obstore.store import ObjectStore
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import WatchError
from zooaudit.contract import Annotations, AnnotationsChange, Archived, Audit, said

from service import objects
from service.errors import StoreUnavailable
from service.fresh import Fresh
from service.queue import AuditRow

log = logging.getLogger("zooaudit.service")

CACHE_KEY = "zooaudit:annotations"
"""Redis hash: the Annotations, as JSON, of each audit that has any."""
VERSION_KEY = "zooaudit:annotations:version"
"""Redis key: another word after each change. It is absent until the hash holds what the store holds."""
MAX_AGE_S = 0.5
READERS = 16
"""How many files are read from the store at the same time."""
NOTHING = Annotations()


class AnnotationStore:
    """What is written on each audit. Raises StoreUnavailable and ``redis.RedisError`` when those do not answer."""

    def __init__(self, store: ObjectStore, connection: Redis) -> None:
        self._store = store
        self._redis: Any = connection
        self._loading = threading.Lock()
        self._version: bytes | None = None
        self._all: Mapping[str, Annotations] = {}
        self._fresh = Fresh(self._refresh, MAX_AGE_S)

    def show(self, audit: Audit) -> Audit:
        """Add to an audit what is written on it."""
        return self.show_all([audit])[0]

    def show_all(self, audits: Collection[Audit]) -> tuple[Audit, ...]:
        """Add to each audit what is written on it."""
        written = self.all()
        return tuple(
            audit.model_copy(update=dict(written[audit.id])) if audit.id in written else audit for audit in audits
        )

    def all(self) -> Mapping[str, Annotations]:
        """Return what is written on all audits that have anything, by id; changes of others show within MAX_AGE_S."""
        return self._fresh.get()

    def filter(self, label: str | None, archived: Archived) -> Callable[[AuditRow], bool]:
        """Return what tells of a row whether its audit has the label, if one is given, and is archived or not."""
        written = self.all()

        def is_wanted(row: AuditRow) -> bool:
            found = written.get(row.id, NOTHING)
            has_label = label is None or label in found.labels
            return has_label and archived in ("any", "true" if found.archived else "false")

        return is_wanted

    def load(self, identifier: str) -> Annotations:
        """Read from the store, which is the record, what is written on an audit."""
        content = objects.get(self._store, _key(identifier))
        if content is None:
            return NOTHING
        try:
            return Annotations.model_validate_json(content)
        except ValidationError as error:
            log.warning("annotations of %s cannot be read: %s", identifier, said(error.errors()[0]))
            return NOTHING

    def change(self, identifier: str, change: AnnotationsChange) -> Annotations:
        """Change what is written on an audit, and return all that is written then."""
        # Two changes at the same time would each write what the other has not changed.
        with self._redis.lock(f"zooaudit:annotating:{identifier}", timeout=60, blocking_timeout=20):
            after = change.applied_to(self.load(identifier))
            if after == NOTHING:
                objects.remove(self._store, _key(identifier))
            else:
                objects.put(self._store, _key(identifier), after.model_dump_json().encode())
            self._cache(identifier, after)
        return after

    def drop(self, identifier: str) -> None:
        """Remove all that is written on an audit."""
        objects.remove(self._store, _key(identifier))
        self._cache(identifier, NOTHING)

    def reload(self) -> None:
        """Put into Redis what the store holds."""
        with self._loading, self._redis.pipeline() as pipe:
            while True:
                pipe.watch(CACHE_KEY, VERSION_KEY)
                written = {identifier: found.model_dump_json() for identifier, found in self._load_all().items()}
                pipe.multi()
                pipe.delete(CACHE_KEY)
                if written:
                    pipe.hset(CACHE_KEY, mapping=written)
                pipe.set(VERSION_KEY, uuid.uuid4().hex)
                try:
                    pipe.execute()
                except WatchError:
                    continue  # somebody has changed something, or has done the same
                return

    def _refresh(self) -> Mapping[str, Annotations]:
        version = self._redis.get(VERSION_KEY)
        if version is None:
            try:
                self.reload()
            except StoreUnavailable as error:
                # Audits can be read without it: they are shown with what was known last.
                log.warning("what is written on audits cannot be read: %s", error)
                return self._all
        if version is None or version != self._version:
            with self._redis.pipeline() as pipe:
                pipe.get(VERSION_KEY)
                pipe.hgetall(CACHE_KEY)
                self._version, texts = pipe.execute()
            self._all = {key.decode(): Annotations.model_validate_json(text) for key, text in texts.items()}
        return self._all

    def _cache(self, identifier: str, written: Annotations) -> None:
        with self._redis.pipeline() as pipe:
            if written == NOTHING:
                pipe.hdel(CACHE_KEY, identifier)
            else:
                pipe.hset(CACHE_KEY, identifier, written.model_dump_json())
            # Not if Redis has been emptied: the hash then lacks all others, until it is loaded.
            pipe.set(VERSION_KEY, uuid.uuid4().hex, xx=True)
            pipe.execute()
        self._fresh.expire()

    def _load_all(self) -> dict[str, Annotations]:
        paths = (path for path, _ in objects.below(self._store, "annotations"))
        matches = (re.fullmatch(r"annotations/([0-9a-f]{32})\.json", path) for path in paths)
        identifiers = [match[1] for match in matches if match]
        with ThreadPoolExecutor(READERS) as pool:
            return dict(zip(identifiers, pool.map(self.load, identifiers), strict=True))


def _key(identifier: str) -> str:
    return f"annotations/{identifier}.json"
