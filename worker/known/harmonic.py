"""Harmonic networks (Worrall, Garbin, Turmukhambetov and Brostow 2017): their maps turn with the image, by any angle.

A filter of rotation order m is W_m(r, phi) = R(r) exp(i (m phi + beta)), phi counter-clockwise. When its input turns by
an angle t, its response turns along and is multiplied by exp(i m t); where the input was itself multiplied by
exp(i n t), the response is by exp(i (m + n) t). So a stream of order M may add what filters of order M - n make of the
streams of order n: all of it gets the same phase, and magnitudes only turn. Here nothing is trained: radial profiles R
and phases beta are random.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

ORDERS = (0, 1, 2)
"""The rotation orders of the streams."""
SIDE = 9
"""The side of a filter, in cells."""
RADII = (0.0, 1.5, 2.5)
"""The radii of a filter's rings, in cells."""
BLUR = 1.0
"""The standard deviation of the Gaussian by which rings are blurred, in cells. A filter then has no frequencies that
its cells cannot hold, and has faded at its border."""
POINTS = 64
"""How many points make a ring."""
GAIN = 0.4
"""The norm of the filters that make a stream. Magnitudes then stay near 1 in all layers."""
THRESHOLD = 0.25
"""Smaller magnitudes become 0."""


def rings(order: int) -> Tensor:
    """Return exp(i ``order`` phi) on the ring of each radius, blurred: (rings, SIDE, SIDE), of norm 1 or all 0.

    A ring of radius 0 is a point, where angles mean nothing: the mean of exp(i order phi) over it is 0 but for order 0.
    """
    angles = torch.arange(POINTS, dtype=torch.float64) * (2 * math.pi / POINTS)
    cells = torch.arange(SIDE, dtype=torch.float64) - SIDE // 2
    waves = torch.exp(1j * order * angles)
    blurred = torch.stack([_blurred(cells, radius, angles) @ waves for radius in RADII]) / POINTS
    norms = blurred.abs().square().sum((1, 2), keepdim=True).sqrt()
    return torch.where(norms > 1e-9, blurred / norms, 0)


def _blurred(cells: Tensor, radius: float, angles: Tensor) -> Tensor:
    """Return the Gaussian about each point of a ring, complex (SIDE, SIDE, points)."""
    down = (cells[:, None, None] + radius * angles.sin()).square()  # rows run down, angles up
    right = (cells[:, None] - radius * angles.cos()).square()
    return torch.exp(-(down + right) / (2 * BLUR**2)).to(torch.complex128)


def harmonic_filters(order: int, channels: int, into: int) -> Tensor:
    """Draw filters of this order: complex (into, channels, SIDE, SIDE)."""
    profiles = torch.randn(into, channels, len(RADII), dtype=torch.float64)
    phases = torch.rand(into, channels, 1, 1, dtype=torch.float64) * (2 * math.pi)
    return torch.einsum("oir,rhw->oihw", profiles.to(torch.complex128), rings(order)) * torch.exp(1j * phases)


class HarmonicConvolution(nn.Conv2d):
    """Cross-correlates complex streams of the orders ``before`` and adds up streams of the ``ORDERS``.

    A complex map is two channels: first the real parts of all streams, order by order, then their imaginary parts.
    ``channels`` and ``into`` count those of one order. The first layer reads a real image. There is no padding, since a
    border that is filled with zeros does not turn with the image.
    """

    def __init__(self, channels: int, into: int, before: Sequence[int] = ORDERS, first: bool = False) -> None:
        parts = 1 if first else 2
        super().__init__(parts * channels * len(before), 2 * into * len(ORDERS), SIDE, bias=False)
        weight = torch.cat(
            [torch.cat([harmonic_filters(order - n, channels, into) for n in before], 1) for order in ORDERS]
        )
        weight *= GAIN / weight.abs().square().sum((1, 2, 3), keepdim=True).sqrt()
        from_real = torch.cat([weight.real, weight.imag])
        from_imaginary = torch.cat([-weight.imag, weight.real])
        self.weight.data = torch.cat([from_real, from_imaginary][:parts], 1).float()


class ComplexReLU(nn.Module):
    """Lowers each magnitude by ``THRESHOLD``, down to 0 at most, and keeps the phase."""

    def forward(self, x: Tensor) -> Tensor:
        magnitude = torch.hypot(*x.chunk(2, 1)).clamp_min(1e-12)
        return x * torch.relu(1 - THRESHOLD / magnitude).repeat(1, 2, 1, 1)


class TurningMaps(nn.Module):
    """Makes real maps of the streams that turn with the image, and do nothing else: their magnitudes, and the real
    parts of those of order 0."""

    def forward(self, x: Tensor) -> Tensor:
        real, imaginary = x.chunk(2, 1)
        return torch.cat([torch.hypot(real, imaginary), real[:, : real.shape[1] // len(ORDERS)]], 1)


class HarmonicNetwork(nn.Module):
    """Layers of ``features`` streams of each order. ``maps.0``, ``maps.1``, ... are what an audit can measure, and
    their means are what the classifier reads."""

    def __init__(self, features: int, depth: int) -> None:
        super().__init__()
        first = HarmonicConvolution(3, features, before=(0,), first=True)
        later = (HarmonicConvolution(features, features) for _ in range(depth - 1))
        self.layers = nn.ModuleList(nn.Sequential(layer, ComplexReLU()) for layer in (first, *later))
        self.maps = nn.ModuleList(TurningMaps() for _ in range(depth))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(depth * features * (len(ORDERS) + 1), 10)

    def forward(self, x: Tensor) -> Tensor:
        pooled = []
        for layer, maps in zip(self.layers, self.maps, strict=True):
            x = layer(x)
            pooled.append(self.pool(maps(x)).flatten(1))
        output: Tensor = self.classifier(torch.cat(pooled, 1))
        return output


def blurred(channels: int, into: int) -> nn.Conv2d:
    """Make a plain convolution of random filters, as large and as smooth as the harmonic ones, with no padding."""
    layer = nn.Conv2d(channels, into, SIDE, bias=False)
    cells = torch.arange(SIDE) - SIDE // 2
    bell = torch.exp(-cells.square() / (2 * BLUR**2))
    inside = cells[:, None].square() + cells.square() <= (max(RADII) + 0.5) ** 2
    noise = torch.randn(into * channels, 1, SIDE, SIDE) * inside
    smooth = nn.functional.conv2d(noise, torch.outer(bell, bell)[None, None], padding=SIDE // 2)
    weight = smooth.view(into, channels, SIDE, SIDE)
    layer.weight.data = weight / weight.square().sum((1, 2, 3), keepdim=True).sqrt()
    return layer
