"""Data sets: which images are measured, and the canvas of each. Torch is imported only where processes are made.

A data set is a folder of images that the operator has named, or the built-in ``synthetic``.
"""

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
from worker.images.canvas import Preprocessing as Preprocessing
from worker.images.canvas import rgb
from worker.images.synthetic import dead_leaves

SYNTHETIC = "synthetic"
EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"}
)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""What may be inside the file, whatever its name: Pillow has other readers, some of which start other programs."""

Load = Callable[[str], Image.Image]


@dataclass(frozen=True)
class Sample:
    """The chosen images: their names in order, how to load one, the SHA-256 of the list, and the seed that chose it."""

    names: list[str]
    load: Load
    sha256: str
    seed: int

    def shuffled(self) -> list[str]:
        """The names in the order in which they are measured, so that those measured by any time are a random sample."""
        return random.Random(self.seed).sample(self.names, len(self.names))


def open_dataset(dataset: str, datasets: Mapping[str, Path], num_images: int, seed: int) -> Sample:
    """The sample of ``num_images`` from the data set of that name.

    Raises AuditError when there is no such data set, its folder is missing or empty, or has too few images.
    """
    if dataset == SYNTHETIC:
        names = [f"{SYNTHETIC}-{index:08d}" for index in range(num_images)]
        return Sample(names, partial(_load_synthetic, seed), list_sha256(names), seed)
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
    names = sample(available, num_images, seed)
    return Sample(names, partial(load_file, Path(datasets[dataset])), list_sha256(names), seed)


def listing(root: Path) -> list[str]:
    """Relative paths, with '/', of all the images below ``root``, sorted as byte strings. Hidden names are left out."""
    return sorted(_walk(root, "", frozenset()), key=os.fsencode)


def count(root: Path) -> int:
    """How many images there are below ``root``."""
    return sum(1 for _ in _walk(root, "", frozenset()))


def sample(names: Sequence[str], num_images: int, seed: int) -> list[str]:
    """``num_images`` of the names, chosen by ``random.Random(seed)``, sorted as byte strings."""
    if num_images > len(names):
        raise AuditError(
            "too-few-images",
            f"{num_images} images were asked for, but the data set has {len(names)}. "
            f"Ask for at most {len(names)}, or choose another data set.",
        )
    return sorted(random.Random(seed).sample(names, num_images), key=os.fsencode)


def list_sha256(names: Sequence[str]) -> str:
    """SHA-256 (hex) of the names, one a line, in the bytes that they have on disk."""
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def load_file(root: Path, name: str) -> Image.Image:
    """The image ``root/name``, in RGB. Raises ValueError for a name that would leave ``root``."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError(f"{name!r} is not a path inside the data set")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(root / path, formats=FORMATS) as image:
            return rgb(image)


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Names of images below ``folder``. Links are followed, but never in circles: ``above`` has (device, inode)."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", above | {here})
            elif Path(entry.name).suffix.lower() in EXTENSIONS and entry.is_file():
                yield prefix + entry.name


def _load_synthetic(seed: int, name: str) -> Image.Image:
    return dead_leaves(seed, int(name.rpartition("-")[2]))
