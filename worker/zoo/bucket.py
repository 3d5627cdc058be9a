"""Copy files from a bucket to this machine for as long as they are needed."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url
from zooaudit.contract import Progress

CHUNK = 8 * 2**20


def etags(url: str) -> dict[str, str]:
    """Map the names of the files directly at ``url`` to their ETags, which differ where contents differ.

    Raises OSError if the bucket does not answer.
    """
    try:
        objects = obstore.list_with_delimiter(_store(url))["objects"]
    except BaseError as error:
        raise _unavailable(error) from error
    return {PurePosixPath(item["path"]).name: item["e_tag"] or f"{item['last_modified']}" for item in objects}


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
    objects = obstore.list_with_delimiter(store)["objects"]
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


def _unavailable(error: BaseError) -> OSError:
    return OSError(str(error).splitlines()[0])
