"""A harmonic network's streams get the phases of their orders when the image turns, and its magnitudes only turn."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import ive
from torch import Tensor, nn

from worker.images.synthetic import dead_leaves
from worker.known.harmonic import (
    BLUR,
    ORDERS,
    RADII,
    SIDE,
    THRESHOLD,
    ComplexReLU,
    HarmonicConvolution,
    HarmonicNetwork,
    blurred,
    rings,
)
from worker.measure.warps import Points, Taps, Warp, centres

FEATURES = 4
VIEW = 64
ANGLES = [10, 40, 45, 130, 260]


def interpolated(maps: Tensor, points: Points) -> Tensor:
    """Interpolate maps (N, K, side, side) at ``points``, in cells: (N, K, points)."""
    side = maps.shape[-1]
    return Taps.at(points, side, side).of(maps.flatten(2).mT.contiguous()).mT


def before(degrees: float, side: int) -> Points:
    """Return where the content of each cell of a map comes from, (cells, 2)."""
    return Warp("rotation", degrees).inverse.moved(centres(side, side, side).reshape(-1, 2), side)


def compared(of_image: Tensor, of_turned: Tensor, degrees: float) -> tuple[Tensor, Tensor]:
    """Turn the maps of an image as the image was turned; keep the cells that come from within the map."""
    side = of_image.shape[-1]
    points = before(degrees, side)
    inside = torch.from_numpy(((points >= 0.5) & (points <= side - 0.5)).all(1))
    return interpolated(of_image, points)[:, :, inside], of_turned.flatten(2)[:, :, inside]


def correlations(a: Tensor, b: Tensor) -> Tensor:
    """Correlate each channel of ``a`` with that of ``b``, over all images and cells."""
    a, b = (maps.transpose(0, 1).flatten(1) for maps in (a, b))
    a, b = (maps - maps.mean(1, keepdim=True) for maps in (a, b))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


@pytest.fixture(scope="module")
def images() -> dict[int, Tensor]:
    """The middle of two synthetic images, turned about their middle by each angle, (2, 3, VIEW, VIEW) float64."""
    side = 96
    whole = [dead_leaves(0, index).resize((side, side), Image.Resampling.BICUBIC) for index in range(2)]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in whole])).permute(0, 3, 1, 2).double() / 64 - 2
    middle = slice((side - VIEW) // 2, (side + VIEW) // 2)
    turned = {degrees: interpolated(pixels, before(degrees, side)).view_as(pixels) for degrees in [0, *ANGLES]}
    return {degrees: image[..., middle, middle].contiguous() for degrees, image in turned.items()}


Forward = Callable[[Tensor], list[Tensor]]


def harmonic(seed: int) -> tuple[Forward, Forward]:
    """Make a network; return what gives its streams, layer by layer, and what gives its real maps."""
    torch.manual_seed(seed)
    network = HarmonicNetwork(FEATURES, depth=3).double()

    def streams(image: Tensor) -> list[Tensor]:
        outputs = []
        with torch.no_grad():
            for layer in network.layers:
                image = layer(image)
                outputs.append(image)
        return outputs

    def maps(image: Tensor) -> list[Tensor]:
        return [each(stream) for each, stream in zip(network.maps, streams(image), strict=True)]

    return streams, maps


def plain(layer: Callable[[int, int], nn.Module]) -> Forward:
    """Make a network of as many channels without an order; return what gives its maps, layer by layer."""
    torch.manual_seed(0)
    channels = FEATURES * (len(ORDERS) + 1)
    units = [nn.Sequential(layer(into, channels), nn.ReLU()).double() for into in (3, channels, channels)]
    networks = [nn.Sequential(*units[:depth]) for depth in (1, 2, 3)]

    def maps(image: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return [network(image) for network in networks]

    return maps


def scores(maps: Forward, images: dict[int, Tensor], degrees: int) -> list[Tensor]:
    """Correlate the maps, channel by channel, for each layer."""
    pairs = zip(maps(images[0]), maps(images[degrees]), strict=True)
    return [correlations(*compared(of_image, of_turned, degrees)) for of_image, of_turned in pairs]


@pytest.mark.parametrize("order", [-2, -1, *ORDERS])
def test_a_blurred_ring_is_a_profile_of_the_radius_times_a_wave_of_the_angle(order: int) -> None:
    down, right = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    radius, angle = np.hypot(down, right), np.arctan2(-down, right)
    for ring, blurred_ring in zip(RADII, rings(order).numpy(), strict=True):
        # What a Gaussian makes of exp(i m phi) on a circle, by an integral of Bessel's; ive is scaled by exp(-|x|).
        profile = ive(abs(order), radius * ring / BLUR**2) * np.exp(-((radius - ring) ** 2) / (2 * BLUR**2))
        wave = profile * np.exp(1j * order * angle)
        expected = wave / np.linalg.norm(wave) if np.linalg.norm(wave) > 0 else wave
        np.testing.assert_allclose(blurred_ring, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degrees", ANGLES)
def test_a_stream_of_order_m_turns_and_gets_m_times_the_phase(images: dict[int, Tensor], degrees: int) -> None:
    streams, _ = harmonic(seed=0)
    for of_image, of_turned in zip(streams(images[0]), streams(images[degrees]), strict=True):
        a, b = (torch.complex(*maps.chunk(2, 1)) for maps in compared(of_image, of_turned, degrees))
        for m, (turned, of_both) in enumerate(zip(a.split(FEATURES, 1), b.split(FEATURES, 1), strict=True)):
            in_phase = turned * np.exp(1j * m * math.radians(degrees))
            assert (of_both - in_phase).norm() < 0.2 * of_both.norm()
            if m:  # The phase matters.
                assert (of_both - turned).norm() > abs(np.exp(1j * m * math.radians(degrees)) - 1) * 0.8 * turned.norm()


def test_quarter_turns_are_exact(images: dict[int, Tensor]) -> None:
    streams, maps = harmonic(seed=0)
    turned = torch.rot90(images[0], 1, (-2, -1))
    for of_image, of_turned in zip(streams(images[0]), streams(turned), strict=True):
        a, b = (torch.complex(*each.chunk(2, 1)) for each in (torch.rot90(of_image, 1, (-2, -1)), of_turned))
        phases = torch.tensor([1j**m for m in ORDERS], dtype=a.dtype).repeat_interleave(FEATURES)
        # Filters are kept in float32.
        torch.testing.assert_close(b, a * phases[:, None, None], rtol=0, atol=1e-5)
    for of_image, of_turned in zip(maps(images[0]), maps(turned), strict=True):
        torch.testing.assert_close(of_turned, torch.rot90(of_image, 1, (-2, -1)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("degrees", ANGLES)
def test_its_maps_turn_with_the_image(images: dict[int, Tensor], degrees: int, seed: int) -> None:
    _, maps = harmonic(seed)
    for layer in scores(maps, images, degrees):
        assert layer.min() > 0.95
        assert layer.mean() > 0.98


@pytest.mark.parametrize("layer", [blurred, lambda channels, into: nn.Conv2d(channels, into, SIDE)])
def test_filters_of_no_order_do_not_have_it(layer: Callable[[int, int], nn.Module], images: dict[int, Tensor]) -> None:
    for degrees in (40, 130):
        for each in scores(plain(layer), images, degrees):
            assert each.mean() < 0.92


def test_its_streams_turn_because_the_orders_add_up(images: dict[int, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong_order(channels: int, into: int, before: Sequence[int] = ORDERS, first: bool = False) -> nn.Module:
        return HarmonicConvolution(channels, into, before if first else (0, 0, 0), first)

    monkeypatch.setattr("worker.known.harmonic.HarmonicConvolution", wrong_order)
    _, maps = harmonic(seed=0)
    first, *later = scores(maps, images, 130)
    assert first.mean() > 0.98
    assert all(layer.mean() < 0.9 for layer in later)


def test_complex_relu_lowers_magnitudes_and_keeps_phases() -> None:
    stream = torch.tensor([3.0, 0.0, 0.1, 0.0, 4.0, -1.0, 0.1, 0.0]).view(1, 8, 1, 1)
    real, imaginary = ComplexReLU()(stream).view(2, 4)
    expected = torch.tensor([(5 - THRESHOLD) * (0.6 + 0.8j), -1j * (1 - THRESHOLD), 0, 0])
    torch.testing.assert_close(torch.complex(real, imaginary), expected)


def test_every_layer_cuts_some_magnitudes_off(images: dict[int, Tensor]) -> None:
    _, maps = harmonic(seed=0)
    for layer in maps(images[0]):
        assert 0.05 < (layer == 0).double().mean() < 0.6
