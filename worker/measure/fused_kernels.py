"""The kernels of :mod:`worker.measure.fused`, which calls them and says what they are for.

Triton would compile a kernel anew for sizes of other divisors, and that takes a second. Only whether ``channels`` is a
multiple of 16 matters for speed, so all strides are counted in cells.
"""

import triton
from triton import language as tl

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-any-return"


@triton.jit
def _with_low(pivot, k, channels, NARROW: tl.constexpr):
    """Return the number of ``channels`` if the low halves of channels ``k`` are read, else 0."""
    largest = tl.max(tl.abs(tl.load(pivot + k, mask=k < channels, other=0.0)))
    return tl.where(largest > 0, channels, 0) if NARROW else channels


@triton.jit(do_not_specialize=["rows", "slice_rows"])
def products_kernel(
    a_high, a_low, b_high, b_low, pivot, unit, out, rows, slice_rows, channels, one,
    A_NARROW: tl.constexpr, B_NARROW: tl.constexpr, CHANNELS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Write the products of CHANNELS channels of a with as many of b, summed over one slice of the rows."""
    i = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    j = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    is_i, is_j = (i < channels)[None, :], (j < channels)[None, :]
    first = tl.program_id(2) * slice_rows
    count = tl.minimum(slice_rows, rows - first)
    begin = first.to(tl.int64) * channels
    depth = tl.arange(0, DEPTH)
    of_a = depth[:, None] * channels + i[None, :]
    of_b = depth[:, None] * channels + j[None, :]
    with_low_a = _with_low(pivot, i, channels, A_NARROW)
    with_low_b = _with_low(pivot, j, channels, B_NARROW)
    is_low_j = (j < with_low_b)[None, :]
    total = tl.zeros((CHANNELS, CHANNELS), tl.float32)
    if with_low_a + with_low_b > 0:
        for start in range(0, count, DEPTH):
            is_row = (start + depth < count)[:, None]
            at = begin + start * channels
            high_a = tl.load(a_high + at + of_a, mask=is_row & is_i, other=0.0)
            low_a = tl.load(a_low + at + of_a, mask=is_row & is_i, other=0.0)
            high_b = tl.load(b_high + at + of_b, mask=is_row & is_j, other=0.0)
            low_b = tl.load(b_low + at + of_b, mask=is_row & is_low_j, other=0.0)
            # The small products first: added to the large one, they would lose their last digits.
            found = tl.dot(low_a.T, high_b)
            found = tl.dot(high_a.T, low_b, found)
            found = tl.dot(high_a.T, high_b, found)
            total += found * one  # times 1, which the compiler doesn't know: else the tensor cores would add
    else:
        for start in range(0, count, DEPTH):
            is_row = (start + depth < count)[:, None]
            at = begin + start * channels
            high_a = tl.load(a_high + at + of_a, mask=is_row & is_i, other=0.0)
            high_b = tl.load(b_high + at + of_b, mask=is_row & is_j, other=0.0)
            total += tl.dot(high_a.T, high_b) * one
    unit_i = tl.load(unit + i, mask=i < channels, other=0.0)
    unit_j = tl.load(unit + j, mask=j < channels, other=0.0)
    total *= unit_i[:, None] * unit_j[None, :]
    place = tl.program_id(2).to(tl.int64) * channels * channels
    is_pair = (i < channels)[:, None] & is_j
    tl.store(out + place + i[:, None] * channels + j[None, :], total, mask=is_pair)


@triton.jit(do_not_specialize=["slices"])
def add_kernel(of_slices, total, slices, numbers, SLICES: tl.constexpr, NUMBERS: tl.constexpr):
    """Add the products of all slices to the float64 ``total``."""
    slice = tl.arange(0, SLICES)[:, None]
    number = tl.program_id(0) * NUMBERS + tl.arange(0, NUMBERS)
    found = tl.zeros((NUMBERS,), tl.float64)
    for first in range(0, slices, SLICES):
        at = (first + slice).to(tl.int64) * numbers + number[None, :]
        mask = (first + slice < slices) & (number < numbers)[None, :]
        found += tl.sum(tl.load(of_slices + at, mask=mask, other=0.0).to(tl.float64), 0)
    found += tl.load(total + number, mask=number < numbers, other=0.0)
    tl.store(total + number, found, mask=number < numbers)


@triton.jit(do_not_specialize=["cells", "columns", "height", "width", "b_image", "b_row", "b_column"])
def sums_kernel(
    a_high, a_low, b, pivot, unit, partners, out, b_high, b_low, plane, cells, columns, channels, chunks,
    height, width, b_image, b_row, b_column,
    A_NARROW: tl.constexpr, B_NARROW: tl.constexpr, SIMILARITIES: tl.constexpr,
    STAGES: tl.constexpr, CHUNK: tl.constexpr, CELLS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Write the sums of :func:`worker.measure.fused.sums` over a chunk of one image, for some channels, and halves."""
    chunk, image = tl.program_id(0) % chunks, (tl.program_id(0) // chunks).to(tl.int64)
    k = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = k < channels
    own_pivot = tl.load(pivot + k, mask=is_channel, other=0.0)
    own_unit = tl.load(unit + k, mask=is_channel, other=1.0)
    per_unit = 1.0 / own_unit
    is_low_a = (k < _with_low(pivot, k, channels, A_NARROW))[None, :]
    is_low_b = (k < _with_low(pivot, k, channels, B_NARROW))[None, :]
    first_partner = tl.load(partners + k, mask=is_channel, other=0).to(tl.int32)
    first_pivot = tl.load(pivot + first_partner, mask=is_channel, other=0.0)
    second_partner = tl.load(partners + (SIMILARITIES - 1) * channels + k, mask=is_channel, other=0).to(tl.int32)
    second_pivot = tl.load(pivot + second_partner, mask=is_channel, other=0.0)
    deviations = tl.zeros((CELLS, CHANNELS), tl.float32)
    squares = tl.zeros((CELLS, CHANNELS), tl.float32)
    own = tl.zeros((CELLS, CHANNELS), tl.float32)
    first_pair = tl.zeros((CELLS, CHANNELS), tl.float32)
    second_pair = tl.zeros((CELLS, CHANNELS), tl.float32)
    a_high += image * cells * channels
    a_low += image * cells * channels
    b_high += image * cells * channels
    b_low += image * cells * channels
    b += image * b_image * channels
    end = tl.minimum((chunk + 1) * CHUNK, cells)
    for start in tl.range(chunk * CHUNK, end, CELLS, num_stages=STAGES):
        cell = start + tl.arange(0, CELLS)
        row, column = cell // columns, cell % columns
        is_number = (cell[:, None] < end) & is_channel[None, :]
        mask = is_number & ((row < height) & (column < width))[:, None]
        at = cell[:, None] * channels + k[None, :]
        at_b = (row * b_row + column * b_column)[:, None] * channels
        of_a = tl.load(a_high + at, mask=mask, other=0.0).to(tl.float32)
        of_a += tl.load(a_low + at, mask=mask & is_low_a, other=0.0).to(tl.float32)
        of_b = tl.load(b + at_b + k[None, :], mask=mask, other=0.0).to(tl.float32)
        of_b = tl.where(mask, of_b - own_pivot[None, :], 0.0)
        in_units = of_b * per_unit[None, :]
        high = in_units.to(tl.float16)
        tl.store(b_high + at, high, mask=is_number)
        tl.store(b_low + at, (in_units - high.to(tl.float32)).to(tl.float16), mask=is_number & is_low_b)
        deviations += of_b
        squares += of_b * of_b
        own += of_a * of_b
        of_partner = tl.load(b + at_b + first_partner[None, :], mask=mask, other=0.0).to(tl.float32)
        first_pair += of_a * (of_partner - first_pivot[None, :])
        if SIMILARITIES == 2:
            of_partner = tl.load(b + at_b + second_partner[None, :], mask=mask, other=0.0).to(tl.float32)
            second_pair += of_a * (of_partner - second_pivot[None, :])
    place = out + tl.program_id(0).to(tl.int64) * channels + k
    tl.store(place, tl.sum(deviations, 0), mask=is_channel)
    tl.store(place + plane, tl.sum(squares, 0), mask=is_channel)
    tl.store(place + 2 * plane, tl.sum(own, 0) * own_unit, mask=is_channel)
    tl.store(place + 3 * plane, tl.sum(first_pair, 0) * own_unit, mask=is_channel)
    if SIMILARITIES == 2:
        tl.store(place + 4 * plane, tl.sum(second_pair, 0) * own_unit, mask=is_channel)
