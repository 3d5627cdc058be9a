"""Dead leaves: synthetic images with the statistics of natural ones, nothing to download.

Opaque, textured shapes of power-law sizes fall on each other until they cover the image. Occlusion and the r^-3 law
of sizes give edges at all scales and a power spectrum of about 1/f^2, as in photographs (Lee, Mumford and Huang,
"Occlusion models for natural images", 2001).
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE_PX = 512
SHAPES = 1000
RADIUS_PX = (4.0, 160.0)

Plane = NDArray[np.float32]


def dead_leaves(seed: int, index: int) -> Image.Image:
    """Image number ``index`` of the set ``seed``: RGB, 512 x 512, the same on every run; it depends on nothing else."""
    rng = np.random.default_rng([seed, index])
    pixels = np.empty((SIDE_PX, SIDE_PX, 3), np.float32)
    pixels[:] = rng.uniform(0, 255, 3)
    for radius in radii(rng):
        _drop(pixels, float(radius), rng)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def radii(rng: np.random.Generator) -> NDArray[np.float64]:
    """(SHAPES,) radii in pixels, of density proportional to r^-3 between the two limits (inverse transform)."""
    low, high = (radius**-2.0 for radius in RADIUS_PX)
    values: NDArray[np.float64] = (low + rng.random(SHAPES) * (high - low)) ** -0.5
    # So few shapes leave gaps. The largest fall first and close them, as the leaves of long ago would have.
    largest_first = np.argsort(-values)
    return np.concatenate([values[largest_first[:100]], rng.permutation(values[largest_first[100:]])])


def _drop(pixels: Plane, radius: float, rng: np.random.Generator) -> None:
    """Paints one leaf of the given radius at a random place over ``pixels``, (H, W, 3)."""
    x, y = rng.uniform(-radius, SIDE_PX + radius, 2)
    left, right = max(0, math.floor(x - radius)), min(SIDE_PX, math.ceil(x + radius) + 1)
    top, bottom = max(0, math.floor(y - radius)), min(SIDE_PX, math.ceil(y + radius) + 1)
    if left >= right or top >= bottom:
        return
    dx = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x)
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
    inside = _shape(dx, dy, radius, rng)
    leaf = rng.uniform(0, 255, 3).astype(np.float32) * _texture(dx, dy, rng)[..., None]
    np.copyto(pixels[top:bottom, left:right], leaf, where=inside[..., None])


def _shape(dx: Plane, dy: Plane, radius: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(h, w) which offsets from the centre lie in a disc, a rectangle or a triangle that the disc encloses."""
    corners = int(rng.choice([0, 3, 4]))
    if corners == 0:
        return dx * dx + dy * dy <= radius * radius
    angle = rng.uniform(0, 2 * math.pi)
    inside = np.ones((dy.shape[0], dx.shape[1]), np.bool_)
    for side in range(corners):
        reach = radius * (0.5 if corners == 3 else (0.85, 0.5)[side % 2])
        inside &= _along(dx, dy, angle + side * 2 * math.pi / corners) <= reach
    return inside


def _texture(dx: Plane, dy: Plane, rng: np.random.Generator) -> Plane:
    """(h, w) factors around 1: an oriented grating, with some noise."""
    wavelength_px = math.exp(rng.uniform(math.log(4), math.log(64)))
    contrast = rng.uniform(0, 0.35)
    phase = _along(dx, dy, rng.uniform(0, math.pi)) * np.float32(2 * math.pi / wavelength_px)
    grating = np.sin(phase + np.float32(rng.uniform(0, 2 * math.pi)))
    noise = rng.standard_normal(grating.shape, np.float32) * np.float32(rng.uniform(0, 0.05))
    factors: Plane = np.float32(1) + np.float32(contrast) * grating + noise
    return factors


def _along(dx: Plane, dy: Plane, angle: float) -> Plane:
    """(h, w) signed distance in pixels along the direction ``angle`` (radians)."""
    distance: Plane = dx * np.float32(math.cos(angle)) + dy * np.float32(math.sin(angle))
    return distance
