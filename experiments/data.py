"""The images that the experiments train and validate on: MNIST, CIFAR-10, and scikit-learn's handwritten digits."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision import datasets

SPLIT_SEED = 0
VALIDATION_SHARE = 0.2
ROTATION_FREE = (2, 3, 4, 5, 7, 9)
"""The digits of MNIST6: without 0, 1 and 8, which half a turn hardly changes, and without 6, which it makes a 9."""


class DataError(Exception):
    """The images cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Images:
    """``pixels`` (N, 3, side, side) uint8, and what they show: ``labels`` (N, questions) int64."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, chosen: Tensor) -> "Images":
        return Images(self.pixels[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Data:
    """A data set. ``classes`` has the number of answers to each question that a network is trained to answer."""

    name: str
    training: Images
    validation: Images
    classes: tuple[int, ...]

    @property
    def side(self) -> int:
        return self.training.pixels.shape[-1]

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 (hex) of all pixels and labels."""
        digest = hashlib.sha256(repr((self.name, self.classes)).encode())
        for images in (self.training, self.validation):
            for tensor in (images.pixels, images.labels):
                digest.update(f"{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    @cached_property
    def mean(self) -> tuple[float, float, float]:
        """The mean of the training images in each channel, where white is 1."""
        return _triple(_scaled(self.training.pixels).mean((0, 2, 3)))

    @cached_property
    def std(self) -> tuple[float, float, float]:
        """The standard deviation of the training images in each channel, where white is 1."""
        return _triple(_scaled(self.training.pixels).std((0, 2, 3)))

    def limited(self, training: int, validation: int) -> "Data":
        """Leave out all but so many images of either kind, those that come first in a random order."""
        return replace(self, training=_some(self.training, training), validation=_some(self.validation, validation))


def digits(side: int) -> Data:
    """Read the 1,797 handwritten digits that scikit-learn brings, 8 x 8 grey pixels each, resized to ``side`` pixels by
    cubic interpolation. A fifth of them, drawn at random, are for validation."""
    from sklearn.datasets import load_digits

    read = load_digits()
    grey = torch.from_numpy(read.images).float()[:, None] / 16
    resized = functional.interpolate(grey, (side, side), mode="bicubic", align_corners=False).clamp(0, 1)
    images = _images((255 * resized).round().to(torch.uint8)[:, 0], read.target)
    order = _order(len(images))
    validation = round(VALIDATION_SHARE * len(images))
    return Data("digits", images[order[validation:]], images[order[:validation]], (10,))


def mnist(folder: Path, download: bool = False) -> Data:
    """Read MNIST from the IDX files in ``folder``/MNIST/raw, where torchvision keeps them. Raises DataError."""
    sets = [_read(datasets.MNIST, "MNIST", folder, train, download) for train in (True, False)]
    for read in sets:
        _refuse_unlike_mnist(read.data, read.targets, folder)
    training, validation = (_images(read.data, read.targets) for read in sets)
    return Data("mnist", training, validation, (10,))


def cifar10(folder: Path, download: bool = False) -> Data:
    """Read CIFAR-10's version for Python from ``folder``/cifar-10-batches-py, where torchvision keeps it.

    The files are pickles; torchvision compares each with its published checksum before it reads any. Raises DataError.
    """
    sets = [_read(datasets.CIFAR10, "CIFAR-10", folder, train, download) for train in (True, False)]
    training, validation = (_images(torch.from_numpy(read.data), read.targets) for read in sets)
    return Data("cifar10", training, validation, (10,))


def mnist6(data: Data) -> Data:
    """Keep the digits that no rotation makes another digit or the same one. Raises DataError if there are none."""
    return replace(
        data, name=f"{data.name}6", training=_six(data.training), validation=_six(data.validation), classes=(6,)
    )


def rotated(data: Data, seed: int, predicted: bool) -> Data:
    """Turn each image upfront by a random number of quarters, which the network is asked for, too, if ``predicted``."""
    generator = torch.Generator().manual_seed(seed)
    training, validation = (_turned(images, generator, predicted) for images in (data.training, data.validation))
    name, classes = ("rot-eq", (*data.classes, 4)) if predicted else ("rot-inv", data.classes)
    return Data(f"{data.name}-{name}", training, validation, classes)


def _read(kind: type, name: str, folder: Path, train: bool, download: bool) -> datasets.MNIST | datasets.CIFAR10:
    try:
        return kind(folder, train=train, download=download)
    except (RuntimeError, OSError, ValueError) as error:
        place = folder / ("MNIST/raw" if name == "MNIST" else "cifar-10-batches-py")
        advice = "" if download else f" Put its files into {place}, or have them downloaded by --download."
        raise DataError(f"{name} cannot be read from {folder}: {error}.{advice}") from error


def _refuse_unlike_mnist(pixels: Tensor, labels: Tensor, folder: Path) -> None:
    """Raise DataError unless each image has 28 x 28 pixels and a digit; torchvision does not check that."""
    if pixels.shape != (len(labels), 28, 28) or not len(labels):
        found = f"images of the shape {tuple(pixels.shape)} with {len(labels)} labels"
    elif int(labels.max()) > 9:
        found = f"the label {int(labels.max())}"
    else:
        return
    raise DataError(f"MNIST in {folder} has {found}; each image needs 28 x 28 pixels and a label from 0 to 9.")


def _images(pixels: Tensor, labels: Tensor | Sequence[int]) -> Images:
    """Bring pixels (N, side, side) or (N, side, side, 3) and their labels (N,) into one form."""
    colour = pixels.permute(0, 3, 1, 2) if pixels.ndim == 4 else pixels[:, None].expand(-1, 3, -1, -1)
    return Images(colour.contiguous(), torch.as_tensor(np.asarray(labels), dtype=torch.int64)[:, None])


def _six(images: Images) -> Images:
    kept = images[torch.isin(images.labels[:, 0], torch.tensor(ROTATION_FREE))]
    if not len(kept):
        raise DataError(
            f"None of the {len(images)} images shows a digit of MNIST6: {', '.join(map(str, ROTATION_FREE))}."
        )
    return Images(kept.pixels, torch.searchsorted(torch.tensor(ROTATION_FREE), kept.labels))


def _turned(images: Images, generator: torch.Generator, predicted: bool) -> Images:
    quarters = torch.randint(4, (len(images),), generator=generator)
    pixels = images.pixels.clone()
    for number in (1, 2, 3):
        pixels[quarters == number] = torch.rot90(images.pixels[quarters == number], number, (2, 3))
    return Images(pixels, torch.cat([images.labels, quarters[:, None]], 1) if predicted else images.labels)


def _some(images: Images, number: int) -> Images:
    return images[_order(len(images))[:number]]


def _order(number: int) -> Tensor:
    return torch.randperm(number, generator=torch.Generator().manual_seed(SPLIT_SEED))


def _scaled(pixels: Tensor) -> Tensor:
    return pixels.double() / 255


def _triple(values: Tensor) -> tuple[float, float, float]:
    red, green, blue = (round(value, 6) for value in values.tolist())
    return red, green, blue
