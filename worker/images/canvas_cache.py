"""Canvases kept on disk, so that all passes and audits that see the same images in the same way decode them once.

An entry is a file, named by a hash of all that its pixels depend on. It holds the canvases of a sample, or of the first
places of one, as a NumPy array (.npy), and behind that what JSON says of each place: the checksum of its canvas, or why
there is none. A file is put in place whole and never changed, so that workers can share a folder without waiting for
each other. Nothing here can make an audit fail.
"""

import fcntl
import hashlib
import io
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import weakref
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL
from PIL import features

from worker.images.canvas import Canvas, Preprocessing
from worker.images.dataset import Sample
from worker.images.decoding import PassingFault

PROTOCOL = 1
"""Part of every entry's name. Change it when the same image would become another canvas, or a file is laid out anew."""
KEPT_FREE_BYTES = 2**30
"""How much of the disk is left to others: to reports, weights and the queue."""
DECODERS = (PIL.__version__, str(features.version("jpg")), str(features.version("webp")), np.__version__)
"""The versions of all that turns a file into pixels."""
BYTES_OF_JSON = 16
"""How much an entry says of each place, at most, on average."""
ENTRY, PART = ".npy", ".part"

_log = logging.getLogger(__name__)


def name_of_entry(sample: Sample, preprocessing: Preprocessing, side: int) -> str:
    """Return the SHA-256 (hex) of all that the canvases of ``sample`` depend on, which files they are made of included.

    What is done to canvases later, such as the normalisation, is no part of it.
    """
    how = {
        "protocol": PROTOCOL,
        "decoders": DECODERS,
        "shorter side": max(preprocessing.resize, side),
        "interpolation": preprocessing.interpolation.name,
        "squash": preprocessing.squash,
        "side": side,
        "seed": sample.seed,
    }
    digest = hashlib.sha256(json.dumps(how).encode())
    for name in sample.shuffled():
        digest.update(b"\n%s\0%s" % (os.fsencode(name), sample.version(name).encode()))
    return digest.hexdigest()


@dataclass(frozen=True)
class CanvasCache:
    """A folder of canvases whose files take at most ``gib`` GiB; 0 keeps none."""

    folder: Path
    gib: float
    _told: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def find(self, name: str, side: int) -> "KeptCanvases | None":
        """Return the canvases that the entry ``name`` holds, and note its use; None if there is none, or a damaged one,
        which is removed."""
        try:
            kept = KeptCanvases(self.path(name), side)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.tell(error)
            return None
        except ValueError as error:
            self.remove(name, str(error))
            return None
        _note_use(self.path(name))
        return kept

    def path(self, name: str) -> Path:
        return self.folder / f"{name}{ENTRY}"

    def remove(self, name: str, damage: str) -> None:
        """Remove a damaged entry."""
        _log.warning("kept canvases are damaged and decoded again: %s: %s", self.path(name), damage)
        with suppress(OSError):
            self.path(name).unlink(missing_ok=True)

    def tell(self, error: OSError) -> None:
        """Log why canvases cannot be kept or read, each reason once."""
        reason = error.strerror or str(error)
        if reason not in self._told:
            self._told.add(reason)
            _log.warning("canvases are decoded anew in every pass: %s: %s", self.folder, reason)

    def new_file(self, size: int) -> tuple[int, Path]:
        """Make a locked file that reserves ``size`` bytes of the folder, and return its descriptor and path.

        The least recently used entries make room for it. Raises OSError if there is none.
        """
        if size > self.gib * 2**30:
            raise OSError(f"the sample would take {size / 2**30:.3g} GiB, more than ZOOAUDIT_CACHE_GIB, {self.gib:g}")
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(PART, dir=self.folder)
        path = Path(name)
        try:
            # The system unlocks it when this process ends, however it ends. Until then others let it be.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # After the lock: others remove what has a size and no lock. Before room is made: of two that begin at the
            # same time, one at least sees the other's size.
            os.ftruncate(descriptor, size)
            self._make_room(path, size)
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return descriptor, path

    def _make_room(self, new: Path, size: int) -> None:
        """Remove what dead writers left, and then the least recently used entries, until ``size`` bytes fit beside the
        others. Raises OSError if they still do not."""
        others = {path: status for path, status in self._files() if path != new}
        parts = [path for path, status in others.items() if path.suffix == PART and status.st_size]
        for path in filter(_is_abandoned, parts):
            path.unlink(missing_ok=True)
            del others[path]
        taken = size + sum(status.st_size for status in others.values())
        on_disk = sum(status.st_blocks * 512 for status in others.values())
        bound = min(self.gib * 2**30, on_disk + shutil.disk_usage(self.folder).free - KEPT_FREE_BYTES)
        entries = sorted(
            (path for path in others if path.suffix == ENTRY), key=lambda path: others[path].st_mtime_ns, reverse=True
        )
        if taken - sum(others[path].st_size for path in entries) > bound:
            raise OSError("there is no room: other audits write, or less than 1 GiB of the disk would be left")
        while taken > bound:
            path = entries.pop()
            path.unlink(missing_ok=True)
            taken -= others[path].st_size

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.iterdir():
            if path.suffix in (ENTRY, PART):
                with suppress(FileNotFoundError):
                    yield path, path.stat()


class KeptCanvases:
    """The canvases of the first places of a sample, as many as its length, read from an entry.

    It stays readable when the entry is removed. Making one raises ValueError if the entry is damaged.
    """

    def __init__(self, path: Path, side: int) -> None:
        self._side = side
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        with open(self._descriptor, "rb", closefd=False) as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("it is laid out in another way")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            if (*shape[1:], dtype) != (side, side, 3, np.uint8) or shape[0] < 0:
                raise ValueError(f"it holds {dtype} of the shape {shape}")
            self._first = file.tell()
            file.seek(self._first + shape[0] * 3 * side**2)
            end = file.read()
        said, checksum = end[:-8], end[-8:]
        if int(checksum, 16) != zlib.crc32(said):
            raise ValueError("its end is not what was written")
        self._places: list[int | str] = json.loads(said)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def images(self) -> int:
        """How many of the places have a canvas."""
        return sum(isinstance(place, int) for place in self._places)

    def __iter__(self) -> Iterator[Canvas | str | None]:
        """Yield the canvas of each place, or the reason why it has none; None if it is not as it was written."""
        for place, said in enumerate(self._places):
            yield said if isinstance(said, str) else self._read(place, said)

    def _read(self, place: int, checksum: int) -> Canvas | None:
        # Not mapped into memory: a page that the disk cannot give would kill this process.
        canvas = np.empty((self._side, self._side, 3), np.uint8)
        try:
            count = os.preadv(self._descriptor, [canvas.data], self._first + place * canvas.nbytes)
        except OSError:
            return None
        return canvas if count == canvas.nbytes and zlib.crc32(canvas.data) == checksum else None


class CanvasWriter:
    """Writes the canvases of a sample of ``places`` images, place after place, into a new entry.

    It begins with those of ``kept``. If something goes wrong, it says so in the log and keeps nothing from then on.
    """

    def __init__(self, cache: CanvasCache, name: str, side: int, places: int, kept: KeptCanvases | None) -> None:
        self._cache = cache
        self._name = name
        self._side = side
        self._places = places
        self._kept = kept
        self._said: list[int | str] = []
        self._file: tuple[int, Path] | None = None
        self._ended = False

    def add(self, canvas: Canvas | str) -> None:
        """Write the canvas of the next place, or the reason why it has none.

        After one that may have a canvas another time nothing more is written.
        """
        self._ended = self._ended or isinstance(canvas, PassingFault)
        if self._ended:
            return
        try:
            if self._file is None:
                size = self._at(self._places) + BYTES_OF_JSON * (self._places + 1)
                self._file = self._cache.new_file(size)
                for earlier in self._kept or ():
                    self._append(self._file[0], earlier)
            self._append(self._file[0], canvas)
        except OSError as error:
            self._give_up(error)

    def publish(self) -> None:
        """Put the entry in place, unless there is one already that holds as much."""
        if self._file is None:
            return
        if sys.is_finalizing():  # A pass was left open when the program ended, and numpy can do nothing any more.
            self._close()
            return
        descriptor, part = self._file
        path = self._cache.path(self._name)
        said = json.dumps(self._said).encode()
        try:
            end = b"%s%08x" % (said, zlib.crc32(said))
            _write(descriptor, end, self._at(len(self._said)))
            os.ftruncate(descriptor, size := self._at(len(self._said)) + len(end))
            _write(descriptor, _header(len(self._said), self._side), 0)
            _note_use(descriptor)
            if not path.exists() or path.stat().st_size < size:
                part.replace(path)
        except OSError as error:
            self._cache.tell(error)
        self._close()

    def _append(self, descriptor: int, canvas: Canvas | str | None) -> None:
        if canvas is None:
            raise OSError("an entry became unreadable while it was read")
        if not isinstance(canvas, str):
            _write(descriptor, canvas.data.cast("B"), self._at(len(self._said)))
        self._said.append(canvas if isinstance(canvas, str) else zlib.crc32(canvas.data))

    def _at(self, place: int) -> int:
        """Return where in the file the canvas of ``place`` begins."""
        return len(_header(0, self._side)) + place * 3 * self._side**2

    def _give_up(self, error: OSError) -> None:
        self._ended = True
        self._cache.tell(error)
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            descriptor, part = self._file
            self._file = None
            with suppress(OSError):
                part.unlink(missing_ok=True)
            os.close(descriptor)


def _header(places: int, side: int) -> bytes:
    """Return how a .npy file of this many canvases begins. Its length does not depend on how many they are."""
    file = io.BytesIO()
    how = {"descr": "|u1", "fortran_order": False, "shape": (places, side, side, 3)}
    np.lib.format.write_array_header_1_0(file, how)
    return file.getvalue()


def _write(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data``; a disk that is nearly full takes a part of it first."""
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, offset)
        offset += count
        rest = rest[count:]


def _note_use(file: int | Path) -> None:
    """Set the date of the file's last use to now. Left to the file system, uses within some milliseconds of each other
    would have the same date."""
    now = time.time_ns()
    with suppress(OSError):
        os.utime(file, ns=(now, now))


def _is_abandoned(part: Path) -> bool:
    """Tell whether the process that wrote this file has ended."""
    try:
        descriptor = os.open(part, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
