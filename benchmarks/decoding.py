"""How fast images become pixels: ``python -m benchmarks.decoding [FOLDER] [--images N] [--side PX]``

Passes over the images of a folder (by default synthetic ones as JPEG, 512 x 512), for canvases of 256 px as models with
an input of 224 px are shown them: decoded, decoded and kept, and read from what was kept.
"""

import argparse
import tempfile
import time
from pathlib import Path

from PIL import Image

from worker.images import Preprocessing, Sample, open_dataset
from worker.images.canvas_cache import CanvasCache
from worker.images.stream import Stream
from worker.images.synthetic import dead_leaves

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--side", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch, "synthetic")
        if options.folder is None:
            folder.mkdir()
            for index in range(min(64, options.images)):
                dead_leaves(0, index).save(folder / f"{index}.jpg", quality=90)
            for index in range(64, options.images):
                (folder / f"{index}.jpg").write_bytes((folder / f"{index % 64}.jpg").read_bytes())
        sample = open_dataset("images", {"images": folder}, options.images, 0)
        cache = CanvasCache(Path(scratch, "cache"), 100.0)
        for what, kept in (("decoded", None), ("decoded and kept", cache), ("read", cache)):
            print(f"{what:17} {images_per_second(sample, options.side, kept):8.0f} images/s", flush=True)


def images_per_second(sample: Sample, side: int, cache: CanvasCache | None) -> float:
    """Measure one pass, without the first batch, which waits for decoding processes to start."""
    preprocessing = Preprocessing(224, 248, Image.Resampling.BICUBIC, (0.5,) * 3, (0.5,) * 3)
    batches = Stream(sample, preprocessing, side, cache=cache).batches(BATCH)
    next(batches)
    started_s = time.perf_counter()
    images = sum(map(len, batches))
    return images / (time.perf_counter() - started_s)


if __name__ == "__main__":
    main()
