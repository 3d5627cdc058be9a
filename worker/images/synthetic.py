"""Dead leaves: synthetic images with the statistics of natural ones, which need no download.

Opaque, textured shapes fall on each other until they cover the image. They hide one another, and their sizes follow a
power law, r^-3; this gives edges at all scales and a power spectrum of about 1/f^2, as in photographs (Lee, Mumford
and Huang, "Occlusion models for natural images", 2001).
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE_PX = 512
LEAVES = 1400
RADIUS_PX = (6.0, 200.0)

Plane = NDArray[np.float32]


def dead_leaves(seed: int, index: int) -> Image.Image:
    """Paint image number ``index`` under ``seed``: RGB, 512 x 512. It depends on nothing else."""
    rng = np.random.default_rng([seed, index])
    return Image.fromarray(_paint(_fall(radii(rng), rng), rng))


def radii(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw (LEAVES,) radii in pixels, with density proportional to r^-3 within RADIUS_PX, by inverse transform."""
    low, high = (radius**-2.0 for radius in RADIUS_PX)
    return np.asarray((low + rng.random(LEAVES) * (high - low)) ** -0.5)


def _fall(radii: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Let the leaves fall in order at random places, and return the index of the one on top at each pixel, (H, W)."""
    top = np.zeros((SIDE_PX, SIDE_PX), np.intp)  # Leaf 0 fills the gaps between the others, a seventh of the image.
    ramp = np.arange(SIDE_PX, dtype=np.float32)
    centres = rng.random((len(radii), 2)) * (SIDE_PX + 2 * radii[:, None]) - radii[:, None]
    angles = rng.random(len(radii)) * 2 * math.pi
    corners = rng.choice([0, 3, 4], len(radii))
    leaves = zip(radii.tolist(), centres.tolist(), angles.tolist(), corners.tolist(), strict=True)
    for index, (radius, (x, y), angle, sides) in enumerate(leaves):
        columns = slice(max(0, math.floor(x - radius)), max(0, math.ceil(x + radius) + 1))
        rows = slice(max(0, math.floor(y - radius)), max(0, math.ceil(y + radius) + 1))
        inside = _inside(ramp[columns] - x, ramp[rows, None] - y, radius, sides, angle)
        top[rows, columns][inside] = index
    return top


def _inside(dx: Plane, dy: Plane, radius: float, corners: int, angle: float) -> NDArray[np.bool_]:
    """Tell which offsets ``dx`` (w,) and ``dy`` (h, 1) from the centre lie in the leaf, (h, w).

    The leaf is a disc of this ``radius``, or a triangle or rectangle (3 or 4 ``corners``) inside it, turned by
    ``angle``.
    """
    if corners == 0:
        return np.asarray(dx * dx + dy * dy <= radius * radius)
    u = dx * math.cos(angle) + dy * math.sin(angle)
    v = dy * math.cos(angle) - dx * math.sin(angle)
    if corners == 4:
        return np.asarray((np.abs(u) <= 0.85 * radius) & (np.abs(v) <= 0.5 * radius))
    return np.asarray((u >= -0.5 * radius) & (np.abs(v) <= (radius - u) * math.tan(math.pi / 6)))


def _paint(top: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint each leaf with a colour of its own, mostly grey, an oriented grating and some noise: (H, W, 3)."""
    colours = rng.uniform(20, 235, (LEAVES, 1)) + rng.normal(0, 30, (LEAVES, 3))
    wavelengths_px = np.exp(rng.uniform(math.log(4), math.log(64), LEAVES))
    directions = rng.uniform(0, 2 * math.pi, LEAVES)
    contrasts, noise = rng.uniform(0, 0.3, LEAVES), rng.uniform(0, 0.06, LEAVES)
    across, down = (
        (turn(directions) * 2 * math.pi / wavelengths_px).astype(np.float32)[top] for turn in (np.cos, np.sin)
    )
    ramp = np.arange(SIDE_PX, dtype=np.float32)
    grating = np.sin(across * ramp + down * ramp[:, None])
    texture = contrasts.astype(np.float32)[top] * grating
    texture += noise.astype(np.float32)[top] * rng.standard_normal(top.shape, np.float32)
    pixels = colours.astype(np.float32)[top] * (1 + texture[..., None])
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)
