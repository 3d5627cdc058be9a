"""Layers of which it is known what a shift or a turn of their input does to their output."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Circular(nn.Conv2d):
    """A convolution that wraps around, so that it commutes with circular shifts."""

    def __init__(self, channels: int, into: int, stride: int = 1) -> None:
        super().__init__(channels, into, 3, stride, padding=1, padding_mode="circular", bias=False)


class PlaceBlind(nn.Module):
    """Adds the image's mean to a fixed pattern: the output depends on the image, but nothing in it moves."""

    def __init__(self, size: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.pattern = nn.Parameter(torch.randn(1, 4, size, size, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return self.pattern + 0.01 * x.mean((1, 2, 3), keepdim=True)


class Blur(nn.Module):
    """Subsamples by 2 behind a blur of [1, 2, 1] / 4 in both directions. It wraps around."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.weight = nn.Parameter(torch.outer(line, line).expand(channels, 1, 3, 3).clone())

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, (1, 1, 1, 1), mode="circular")
        return functional.conv2d(padded, self.weight, stride=2, groups=len(self.weight))


class MaxBlurPool(Blur):
    """Anti-aliased max-pooling (Zhang 2019): the largest of 2 x 2 at every place, then a blur, then subsampling by 2.

    It wraps around.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), mode="circular"), 2, stride=1))


class Pools(nn.Module):
    """The same features, subsampled by max-pooling and by anti-aliased max-pooling."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.max = nn.MaxPool2d(2)
        self.blur = MaxBlurPool(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.max(x), self.blur(x)], 1)


class Dead(nn.Module):
    """Sets channels 0, ``every``, 2 ``every``, ... to a constant."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, :: self.every] = 0.25
        return x


def gaussian(channels: int, into: int) -> nn.Conv2d:
    """Make a convolution of isotropic kernels, the same from all four sides, of several widths and signs."""
    square = torch.tensor([[2.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 2.0]])
    widths = torch.linspace(0.5, 2.0, into * channels).view(into, channels, 1, 1)
    return _convolution(torch.randn(into, channels, 1, 1).sign() * torch.exp(-square / widths))


def wide_gaussian(channels: int, into: int) -> nn.Conv2d:
    """Make a convolution of isotropic kernels that are wide and smooth enough to be isotropic between cells, too.

    Signs alternate over the input's and over the output's channels: outputs are differences of blurs, and a ReLU leaves
    none of them at 0.
    """
    cells = torch.arange(7) - 3
    square = cells[:, None].square() + cells.square()
    widths = torch.linspace(0.8, 1.2, into * channels).view(into, channels, 1, 1)
    kernel = torch.exp(-square / (2 * widths**2))
    signs = 1 - 2 * ((torch.arange(into)[:, None] + torch.arange(channels)) % 2)
    layer = nn.Conv2d(channels, into, 7, padding=3, padding_mode="replicate", bias=False)
    layer.weight.data = kernel / kernel.sum((2, 3), keepdim=True) * signs[:, :, None, None]
    return layer


def mirrored(channels: int, into: int) -> nn.Conv2d:
    """Make a convolution of random kernels, each of which is the same when left and right are swapped."""
    kernel = torch.randn(into, channels, 3, 3)
    return _convolution((kernel + kernel.flip(-1)) / channels)


def rotated_copies(channels: int, into: int) -> nn.Conv2d:
    """Make a convolution of one odd kernel, a slope, a quarter further turned in each output channel."""
    slope = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / channels
    turned = torch.stack([torch.rot90(slope, quarters) for quarters in range(into)])
    return _convolution(turned[:, None].repeat(1, channels, 1, 1))


def _convolution(kernel: Tensor) -> nn.Conv2d:
    layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1, bias=False)
    layer.weight.data = kernel
    return layer
