"""The networks that the experiments train. Each function makes one with newly drawn weights, for images of ``side``
pixels in ``in_channels`` channels; the weights follow from torch's seed.

``pretrained_cfg`` is timm's way to state what images a network takes. With it a worker can audit what was trained here
as an operator's own architecture: ``ZOOAUDIT_MODELS=resnet44=experiments.models:resnet44``.
"""

from collections.abc import Callable

import torch
from timm.models.mlp_mixer import MlpMixer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

CIFAR_SIDE = 32
MNIST_SIDE = 28


def z2cnn(num_classes: int = 6) -> nn.Module:
    """Make the network of 7 convolutions after Cohen and Welling (2016), whose CNN on the plane is called Z2CNN.

    Each has 3 x 3 kernels, no padding and 20 channels, with batch norm and ReLU; max-pooling follows the second. Theirs
    ends in kernels of 4 x 4, the thesis's in 3 x 3 and global pooling, which is what is made here.
    """
    blocks: list[nn.Module] = []
    for index in range(7):
        block = nn.Sequential(nn.Conv2d(20 if index else 3, 20, 3, bias=False), nn.BatchNorm2d(20), nn.ReLU())
        blocks += [block, nn.MaxPool2d(2)] if index == 1 else [block]
    return _for_images(nn.Sequential(*blocks, _Head(20, num_classes)), MNIST_SIDE)


def resnet44(num_classes: int = 10) -> nn.Module:
    """Make the ResNet-44 for CIFAR-10 of He et al. (2015): 3 stages of 7 residual blocks with 16, 32, 64 channels."""
    return resnet(44, 16, num_classes)


def resnet(depth: int, base_width: int, num_classes: int = 10) -> nn.Module:
    """Make a ResNet for CIFAR-10 of ``depth`` = 6 n + 2 layers, whose first stage has ``base_width`` channels.

    The shortcuts have no weights: they take every second pixel, and fill the new channels with zeros (option A).
    """
    blocks = _stages(Residual, (depth - 2) // 6, base_width, [base_width * 2**stage for stage in range(3)])
    stem = nn.Sequential(
        nn.Conv2d(3, base_width, 3, padding=1, bias=False), nn.BatchNorm2d(base_width), nn.ReLU(inplace=True)
    )
    return _for_images(_initialised(nn.Sequential(stem, *blocks, _Head(4 * base_width, num_classes))), CIFAR_SIDE)


def wide_resnet40(width: int, num_classes: int = 10) -> nn.Module:
    """Make the WideResNet-40 of Zagoruyko and Komodakis (2016), ``width`` times as wide as a ResNet."""
    return wide_resnet(40, width, 16, num_classes)


def wide_resnet(depth: int, width: int, base_width: int, num_classes: int = 10) -> nn.Module:
    """Make a WideResNet of ``depth`` = 6 n + 4 layers: batch norm and ReLU come before each convolution."""
    widths = [width * base_width * 2**stage for stage in range(3)]
    blocks = _stages(PreActivation, (depth - 4) // 6, base_width, widths)
    stem = nn.Conv2d(3, base_width, 3, padding=1, bias=False)
    last = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True))
    return _for_images(_initialised(nn.Sequential(stem, *blocks, last, _Head(widths[-1], num_classes))), CIFAR_SIDE)


def small_resnet(num_classes: int = 10) -> nn.Module:
    """Make a ResNet-14 of 8, 16 and 32 channels."""
    return resnet(14, 8, num_classes)


def small_wide_resnet(num_classes: int = 10) -> nn.Module:
    """Make a WideResNet-10 of 16, 32 and 64 channels."""
    return wide_resnet(10, 4, 4, num_classes)


def small_plain_cnn(num_classes: int = 10) -> nn.Module:
    """Make six convolutions with max-pooling after every second one, and no shortcuts."""
    blocks: list[nn.Module] = []
    for index, (into, out) in enumerate(((3, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32))):
        pool = [nn.MaxPool2d(2)] if index % 2 else []
        block = [nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        blocks.append(nn.Sequential(*block, *pool))
    return _for_images(nn.Sequential(*blocks, _Head(32, num_classes)), CIFAR_SIDE)


def small_vit(num_classes: int = 10) -> nn.Module:
    """Make timm's vision transformer with 4 blocks of 48 channels, for patches of 4 px."""
    vit = VisionTransformer(
        img_size=CIFAR_SIDE, patch_size=4, embed_dim=48, depth=4, num_heads=4, num_classes=num_classes
    )
    return _for_images(vit, CIFAR_SIDE)


def small_mixer(num_classes: int = 10) -> nn.Module:
    """Make timm's MLP-Mixer with 4 blocks of 48 channels, for patches of 4 px."""
    mixer = MlpMixer(img_size=CIFAR_SIDE, patch_size=4, embed_dim=48, num_blocks=4, num_classes=num_classes)
    return _for_images(mixer, CIFAR_SIDE)


class Residual(nn.Module):
    """Two convolutions and a shortcut; ReLU follows the sum (He et al. 2015)."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride, self.new_channels = stride, out - into
        self.conv1 = nn.Conv2d(into, out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return functional.relu(y + functional.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels)))


class PreActivation(nn.Module):
    """Two convolutions, each after batch norm and ReLU, and a shortcut (Zagoruyko and Komodakis 2016)."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(into)
        self.conv1 = nn.Conv2d(into, out, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        changes = stride > 1 or into != out
        self.shortcut = nn.Conv2d(into, out, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        active = functional.relu(self.norm1(x))
        shortcut: Tensor = x if self.shortcut is None else self.shortcut(active)
        y: Tensor = self.conv2(functional.relu(self.norm2(self.conv1(active))))
        return y + shortcut


class _Head(nn.Module):
    """Global average pooling and a linear classifier."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(torch.flatten(self.pool(x), 1))
        return logits


def _stages(block: Callable[[int, int, int], nn.Module], number: int, into: int, widths: list[int]) -> list[nn.Module]:
    """Make a stage of ``number`` blocks for each of the ``widths``; each but the first halves the map."""
    blocks = []
    for stage, width in enumerate(widths):
        for index in range(number):
            blocks.append(block(into, width, 2 if stage and not index else 1))
            into = width
    return blocks


def _initialised(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return network


def _for_images(network: nn.Module, side: int) -> nn.Module:
    network.pretrained_cfg = {"input_size": (3, side, side), "crop_pct": 1.0, "interpolation": "bicubic"}  # type: ignore[assignment]
    return network
