"""Read files in a bucket: parts of them where they are, or copies on this machine for as long as they are needed."""

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url
from zooaudit.contract import Progress

from worker.zoo.checkpoint_files import Unavailable

if TYPE_CHECKING:
    from obstore import ObjectMeta

CHUNK = 8 * 2**20
READ_AHEAD = 2**20


class Bucket:
    """The files directly at a URL such as ``s3://bucket/prefix``. ``files`` maps their names to what the bucket says of
    them. Raises OSError if the bucket does not answer."""

    def __init__(self, url: str) -> None:
        self._store = _store(url)
        self.files = {PurePosixPath(item["path"]).name: item for item in _objects(self._store)}
        self.others: frozenset[str] = frozenset()
        self.is_set = True

    def size(self, file: str) -> int:
        return self.files[file]["size"]

    def open(self, file: str) -> io.BufferedReader:
        """Open a file for reading no more than is asked for."""
        return io.BufferedReader(_Remote(self._store, self.files[file]), READ_AHEAD)

    def tag(self, file: str) -> str:
        """Return the ETag of a file, which differs where contents differ."""
        item = self.files[file]
        return item["e_tag"] or f"{item['last_modified']}"


class _Remote(io.RawIOBase):
    """A file of a bucket as Python reads files."""

    def __init__(self, store: ObjectStore, item: "ObjectMeta") -> None:
        self._store = store
        self._path = item["path"]
        self._size = item["size"]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = max(0, min(len(buffer), self._size - self._position))
        if length:
            try:
                chunk = obstore.get_range(self._store, self._path, start=self._position, length=length)
            except BaseError as error:
                raise _unavailable(error) from error
            buffer[:length] = memoryview(chunk)
            self._position += length
        return length


def _objects(store: ObjectStore) -> "Sequence[ObjectMeta]":
    try:
        return obstore.list_with_delimiter(store)["objects"]
    except BaseError as error:
        raise _unavailable(error) from error


@contextmanager
def fetched(
    url: str, is_needed: Callable[[str], bool], on_progress: Callable[[Progress], None] = lambda _progress: None
) -> Iterator[Path]:
    """Copy the files directly at ``url`` into a temporary folder, which exists within this context.

    It has the content of those files whose names ``is_needed`` accepts; the others are empty.
    Raises OSError if the bucket does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="zooaudit-") as name:
        folder = Path(name)
        try:
            _fetch(url, is_needed, on_progress, folder)
        except BaseError as error:
            raise _unavailable(error) from error
        yield folder


def _fetch(url: str, is_needed: Callable[[str], bool], on_progress: Callable[[Progress], None], folder: Path) -> None:
    store = _store(url)
    objects = _objects(store)
    total = sum(item["size"] for item in objects if is_needed(PurePosixPath(item["path"]).name))
    done = 0
    for item in objects:
        name = PurePosixPath(item["path"]).name
        with (folder / name).open("wb") as out:
            if is_needed(name):
                for chunk in obstore.get(store, item["path"]).stream(min_chunk_size=CHUNK):
                    done += out.write(chunk)
                    on_progress(Progress(phase="downloading", done=done, total=total, unit="bytes"))


def _store(url: str) -> ObjectStore:
    return from_url(
        url,
        client_options={"timeout": "60s", "connect_timeout": "10s", "allow_http": True},  # if AWS_ENDPOINT_URL says so
        retry_config={"max_retries": 3, "retry_timeout": timedelta(minutes=2)},
    )


def _unavailable(error: BaseError) -> Unavailable:
    return Unavailable(str(error).splitlines()[0])
