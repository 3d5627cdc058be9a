"""The comparison of two maps as kernels for an NVIDIA GPU, where torch's operations would take twenty passes over the
maps: one sums by image, one multiplies channels with channels on tensor cores, and one adds up these products.

Tensor cores multiply float16 numbers, which keep 11 of float32's 24 digits, many times faster than other units multiply
float32. So deviations from the pivot are cut into halves, x = unit (high + low), and three products of halves give what
float32 would::

    a b = unit_a unit_b (high_a high_b + high_a low_b + low_a high_b) + a part below float32's rounding

(Ootomo and Yokota 2022, *Recovering single precision accuracy from Tensor Cores*, who also say why the sum of a few
products is added to the others outside of the tensor cores: these cut digits off where float32 rounds.) The ``unit`` of
a channel, a power of two near what it varies by, keeps its halves in the range of float16. Where maps are bfloat16 and
so is the pivot, high is enough for every channel whose pivot is 0.

Maps b = f(T(x)) are laid upon the whole maps a = f(x), with zeros where nothing is compared, so that both are matrices
of as many rows.
"""

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from worker.measure import fused_kernels

SQUARES = {128: 8, 64: 4}
"""Products are computed in squares of so many channels by so many warps. Smaller ones read each number more often."""
HOPPER = 9
DEPTH, DEPTH_ON_HOPPER = 32, 64
"""How many cells a tensor core multiplies before its sum is added to the others. Some GPUs of other generations have
too little memory for more."""
SLICE = 4096
"""How many cells one product sums in float32 at most: a longer sum would lose digits."""
LEAST_SLICE = 256
PROGRAMS = 512
"""Few channels are cut into shorter slices, so that a GPU has so many things to do at a time."""
NUMBERS_AT_ONCE, CHANNELS_AT_ONCE = 512, 256
"""How many numbers of one image a program loads at once, and of how many channels at most: of as many as the largest of
SQUARES, or more."""
LOADS = 64
"""How often it does so."""
STAGES = 3
"""So many loads are on their way, less one, while a program computes."""
SLICES_AT_ONCE, PRODUCTS_AT_ONCE = 32, 2048
"""How many products of channels are added up at once, and of how many slices at most."""
LEAST_SQUARE = 16
"""Tensor cores multiply no smaller squares."""


NARROW = (torch.bfloat16, torch.float16)
"""Maps of these types have no more digits than a half has."""


class Halves(NamedTuple):
    """Deviations of maps (N, h, w, K), in units of their channels: ``high + low``, both float16.

    Where they are ``narrow``, low is 0 for all channels whose pivot is 0, and need not be read.
    """

    high: Tensor
    low: Tensor
    narrow: bool


def unit_of(deviations: Tensor, pivot: Tensor) -> Tensor:
    """Return the unit of each channel, (K,) float32, from the ``deviations`` (N, h, w, K) of some images.

    Numbers of up to a million times what a channel varies by fit into float16. What two halves cut off is at most 2^-24
    of a number, or 2^-20 of what its channel varies by. The unit of a channel that does not vary in these images
    follows its pivot, or what all channels vary by.
    """
    of_channel = deviations.square().mean((0, 1, 2))
    varies, of_all = of_channel.sqrt(), of_channel.mean().sqrt() / 1024
    some = torch.maximum(varies, pivot.abs() * 2**-20)
    near = 16 * torch.where(varies > 0, some, torch.maximum(of_all, pivot.abs()))
    near = torch.where((near > 0) & near.isfinite(), near, 1.0)
    return near / near.frexp().mantissa


def halves(deviations: Tensor, unit: Tensor, narrow: bool) -> Halves:
    """Cut ``deviations`` (N, h, w, K) into halves, counted in the ``unit`` of each channel, (K,)."""
    in_units = deviations / unit
    high = in_units.half()
    return Halves(high, torch.sub(in_units, high, out=torch.empty_like(high)), narrow)


def readable(maps: Tensor) -> Tensor:
    """Return ``maps`` (N, h, w, K) in a form that the kernels read: of 16 or 32 bits, the channels of each cell side by
    side, and a whole number of cells from one cell to another."""
    if maps.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        maps = maps.float()
    *strides, of_channel = maps.stride()
    is_readable = of_channel == 1 and all(stride % maps.shape[3] == 0 for stride in strides)
    return maps if is_readable else maps.contiguous()


def sums(a: Halves, b: Tensor, pivot: Tensor, unit: Tensor, partners: Tensor, out: Tensor) -> Halves:
    """Sum over the cells of each image: the deviations of b from the pivot, their squares, and their products with a;
    return the halves of b.

    ``a`` has maps (N, H, W, K); ``b`` (N, h, w, K), raw and :func:`readable`, is compared with the first h x w cells of
    each, and the returned halves have zeros elsewhere. ``out`` (3 + S, N, K) receives the sums, those of the products
    of each channel with itself first, then with its partner in each row of ``partners`` (S, K).
    """
    images, rows, columns, channels = a.high.shape
    cells = rows * columns
    at_once = _power_of_two(channels, CHANNELS_AT_ONCE)
    chunk = LOADS * NUMBERS_AT_ONCE // at_once
    chunks = triton.cdiv(cells, chunk)
    of_chunk = out.new_empty(len(out), images, chunks, channels)
    found = Halves(torch.empty_like(a.high), torch.empty_like(a.high), b.dtype in NARROW)
    fused_kernels.sums_kernel[images * chunks, triton.cdiv(channels, at_once)](
        a.high, a.low, b, pivot, unit, partners, of_chunk, found.high, found.low,
        images * chunks * channels, cells, columns, channels, chunks,
        b.shape[1], b.shape[2], *(stride // channels for stride in b.stride()[:3]),
        A_NARROW=a.narrow, B_NARROW=found.narrow, SIMILARITIES=len(partners),
        STAGES=STAGES, CHUNK=chunk, CELLS=NUMBERS_AT_ONCE // at_once, CHANNELS=at_once,
        num_warps=4, enable_fp_fusion=True,
    )  # fmt: skip
    torch.sum(of_chunk, 2, out=out)
    return found


def add_products(a: Halves, b: Halves, pivot: Tensor, unit: Tensor, total: Tensor) -> None:
    """Add to ``total``, (K, K) float64, the products of each channel of ``a`` with each of ``b``, summed over all cells
    and images."""
    images, height, width, channels = a.high.shape
    rows, square = images * height * width, _square(channels)
    squares = triton.cdiv(channels, square)
    depth = _depth(unit.device)
    wanted = min(triton.cdiv(rows, LEAST_SLICE), triton.cdiv(PROGRAMS, squares**2))
    slice_rows = depth * triton.cdiv(rows, depth * max(triton.cdiv(rows, SLICE), wanted))
    slices = triton.cdiv(rows, slice_rows)
    out = unit.new_empty(slices, channels, channels)
    fused_kernels.products_kernel[squares, squares, slices](
        a.high, a.low, b.high, b.low, pivot, unit, out, rows, slice_rows, channels, 1.0,
        A_NARROW=a.narrow, B_NARROW=b.narrow, CHANNELS=square, DEPTH=depth,
        num_warps=SQUARES.get(square, 4), num_stages=STAGES, enable_fp_fusion=True,
    )  # fmt: skip
    slices_at_once = min(SLICES_AT_ONCE, triton.next_power_of_2(slices))
    numbers_at_once = PRODUCTS_AT_ONCE // slices_at_once
    fused_kernels.add_kernel[(triton.cdiv(channels**2, numbers_at_once),)](
        out, total, slices, channels**2, SLICES=slices_at_once, NUMBERS=numbers_at_once
    )


def _depth(device: torch.device) -> int:
    """Return how many cells are multiplied at once on this device."""
    is_hopper = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] == HOPPER
    return DEPTH_ON_HOPPER if is_hopper else DEPTH


def _square(channels: int) -> int:
    """Return in squares of how many ``channels`` products are computed: those that reach least beyond the last one.

    >>> [_square(channels) for channels in (1, 40, 80, 192, 256, 288, 2048)]
    [16, 64, 128, 64, 128, 64, 128]
    """
    size = min(SQUARES, key=lambda size: (triton.cdiv(channels, size) * size, -size))
    return _power_of_two(channels, size)


def _power_of_two(channels: int, most: int) -> int:
    """Return the power of two, up to ``most``, that is enough for so many ``channels``."""
    enough: int = triton.next_power_of_2(channels)
    return min(most, max(LEAST_SQUARE, enough))
