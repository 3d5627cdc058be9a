"""Dead leaves: reproducible, of power-law sizes, with the power spectrum of natural images."""

import hashlib
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples.photographs import photograph
from tests.worker.conftest import COLOUR
from worker.images.synthetic import LEAVES, RADIUS_PX, SIDE_PX, dead_leaves, radii


def spectrum(image: Image.Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies, in cycles per image, and the mean power at each; from 4 to a quarter of the side."""
    grey = np.asarray(image.convert("L"), np.float64)
    side = min(grey.shape)
    grey = grey[:side, :side] - grey.mean()
    window = np.hanning(side)
    power = np.abs(np.fft.fftshift(np.fft.fft2(grey * window * window[:, None]))) ** 2
    y, x = np.indices(power.shape) - side // 2
    radius = np.hypot(y, x).astype(int).ravel()
    mean = np.bincount(radius, power.ravel()) / np.bincount(radius)
    frequencies = np.arange(4, side // 4)
    return frequencies.astype(np.float64), mean[frequencies]


def slope(frequencies: NDArray[np.float64], power: NDArray[np.float64]) -> float:
    """The exponent a of the power law power ~ f^a that fits best."""
    return float(np.polyfit(np.log(frequencies), np.log(power), 1)[0])


def test_an_image_is_rgb_and_fills_its_range() -> None:
    image = dead_leaves(0, 0)
    assert image.mode == "RGB"
    assert image.size == (SIDE_PX, SIDE_PX)
    pixels = np.asarray(image)
    assert pixels.std() > 40
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert np.abs(pixels[..., 0].astype(int) - pixels[..., 2]).mean() > 10  # It has colours.


def test_an_image_is_the_same_in_every_process() -> None:
    code = (
        "import hashlib; from worker.images.synthetic import *; "
        "print(hashlib.sha256(dead_leaves(3, 5).tobytes()).hexdigest())"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    dead_leaves(3, 4)
    assert hashlib.sha256(dead_leaves(3, 5).tobytes()).hexdigest() == elsewhere


def test_images_differ_by_seed_and_by_number() -> None:
    images = {dead_leaves(seed, index).tobytes() for seed, index in [(0, 0), (0, 1), (1, 0), (1, 1)]}
    assert len(images) == 4


def test_the_power_spectrum_falls_as_that_of_photographs() -> None:
    spectra = [spectrum(dead_leaves(0, index)) for index in range(8)]
    synthetic = slope(spectra[0][0], np.mean([power for _, power in spectra], axis=0))
    natural = [slope(*spectrum(photograph(name))) for name in COLOUR]
    assert -2.7 < synthetic < -1.8
    assert min(natural) < synthetic < max(natural)


def test_sizes_follow_the_inverse_cube() -> None:
    drawn = np.concatenate([radii(np.random.default_rng(seed)) for seed in range(50)])
    assert len(drawn) == 50 * LEAVES
    assert drawn.min() >= RADIUS_PX[0]
    assert drawn.max() <= RADIUS_PX[1]
    edges = np.array([6, 12, 24, 48, 96])
    counts, _ = np.histogram(drawn, edges)
    # Of density r^-3, each octave has a quarter of the leaves of the one below: every octave covers the same area.
    np.testing.assert_allclose(counts[:-1] / counts[1:], 4, rtol=0.15)
