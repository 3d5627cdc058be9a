"""Read, write, list and remove objects of the report store. All raise StoreUnavailable when it does not answer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

import obstore
from obstore.store import ObjectStore
from zooaudit.contract import store_trouble

from service.errors import StoreUnavailable


def put(store: ObjectStore, key: str, content: bytes) -> None:
    with _troubles():
        obstore.put(store, key, content)


def get(store: ObjectStore, key: str) -> bytes | None:
    """Read an object; None when there is none."""
    with suppress(FileNotFoundError), _troubles():
        return bytes(obstore.get(store, key).bytes())
    return None


def modified_at(store: ObjectStore, key: str) -> datetime | None:
    """Return when an object was written last; None when there is none."""
    with suppress(FileNotFoundError), _troubles():
        return obstore.head(store, key)["last_modified"]
    return None


def below(store: ObjectStore, prefix: str) -> Iterator[tuple[str, datetime]]:
    """Yield the key of each object in a folder, at any depth, and when it was written last."""
    with suppress(FileNotFoundError), _troubles():
        for batch in obstore.list(store, prefix=prefix):
            for meta in batch:
                yield meta["path"], meta["last_modified"]


def folders(store: ObjectStore, prefix: str) -> list[str]:
    """Return the names of the folders in a folder."""
    with suppress(FileNotFoundError), _troubles():
        found: Sequence[str] = obstore.list_with_delimiter(store, prefix=prefix)["common_prefixes"]
        return [path.rstrip("/").rpartition("/")[2] for path in found]
    return []


def remove(store: ObjectStore, key: str) -> None:
    """Remove an object, if there is one."""
    with suppress(FileNotFoundError), _troubles():
        obstore.delete(store, key)


@contextmanager
def _troubles() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise StoreUnavailable(store_trouble(error)) from error
