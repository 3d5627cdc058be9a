"""Data sets, and the sample of a data set that an audit measures.

A data set is a folder of images to which the operator has given a name, or the built-in ``synthetic``.
"""

import errno
import hashlib
import os
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from PIL import Image

from worker.errors import AuditError
from worker.images.canvas import rgb
from worker.images.synthetic import dead_leaves

SYNTHETIC = "synthetic"
EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"}
)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""The formats that a file may have, whatever its name. Some of Pillow's other readers start other programs."""

Load = Callable[[str], Image.Image]


@dataclass(frozen=True)
class Sample:
    """The chosen images.

    ``names``    their names, sorted
    ``load``     loads an image by name
    ``sha256``   the SHA-256 of the list of names
    ``seed``     chose them
    ``version``  returns, for a name, a text that is another one when the image is another one
    ``size``     returns, for a name, how many bytes the image has, which is the same for each copy of it
    """

    names: list[str]
    load: Load
    sha256: str
    seed: int
    version: Callable[[str], str]
    size: Callable[[str], int]

    def shuffled(self) -> list[str]:
        """Return the names in the random order of measuring, so that those measured first are a random sample, too."""
        return random.Random(self.seed).sample(self.names, len(self.names))


def open_dataset(dataset: str, datasets: Mapping[str, Path], num_images: int, seed: int) -> Sample:
    """Choose a sample of ``num_images`` from the data set ``dataset``; ``datasets`` maps names to folders.

    Raises AuditError if there is no such data set, or if its folder is missing or empty or has too few images.
    """
    if dataset == SYNTHETIC:
        names = [f"{SYNTHETIC}-{index:08d}" for index in range(num_images)]
        load = partial(_load_synthetic, seed)
        return Sample(names, load, list_sha256(names), seed, lambda _name: f"seed {seed}", lambda _name: 0)
    if dataset not in datasets:
        known = ", ".join(sorted({*datasets, SYNTHETIC}))
        raise AuditError(
            "unknown-dataset",
            f"There is no data set {dataset!r} here. Ask for one of: {known}; or have the operator configure it.",
        )
    try:
        available = listing(Path(datasets[dataset]))
        state = "holds no images"
    except OSError as error:
        available = []
        state = f"cannot be read ({error.strerror})"
    if not available:
        raise AuditError(
            "dataset-unavailable",
            f"The folder of data set {dataset!r} {state}. The operator must put images there "
            f"({', '.join(sorted(EXTENSIONS))}; subfolders are searched), let the worker read it, "
            "or configure another folder.",
        )
    names = choose(available, num_images, seed)
    root = Path(datasets[dataset])
    version, size = partial(file_version, root), partial(file_size, root)
    return Sample(names, partial(load_file, root), list_sha256(names), seed, version, size)


def listing(root: Path) -> list[str]:
    """List all images below ``root`` by their relative paths with '/', sorted as byte strings, but no hidden files."""
    return sorted(_walk(root), key=os.fsencode)


def count(root: Path) -> int:
    """Count the images below ``root``."""
    return sum(1 for _ in _walk(root))


def choose(names: Sequence[str], num_images: int, seed: int) -> list[str]:
    """Let ``random.Random(seed)`` choose ``num_images`` of the names, and sort them as byte strings."""
    if num_images > len(names):
        asked = "1 image was" if num_images == 1 else f"{num_images} images were"
        raise AuditError(
            "too-few-images",
            f"{asked} asked for, but the data set has {len(names)}. "
            f"Ask for at most {len(names)}, or choose another data set.",
        )
    return sorted(random.Random(seed).sample(names, num_images), key=os.fsencode)


def list_sha256(names: Sequence[str]) -> str:
    """Return the SHA-256 (hex) of the names, one per line, in their bytes on disk."""
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def load_file(root: Path, name: str) -> Image.Image:
    """Read the image ``root/name`` as RGB. Raises ValueError for a name that would leave ``root``."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError(f"{name!r} is not a path inside the data set")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(root / path, formats=FORMATS) as image:
            return rgb(image)


def file_version(root: Path, name: str) -> str:
    """Return the size of the file ``root/name``, the date of its content, and when anything about it last changed.

    Programs that copy or unpack files choose the date of the content. Nobody chooses the other one.
    """
    try:
        status = (root / name).stat()
    except OSError as error:
        return f"error {error.errno}"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def file_size(root: Path, name: str) -> int:
    """Return how many bytes the file ``root/name`` has; -1 if it cannot be found."""
    try:
        return (root / name).stat().st_size
    except OSError:
        return -1


def _walk(root: Path) -> Iterator[str]:
    """Yield the names of the images below ``root``.

    Links are followed, but each folder is visited once: at the first of its paths, in the order of byte strings.
    """
    visited: set[tuple[int, int]] = set()
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        inside = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or _leads_nowhere(entry):
                    continue
                if entry.is_dir():
                    inside.append((Path(entry.path), f"{prefix}{entry.name}/"))
                elif Path(entry.name).suffix.lower() in EXTENSIONS and entry.is_file():
                    yield prefix + entry.name
        waiting += sorted(inside, key=lambda item: os.fsencode(item[1]), reverse=True)


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a link to nothing or to itself, or ends a path of more links than the system follows."""
    if not entry.is_symlink():
        return False
    try:
        entry.stat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            return True
        raise
    return False


def _load_synthetic(seed: int, name: str) -> Image.Image:
    return dead_leaves(seed, int(name.rpartition("-")[2]))
