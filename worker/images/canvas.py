"""From an image to its canvas, the square of pixels from which all views of the image are cut."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_PIXELS = 64_000_000
"""How many pixels an image may have, in its file and when it is resized. Pillow keeps RGB in 4 bytes a pixel, so
such an image takes a quarter of a gigabyte, and while it is decoded up to 0.5 GB with transparency or in CMYK, 0.8 GB
as a progressive JPEG, 1 GB as WebP (tests/worker/images/test_memory.py)."""
STRIP_ROWS = 64
"""How many rows are converted at a time, where a conversion needs more memory than its result."""

Canvas = NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessing:
    """How a model's own evaluation prepares images. Sizes are in pixels; ``mean`` and ``std`` are of RGB in [0, 1].

    ``resize`` is the length of the shorter side after resizing; with ``squash`` it is the length of both sides.
    """

    input_size: int
    resize: int
    interpolation: Image.Resampling
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    squash: bool = False

    def changed(self, input_size: int | None = None, **normalisation: Any) -> "Preprocessing":
        """Copy it with another ``mean`` or ``std``, or another input size, which shows the same share of the image."""
        if input_size is None:
            return replace(self, **normalisation)
        resize = self.resize * input_size // self.input_size
        return replace(self, input_size=input_size, resize=resize, **normalisation)


def canvas(image: Image.Image, preprocessing: Preprocessing, canvas_size: int) -> Canvas:
    """Resize the image as the model's own preprocessing does and crop its middle, (canvas_size, canvas_size, 3).

    The shorter side becomes max(resize, canvas_size). The arithmetic is torchvision's, so that with
    ``canvas_size == input_size`` the canvas is what both zoos would show the model, to the last bit.
    Raises ValueError if the image is, or when resized would be, unreasonably large.
    """
    image = rgb(image)
    size = _resized(image.size, max(preprocessing.resize, canvas_size), preprocessing.squash)
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"an image of {image.width} x {image.height} px is too long to be resized to {size}")
    if size != image.size:
        image = image.resize(size, preprocessing.interpolation)
    # torchvision's CenterCrop rounds halves to even, as Python does.
    left, top = (round((side - canvas_size) / 2.0) for side in size)
    return np.array(image.crop((left, top, left + canvas_size, top + canvas_size)), np.uint8)


def rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB as both zoos do, except that 16-bit grey is scaled to 8 bits, where Pillow would clip it to white.

    EXIF orientation is not applied, because the zoos do not apply it either. Raises ValueError for formats
    that do not say which values are black and white, and, before it is decoded, for an image of too many pixels.
    """
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"an image of {image.width} x {image.height} px has more than the {MAX_PIXELS / 1e6:g} megapixels "
            "that fit into memory"
        )
    if image.mode == "RGB":
        image.load()
        return image  # A conversion would be a copy.
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise ValueError("which values are black and white is not known of float or 32-bit pixels")
    if image.mode.startswith("I"):  # I;16, I;16B, ...; I is what Pillow makes of a 16-bit PGM.
        result = Image.new("RGB", image.size)
        for top in range(0, image.height, STRIP_ROWS):
            strip = image.crop((0, top, image.width, min(top + STRIP_ROWS, image.height)))
            wide = np.clip(np.asarray(strip).astype(np.int64), 0, 65535)
            result.paste(Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert("RGB"), (0, top))
        return result
    return image.convert("RGB")


def _resized(size: tuple[int, int], shorter: int, squash: bool) -> tuple[int, int]:
    """Return (width, height) after torchvision.transforms.Resize has made the shorter side ``shorter`` pixels long, or
    both sides with ``squash``."""
    width, height = size
    if squash:
        return shorter, shorter
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter
