"""The files of the operator's checkpoints in a folder: which there are, and what is in them now.

Only regular files are opened. A link counts as what it leads to, wherever that lies: the folder is the operator's, and
nobody else can put links there. A pipe, socket or device, or a link to one, would have no end, and is no checkpoint.
"""

import hashlib
import os
import stat
from collections.abc import Collection, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from worker.errors import AuditError
from worker.zoo.state_dicts import legible

SUFFIXES = (".safetensors", ".pth.tar", ".pth", ".pt", ".ckpt", ".bin")
MAX_CHECKPOINTS_NAMED = 20
IRREGULAR = "no regular file, but a folder, a pipe, a device, or a link to one of these or to nothing"

Stamp = tuple[str, int, int, int, int]
"""The path, device, inode, size and time of change of a file, by which a file that stays the same is known again."""

digests: dict[Stamp, str] = {}
"""The SHA-256 of the files that this process has read. A process that only waits for others can add what they found."""


class Unavailable(OSError):
    """The bucket does not answer, which says nothing of the file."""


def refused(slug: str, name: str, detail: str) -> AuditError:
    """Build the error that refuses the checkpoint of this name."""
    return AuditError(slug, f"checkpoint:{name}: {detail}")


class Place(Protocol):
    """Where checkpoints are: a :class:`Folder`, or a ``Bucket`` (worker.zoo.bucket)."""

    is_set: bool
    """Whether the operator has named a place at all."""

    @property
    def files(self) -> Mapping[str, object]:
        """What can be read there, by name."""

    @property
    def others(self) -> Collection[str]:
        """The names of what else is there."""

    def size(self, file: str) -> int: ...

    def open(self, file: str) -> BufferedReader: ...

    def tag(self, file: str) -> str:
        """Return a text that differs where the contents of a file differ."""


class Folder:
    """A folder of checkpoints. ``files`` maps the names of its regular files to their paths, ``others`` are the rest.

    Without a folder there are neither.
    """

    def __init__(self, path: str | Path | None) -> None:
        there = list(Path(path).iterdir()) if path and Path(path).is_dir() else []
        self.files = {file.name: file for file in there if file.is_file()}
        self.others = {file.name for file in there}.difference(self.files)
        self.is_set = bool(path)

    def size(self, file: str) -> int:
        return self.files[file].stat().st_size

    def open(self, file: str) -> BufferedReader:
        return open_regular(self.files[file])

    def tag(self, file: str) -> str:
        """Return the SHA-256 (hex) of a file, which is read only if it has changed since the last time."""
        with self.open(file) as stream:
            status = os.fstat(stream.fileno())
            path = str(self.files[file])
            stamp = (path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp not in digests:
                digests[stamp] = hashlib.file_digest(stream, "sha256").hexdigest()
        return digests[stamp]


def open_regular(file: Path) -> BufferedReader:
    """Open a regular file. Raises OSError for anything else, such as a pipe, without waiting for who writes into it."""
    stream = os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(f"it is {IRREGULAR}")
    return stream


def choose(name: str, place: Place) -> tuple[str, str]:
    """Choose the weights of the checkpoint among the files, and return their name and that of the file of options.

    Raises AuditError if the weights are not there, or if the options are there and are no regular file.
    """
    names_of = {file: checkpoint for file in sorted(place.files) if (checkpoint := name_of(file))}
    weights = next((file for file, checkpoint in names_of.items() if checkpoint == name), None)
    if weights is None:
        if odd := next((file for file in sorted(place.others) if name_of(file) == name), None):
            raise refused("unknown-checkpoint", name, f"{odd} is {IRREGULAR}.")
        names = ", ".join(map(legible, sorted(set(names_of.values()))[:MAX_CHECKPOINTS_NAMED])) or "none"
        unset = "" if place.is_set else " The operator has not set ZOOAUDIT_CHECKPOINTS, the folder that they are in."
        raise refused("unknown-checkpoint", name, f"No checkpoint is called so; there are: {names}.{unset}")
    if (options := f"{name}.json") in place.others:
        raise refused("checkpoint-options", name, f"{options} is {IRREGULAR}.")
    return weights, options


def name_of(file: str) -> str | None:
    """Return the name of the checkpoint whose weights a file has; None if its ending says that it holds none."""
    return next((file.removesuffix(suffix) for suffix in SUFFIXES if file.endswith(suffix)), None)
