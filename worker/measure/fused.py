"""The comparison of two maps as two kernels for an NVIDIA GPU, where torch's operations would take twenty passes over
the maps: one sums by image, the other multiplies channels with channels on tensor cores.

Both read the map b = f(T(x)) where the model has left it, in its dtype, and take the pivot off on the way. Tensor cores
multiply bfloat16 numbers, which keep 8 of float32's 24 digits, many times faster than other units multiply float32. A
float32 number is the sum of three of them, a = a1 + a2 + a3, and six products of these give what float32 would::

    a b = a1 b1 + (a1 b2 + a2 b1) + (a1 b3 + a2 b2 + a3 b1) + a part below float32's rounding

(Henry, Tang and Heinecke 2019, *Leveraging the bfloat16 artificial intelligence datatype for higher-precision
computations*). Tensor cores cut digits off where float32 rounds, so each sum of a few products is added to the others
outside of them (Ootomo and Yokota 2022, *Recovering single precision accuracy from Tensor Cores*). Where maps are
bfloat16 and so is the pivot, deviations have one such part, or two where the pivot is not 0: one to four products.
"""

import torch
import triton
from torch import Tensor
from triton import language as tl

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-any-return"

SQUARE = 128
"""Products are computed in squares of at most so many channels."""
DEPTH = 32
"""How many cells a tensor core multiplies before its sum is added to the others."""
SLICE = 4096
"""How many cells one product sums in float32 at most: a longer sum would lose digits."""
LEAST_SLICE = 256
PROGRAMS = 1024
"""Few channels are cut into shorter slices, so that a GPU has so many things to do at a time."""
CHUNK = 128
"""How many cells of one image a program sums."""
NUMBERS_AT_ONCE, CHANNELS_AT_ONCE = 1024, 256
"""How many numbers of a map it loads at once, and of how many channels at most."""
LEAST_SQUARE = 16
"""Tensor cores multiply no smaller squares."""
SIZES = (
    "rows", "slice_rows", "cells", "columns", "chunks", "plane",
    "a_image", "a_row", "a_column", "b_image", "b_row", "b_column",
)  # fmt: skip
"""Triton would compile a kernel anew for sizes of other divisors, and that takes a second. Only whether ``channels`` is
a multiple of 16 matters for speed, so all strides are counted in cells."""


@triton.jit
def _place(cell, cells, columns, of_image, of_row, of_column):
    """Return where ``cell``, counted through all images, is in maps (N, h, w, K), counted in K numbers."""
    image, within = cell // cells, cell % cells
    return image.to(tl.int64) * of_image + (within // columns) * of_row + (within % columns) * of_column


@triton.jit(do_not_specialize=[name for name in SIZES if name not in ("chunks", "plane")])
def _products_kernel(
    a, b, pivot, out, rows, slice_rows, cells, columns, channels,
    a_image, a_row, a_column, b_image, b_row, b_column, one,
    NARROW: tl.constexpr, PART: tl.constexpr, CHANNELS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Write the products of CHANNELS channels of a with as many of b, summed over one slice of the rows."""
    i = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    j = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    first = tl.program_id(2) * slice_rows
    last = tl.minimum(first + slice_rows, rows)
    pivot_j = tl.load(pivot + j, mask=j < channels, other=0.0)
    pivot_i = tl.load(pivot + i, mask=i < channels, other=0.0)
    total = tl.zeros((CHANNELS, CHANNELS), tl.float32)
    rest_of_a = tl.max(tl.abs(pivot_i)) > 0
    rest_of_b = tl.max(tl.abs(pivot_j)) > 0
    for start in range(first, last, DEPTH):
        row = start + tl.arange(0, DEPTH)
        at_a = _place(row, cells, columns, a_image, a_row, a_column) * channels
        at_b = _place(row, cells, columns, b_image, b_row, b_column) * channels
        is_row = row < last
        of_a = tl.load(a + i[:, None] + at_a[None, :], mask=(i[:, None] < channels) & is_row[None, :], other=0.0)
        of_b = tl.load(b + at_b[:, None] + j[None, :], mask=(j[None, :] < channels) & is_row[:, None], other=0.0)
        of_b = tl.where(is_row[:, None], of_b.to(tl.float32) - pivot_j[None, :], 0.0)
        a1 = of_a.to(tl.bfloat16).to(tl.float32)
        b1 = of_b.to(tl.bfloat16).to(tl.float32)
        if NARROW:
            found = tl.dot(a1.to(PART), b1.to(PART))
            if rest_of_b:
                found += tl.dot(a1.to(PART), (of_b - b1).to(PART))
            if rest_of_a:
                found += tl.dot((of_a - a1).to(PART), b1.to(PART))
            if rest_of_a & rest_of_b:
                found += tl.dot((of_a - a1).to(PART), (of_b - b1).to(PART))
        else:
            a2 = (of_a - a1).to(tl.bfloat16).to(tl.float32)
            b2 = (of_b - b1).to(tl.bfloat16).to(tl.float32)
            # The small products first: added to the large one, they would lose their last digits.
            found = tl.dot(a2.to(PART), b2.to(PART))
            found = tl.dot(a1.to(PART), (of_b - b1 - b2).to(PART), found)
            found = tl.dot((of_a - a1 - a2).to(PART), b1.to(PART), found)
            found = tl.dot(a1.to(PART), b2.to(PART), found)
            found = tl.dot(a2.to(PART), b1.to(PART), found)
            found = tl.dot(a1.to(PART), b1.to(PART), found)
        total += found * one  # times 1, which the compiler doesn't know: else the tensor cores would add
    place = tl.program_id(2).to(tl.int64) * channels * channels
    is_pair = (i[:, None] < channels) & (j[None, :] < channels)
    tl.store(out + place + i[:, None] * channels + j[None, :], total, mask=is_pair)


@triton.jit(do_not_specialize=[name for name in SIZES if name not in ("rows", "slice_rows")])
def _sums_kernel(
    a, b, pivot, partners, out, plane, cells, columns, channels, chunks,
    a_image, a_row, a_column, b_image, b_row, b_column,
    SIMILARITIES: tl.constexpr, CHUNK: tl.constexpr, CELLS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Write the sums of :func:`sums` over one chunk of one image, for some channels."""
    chunk, image = tl.program_id(0) % chunks, (tl.program_id(0) // chunks).to(tl.int64)
    k = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = k < channels
    own_pivot = tl.load(pivot + k, mask=is_channel, other=0.0)
    first_partner = tl.load(partners + k, mask=is_channel, other=0)
    first_pivot = tl.load(pivot + first_partner, mask=is_channel, other=0.0)
    second_partner = tl.load(partners + (SIMILARITIES - 1) * channels + k, mask=is_channel, other=0)
    second_pivot = tl.load(pivot + second_partner, mask=is_channel, other=0.0)
    deviations = tl.zeros((CELLS, CHANNELS), tl.float32)
    squares = tl.zeros((CELLS, CHANNELS), tl.float32)
    own = tl.zeros((CELLS, CHANNELS), tl.float32)
    first_pair = tl.zeros((CELLS, CHANNELS), tl.float32)
    second_pair = tl.zeros((CELLS, CHANNELS), tl.float32)
    a += image * a_image * channels
    b += image * b_image * channels
    end = tl.minimum((chunk + 1) * CHUNK, cells)
    for start in range(chunk * CHUNK, end, CELLS):
        cell = start + tl.arange(0, CELLS)
        mask = (cell[:, None] < end) & is_channel[None, :]
        at_a = ((cell // columns) * a_row + (cell % columns) * a_column) * channels
        at_b = ((cell // columns) * b_row + (cell % columns) * b_column) * channels
        of_a = tl.load(a + at_a[:, None] + k[None, :], mask=mask, other=0.0)
        of_b = tl.load(b + at_b[:, None] + k[None, :], mask=mask, other=0.0).to(tl.float32)
        of_b = tl.where(mask, of_b - own_pivot[None, :], 0.0)
        deviations += of_b
        squares += of_b * of_b
        own += of_a * of_b
        of_partner = tl.load(b + at_b[:, None] + first_partner[None, :], mask=mask, other=0.0).to(tl.float32)
        first_pair += of_a * (of_partner - first_pivot[None, :])
        if SIMILARITIES == 2:
            of_partner = tl.load(b + at_b[:, None] + second_partner[None, :], mask=mask, other=0.0).to(tl.float32)
            second_pair += of_a * (of_partner - second_pivot[None, :])
    place = out + tl.program_id(0).to(tl.int64) * channels + k
    tl.store(place, tl.sum(deviations, 0), mask=is_channel)
    tl.store(place + plane, tl.sum(squares, 0), mask=is_channel)
    tl.store(place + 2 * plane, tl.sum(own, 0), mask=is_channel)
    tl.store(place + 3 * plane, tl.sum(first_pair, 0), mask=is_channel)
    if SIMILARITIES == 2:
        tl.store(place + 4 * plane, tl.sum(second_pair, 0), mask=is_channel)


def readable(maps: Tensor) -> Tensor:
    """Return ``maps`` (N, h, w, K) in a form that the kernels read: of 16 or 32 bits, the channels of each cell side by
    side, and a whole number of cells from one cell to another."""
    if maps.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        maps = maps.float()
    *strides, of_channel = maps.stride()
    is_readable = of_channel == 1 and all(stride % maps.shape[3] == 0 for stride in strides)
    return maps if is_readable else maps.contiguous()


def _strides(maps: Tensor) -> list[int]:
    """Return how many cells lie between two images, rows, and columns of ``maps``."""
    return [stride // maps.shape[3] for stride in maps.stride()[:3]]


def sums(a: Tensor, b: Tensor, pivot: Tensor, partners: Tensor, out: Tensor) -> None:
    """Sum over the cells of each image: the deviations of b from the pivot, their squares, and their products with a.

    ``a`` (N, h, w, K) float32 has deviations; ``b`` is raw and :func:`readable`. ``out`` (3 + S, N, K) receives the
    sums, those of the products of each channel with itself first, then with its partner in each row of ``partners``
    (S, K).
    """
    images, height, width, channels = a.shape
    chunks, at_once = triton.cdiv(height * width, CHUNK), _power_of_two(channels, CHANNELS_AT_ONCE)
    of_chunk = a.new_empty(len(out), images, chunks, channels)
    _sums_kernel[images * chunks, triton.cdiv(channels, at_once)](
        a, b, pivot, partners, of_chunk, images * chunks * channels, height * width, width, channels, chunks,
        *_strides(a), *_strides(b),
        SIMILARITIES=len(partners), CHUNK=CHUNK, CELLS=NUMBERS_AT_ONCE // at_once, CHANNELS=at_once,
        enable_fp_fusion=True,
    )  # fmt: skip
    torch.sum(of_chunk, 2, out=out)


def products(a: Tensor, b: Tensor, pivot: Tensor, part: tl.dtype = tl.bfloat16) -> Tensor:
    """Sum the products of each channel of ``a`` with each of ``b`` over all cells and images: (slices, K, K) float32.

    ``a`` and ``b`` are those of :func:`sums`; if b is bfloat16, so must the ``pivot`` be, and the map that a is of.
    ``part`` is the dtype that tensor cores multiply.
    """
    images, height, width, channels = a.shape
    rows, square = images * height * width, _power_of_two(channels, SQUARE)
    squares = triton.cdiv(channels, square)
    wanted = min(triton.cdiv(rows, LEAST_SLICE), triton.cdiv(PROGRAMS, squares**2))
    slice_rows = DEPTH * triton.cdiv(rows, DEPTH * max(triton.cdiv(rows, SLICE), wanted))
    slices = triton.cdiv(rows, slice_rows)
    out = a.new_empty(slices, channels, channels)
    _products_kernel[squares, squares, slices](
        a, b, pivot, out, rows, slice_rows, height * width, width, channels, *_strides(a), *_strides(b), 1.0,
        NARROW=b.dtype == torch.bfloat16, PART=part, CHANNELS=square, DEPTH=DEPTH,
        num_warps=8 if square == SQUARE else 4, enable_fp_fusion=True,
    )  # fmt: skip
    return out


def _power_of_two(channels: int, most: int) -> int:
    """Return the power of two, up to ``most``, that is enough for so many ``channels``."""
    return min(most, max(LEAST_SQUARE, triton.next_power_of_2(channels)))
