"""The validation images of a data set as a folder of pictures, as a worker reads them."""

import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.data import Data


def validation_folder(data: Data, room: int, folder: Path) -> Path:
    """Write the validation images as PNG files into a subfolder of ``folder``, unless it is there; return it.

    A worker shows a model views of an image that is larger by the longest shift, ``room`` px, and the unshifted view is
    at its lower right. So each image is put there, on a ground of the mean colour: the unshifted view is the image
    itself, and nothing is resized.
    """
    pictures = folder / f"{data.name}-{data.sha256[:12]}-{room}"
    if pictures.exists():
        return pictures
    new = folder / f".{pictures.name}.{os.getpid()}"
    new.mkdir(parents=True, exist_ok=True)
    ground = np.array([round(255 * value) for value in data.mean], np.uint8)
    side = data.side + room
    for index, pixels in enumerate(data.validation.pixels.permute(0, 2, 3, 1).numpy()):
        picture = np.broadcast_to(ground, (side, side, 3)).copy()
        picture[room:, room:] = pixels
        Image.fromarray(picture).save(new / f"{index:05d}.png")
    try:
        new.replace(pictures)
    except OSError:  # Another process was faster.
        if not pictures.exists():
            raise
        shutil.rmtree(new)
    return pictures
