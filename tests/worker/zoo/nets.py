"""Architectures as operators write them, good ones and bad ones."""

import os
import time
from typing import Any, ClassVar

import numpy as np
import timm
import torch
from torch import Tensor, nn


class Small(nn.Module):
    """A network of three blocks for images of 32 px."""

    pretrained_cfg: ClassVar[dict[str, Any]] = {
        "input_size": (3, 32, 32),
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.2, 0.3),
        "crop_pct": 1.0,
        "interpolation": "bilinear",
    }

    def __init__(self, num_classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3, padding=1)
        self.block1 = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.block2 = nn.Sequential(nn.Conv2d(8, 16, 3, 2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block2(self.block1(self.stem(x))).mean((2, 3)))


class Configured(Small):
    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.pretrained_cfg = {**Small.pretrained_cfg, **config}


class Raising(Small):
    def forward(self, _x: Tensor) -> Tensor:
        raise Exception("the weather is bad")


class Positioned(Small):
    """Like vision transformers, it is made for one size of image."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 8, side, side))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block2(self.block1(self.stem(x) + self.position)).mean((2, 3)))


SHARED = Small()
"""Made at import, by chance, which must not change what is drawn afterwards."""
NOT_ONE = 1


def small(num_classes: int = 10) -> nn.Module:
    return Small(num_classes)


def of_ten() -> nn.Module:
    return Small(10)


def sized(img_size: int = 32) -> nn.Module:
    return Positioned(img_size)


def plain() -> nn.Module:
    """What says nothing about its images."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 4), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
    )


def of_timm() -> nn.Module:
    return timm.create_model("test_resnet")


def wrapped() -> nn.Module:
    return nn.DataParallel(Small().train().half())


def compiled() -> nn.Module:
    return torch.compile(Small(), backend="eager")  # type: ignore[return-value]


def half_drawn() -> nn.Module:
    """A network with a table of fixed numbers, as positions are often coded, among weights that are drawn."""
    module = Small()
    module.table = nn.Parameter(torch.linspace(0, 1, 100))
    return module


def grey() -> nn.Module:
    return Configured(input_size=(1, 28, 28))


def grey_in_secret() -> nn.Module:
    module = Small(channels=1)
    module.pretrained_cfg = None  # type: ignore[assignment]
    return module


def wide() -> nn.Module:
    return Configured(input_size=(3, 32, 64))


def misread() -> nn.Module:
    return Configured(interpolation="cubist")


def bald() -> nn.Module:
    return Configured(mean=(0.5,))


def vast() -> nn.Module:
    return Configured(input_size=(3, 5000, 5000))


def shared() -> nn.Module:
    return SHARED


def seeded() -> nn.Module:
    torch.manual_seed(3)
    return Small()


def drawn_elsewhere() -> nn.Module:
    module = Small()
    module.fc.weight.data = torch.from_numpy(np.random.default_rng().normal(size=(10, 16))).float()
    return module


def trained() -> nn.Module:
    module = Small()
    module.load_state_dict(SHARED.state_dict())
    return module


def valueless() -> nn.Module:
    return Small().to("meta")


def no_module() -> int:
    return 7


def needing() -> nn.Module:
    torch.load("/srv/operators/secret/net.pt")
    return Small()


def of_depth(depth: int) -> nn.Module:
    return Small(depth)


def failing() -> nn.Module:
    raise Exception("the weather is bad")


def leaving() -> nn.Module:
    raise SystemExit(3)


def dying() -> nn.Module:
    os._exit(3)


def hanging() -> nn.Module:
    time.sleep(3600)
    return Small()


def raising() -> nn.Module:
    return Raising()
