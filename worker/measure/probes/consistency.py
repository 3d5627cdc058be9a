"""Shift consistency (Zhang 2019): how often the top-1 class of two random windows of one image is the same.

Draw d of the image at place i of the sample compares two windows of its canvas, whose first rows and columns are
``numpy.random.default_rng([seed, i, d]).integers(0, canvas - size + 1, size=4)``, in the order row and column of the
first window, row and column of the second. They depend on nothing else, so anyone can cut the same windows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from zooaudit.contract import ModelName

from worker.measure.agreement import agreement
from worker.measure.forward import Receive
from worker.measure.groups import GROUPS
from worker.measure.probes.statistic import NOT_FINITE, Statistic
from worker.measure.similarity import CONSTANT as LEAST_VARIATION
from worker.measure.transforms import Views

OFFSET_PX = 32
"""By so much, at least, two windows of an image may be apart on each axis: as published."""
PUBLISHED = {
    "resnet18": 0.8511,
    "resnet50": 0.8920,
    "resnet101": 0.8981,
    "densenet121": 0.8881,
    "resnext101_32x8d": 0.9133,
    "mobilenet_v2": 0.8650,
}
"""What github.com/adobe/antialiased-cnns publishes of torchvision's first weights, on ImageNet's validation set."""


@dataclass(frozen=True)
class Consistency:
    """The shift consistency over so many ``draws``, pairs of windows of each image."""

    draws: int

    @property
    def views(self) -> int:
        """How many views of an image go through the model."""
        return 2 * self.draws

    def __str__(self) -> str:
        return "shift consistency"


class ConsistencySums:
    """The running sums of a shift consistency, in windows of the size of the ``views``."""

    def __init__(self, key: Consistency, views: Views, seed: int, device: torch.device) -> None:
        self._draws, self._size, self._seed = key.draws, views.size, seed
        self._same = torch.zeros(GROUPS, dtype=torch.float64, device=device)
        self._lowest: Tensor | None = None
        self._highest: Tensor | None = None

    def see(
        self, canvas: Tensor, places: Tensor, members: Tensor, forward: Callable[[Tensor, Receive], Tensor]
    ) -> None:
        """Send the windows of a ``canvas`` (N, 3, side, side) through the model, one ``forward`` pass for each.

        ``places`` (N,), in the host's memory, are those of its images in the sample; ``members`` (G, N) are 1 where
        an image is in a group, else 0.
        """
        room = canvas.shape[-1] - self._size
        drawn = torch.from_numpy(offsets(self._seed, places.tolist(), self._draws, room))
        if canvas.is_cuda:
            drawn = drawn.pin_memory().to(canvas.device, non_blocking=True)
        for first, second in drawn:
            classes = self._classes(forward(windows(canvas, first, self._size), _ignore))
            same = self._classes(forward(windows(canvas, second, self._size), _ignore)) == classes
            self._same.add_(members @ same.to(members.dtype))

    def _classes(self, output: Tensor) -> Tensor:
        """Return the top-1 classes of an ``output`` (N, K), and note how far its logits vary."""
        lowest, highest = output.aminmax(dim=0)
        self._lowest = lowest if self._lowest is None else torch.minimum(self._lowest, lowest)
        self._highest = highest if self._highest is None else torch.maximum(self._highest, highest)
        return output.argmax(1)

    def statistics(self, images: Sequence[int]) -> dict[str, list[Statistic]]:
        """Return the "consistency" of the model.

        ``images`` counts the images of each group. There are deviations for the groups that have images.
        """
        reason = self._undecided()
        if reason:
            return {"consistency": [Statistic(None, reason)]}
        groups = [(same, count * self._draws) for same, count in zip(self._same.tolist(), images, strict=True) if count]
        found = agreement(*zip(*groups, strict=True))
        return {"consistency": [Statistic(found.share, None, found.deviations)]}

    def _undecided(self) -> str | None:
        """Say why the top-1 class means nothing; None if it does."""
        if self._lowest is None or self._highest is None:
            return "there are no images"
        if len(self._lowest) < 2:
            return "the model's output has fewer than 2 classes"
        lowest, highest = self._lowest.double(), self._highest.double()
        if not (highest - lowest).isfinite().all():
            return NOT_FINITE
        if (highest - lowest <= LEAST_VARIATION * torch.maximum(lowest.abs(), highest.abs())).all():
            return "no class varies over the images"
        return None


def offsets(seed: int, places: Sequence[int], draws: int, room: int) -> NDArray[np.int64]:
    """Draw where the windows of the images at ``places`` begin, each offset in 0 .. ``room``, both included.

    Returns (draws, 2, N, 2): by draw, window, image and axis (row, column).

    >>> offsets(0, [7], 1, 32).ravel().tolist() == np.random.default_rng([0, 7, 0]).integers(0, 33, size=4).tolist()
    True
    """
    drawn = [
        [np.random.default_rng([seed, place, draw]).integers(0, room + 1, size=4) for place in places]
        for draw in range(draws)
    ]
    return np.array(drawn).reshape(draws, -1, 2, 2).swapaxes(1, 2)


def windows(canvas: Tensor, offset: Tensor, size: int) -> Tensor:
    """Cut one window of ``size`` pixels out of each image of a ``canvas`` (N, 3, side, side), at ``offset`` (N, 2)."""
    within = torch.arange(size, device=canvas.device)
    rows, columns = offset[:, :1] + within, offset[:, 1:] + within
    image = torch.arange(len(canvas), device=canvas.device)[:, None, None]
    return canvas[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def published(model_name: str, weights_origin: str) -> float | None:
    """Return the published consistency of the weights that a report names; None if none is published of them.

    Only torchvision's first weights have one: its own ``IMAGENET1K_V1`` and timm's ``tv_in1k``, which are the same.

    >>> published("torchvision/resnet18", "ResNet18_Weights.IMAGENET1K_V1: https://download.pytorch.org/...")
    0.8511
    >>> published("timm/resnet50.tv_in1k", "hf-hub:timm/resnet50.tv_in1k/model.safetensors")
    0.892
    >>> published("torchvision/resnet50", "ResNet50_Weights.IMAGENET1K_V2: https://download.pytorch.org/...")
    """
    name = ModelName.parse(model_name)
    match name.source:
        case "torchvision":
            first = weights_origin.partition(":")[0].endswith("_Weights.IMAGENET1K_V1")
        case "timm":
            first = name.tag == "tv_in1k" and weights_origin.startswith(f"hf-hub:timm/{name.in_zoo}/")
        case _:
            first = False
    return PUBLISHED.get(name.architecture) if first else None


def _ignore(_index: int, _maps: Tensor) -> None:
    """Receive a feature map, and need none."""
