"""Products of channels of two maps, as exact as float32 whatever computes them.

A GPU's tensor cores multiply TF32 numbers, which keep 10 of float32's 23 fraction bits, many times faster than its
other units multiply float32. A float32 number is the sum of a TF32 number and a remainder, and three products of such
halves give what float32 would (Ootomo and Yokota 2022, *Recovering single precision accuracy from Tensor Cores*)::

    a b = high(a) high(b) + high(a) low(b) + low(a) high(b) + a part below float32's rounding
"""

from functools import cache

import torch
from torch import Tensor

HIGH_BITS = -(1 << 13)
"""Masks the sign, the exponent and the first 10 fraction bits of a float32 number."""
WIDE_ENOUGH = 128
"""Products of fewer channels are limited by memory, and gain nothing on tensor cores."""
TOLERANCE = 1e-6
"""How far products on tensor cores may be off, as a share of the norms of both channels."""


def halves(values: Tensor) -> tuple[Tensor, Tensor]:
    """Split float32 ``values`` into TF32 numbers and remainders, whose sum they are.

    >>> high, low = halves(torch.tensor([3.14159274]))
    >>> high.item(), low.item()
    (3.140625, 0.0009677410125732422)
    """
    high = values.view(torch.int32).bitwise_and(HIGH_BITS).view(torch.float32)
    return high, values - high


def products(a: Tensor, b: Tensor) -> Tensor:
    """Multiply a^T b for each chunk: ``a`` and ``b`` (C, n, K) give (C, K, K), all float32 or all float64."""
    if a.dtype == torch.float32 and a.shape[2] >= WIDE_ENOUGH and tensor_cores_are_exact(a.device):
        return split_products(a, b)
    return torch.bmm(a.transpose(1, 2), b)


def split_products(a: Tensor, b: Tensor) -> Tensor:
    """Multiply a^T b for each chunk by three TF32 products of halves."""
    (high_a, low_a), (high_b, low_b) = halves(a), halves(b)
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        # The small products first: added to the large one, they would lose their last digits.
        total = torch.bmm(high_a.transpose(1, 2), low_b)
        total.baddbmm_(low_a.transpose(1, 2), high_b)
        return total.baddbmm_(high_a.transpose(1, 2), high_b)
    finally:
        matmul.fp32_precision = before


@cache
def tensor_cores_are_exact(device: torch.device) -> bool:
    """Tell whether ``device`` has tensor cores for TF32 whose split products are as exact as float32's.

    It is measured once on each device, against float64: tensor cores may cut off digits where float32 rounds them.
    """
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(2, 4096, WIDE_ENOUGH, generator=generator).relu().to(device)
    return _error(split_products(a, a), a) < TOLERANCE


def _error(product: Tensor, a: Tensor) -> float:
    """Compute how far the products of ``a`` with itself are off, as a share of the norms."""
    wide = a.double()
    norms = wide.square().sum(1).sqrt()
    off = (product - wide.transpose(1, 2) @ wide).abs() / (norms[:, :, None] * norms[:, None])
    return off.max().item()
