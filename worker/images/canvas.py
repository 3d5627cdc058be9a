"""From an image to its canvas: the pixels that all the views of it are cut from. Pillow and numpy only."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_PIXELS = 89_478_485
"""The largest image that is made by resizing, as Pillow's own limit for decoding: a quarter of a gigabyte in RGB."""

Canvas = NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessing:
    """A model's own evaluation preprocessing. Sizes in pixels; ``mean`` and ``std`` of RGB in [0, 1].

    ``resize`` is the shorter side after resizing; with ``squash`` it is both sides, whatever the image's shape.
    """

    input_size: int
    resize: int
    interpolation: Image.Resampling
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    squash: bool = False

    def changed(self, input_size: int | None = None, **said: Any) -> "Preprocessing":
        """Another mean or std, or another input size, which sees the same share of the image."""
        if input_size:
            said |= {"input_size": input_size, "resize": self.resize * input_size // self.input_size}
        return replace(self, **said)


def canvas(image: Image.Image, preprocessing: Preprocessing, canvas_size: int) -> Canvas:
    """The middle (canvas_size, canvas_size, 3) of the image, resized as the model's own preprocessing does.

    The shorter side becomes max(resize, canvas_size). The arithmetic is torchvision's, so that for
    ``canvas_size == input_size`` the canvas is what both zoos would show the model, to the last bit.
    Raises ValueError when the resized image would be unreasonably large.
    """
    if image.mode != "RGB":
        image = rgb(image)
    size = _resized(image.size, max(preprocessing.resize, canvas_size), preprocessing.squash)
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"an image of {image.width} x {image.height} is too long to be resized to {size}")
    if size != image.size:
        image = image.resize(size, preprocessing.interpolation)
    # Python rounds halves to even, and so does torchvision's CenterCrop.
    left, top = (round((side - canvas_size) / 2.0) for side in size)
    return np.array(image.crop((left, top, left + canvas_size, top + canvas_size)), np.uint8)


def rgb(image: Image.Image) -> Image.Image:
    """As both zoos convert, ``convert("RGB")``, but 16-bit grey is scaled to 8 bits: Pillow would clip it to white.

    EXIF orientation is not applied: the zoos do not apply it either. Raises ValueError for pixels of no known range.
    """
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise ValueError("which values are black and white is not known of float or 32-bit pixels")
    if image.mode.startswith("I"):  # I;16, I;16B, ...; I is what Pillow makes of a 16-bit PGM.
        wide = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def _resized(size: tuple[int, int], shorter: int, squash: bool) -> tuple[int, int]:
    """(width, height) after torchvision.transforms.Resize: of the shorter side, or of both when squashed."""
    width, height = size
    if squash:
        return shorter, shorter
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter
