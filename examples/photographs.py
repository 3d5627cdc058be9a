"""Real photographs as a data set: those that scikit-image ships, cut into square tiles that do not overlap.

python -m examples.photographs FOLDER
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

NAMES = (
    *("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "ihc"),
    *("moon", "motorcycle_left", "retina", "rocket"),
)
SMALLEST_TILE_PX = 150
"""Smaller tiles would be enlarged to twice their size and more before a network sees them."""


def write_tiles(folder: Path) -> int:
    """Write all tiles into ``folder``, and return how many there are.

    Raises ModuleNotFoundError if scikit-image is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for name in NAMES:
        for number, tile in enumerate(tiles(photograph(name)), start=1):
            tile.save(folder / f"{name}-{number:02d}.png")
            count += 1
    return count


def photograph(name: str) -> Image.Image:
    """Return a photograph as its file has it: RGB or grey, sides from 300 to 1411 pixels."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("scikit-image is not installed: pip install scikit-image")
    file = next((Path(package.origin).parent / "data").glob(f"{name}.*"))
    with Image.open(file) as image:
        image.load()
        return image


def tiles(image: Image.Image) -> Iterator[Image.Image]:
    """Cut an image into tiles a third as high as its shorter side, row by row; small images into fewer ones."""
    side = max(SMALLEST_TILE_PX, min(image.size) // 3)
    for top in range(0, image.height - side + 1, side):
        for left in range(0, image.width - side + 1, side):
            yield image.crop((left, top, left + side, top + side))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.photographs", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="an empty or new folder, to be named in ZOOAUDIT_DATASETS")
    folder = parser.parse_args(arguments).folder
    try:
        count = write_tiles(folder)
    except (ModuleNotFoundError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{count} tiles of {len(NAMES)} photographs are in {folder}.")
    print(f"With ZOOAUDIT_DATASETS=photographs={folder.absolute()}: --dataset photographs --num-images {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
