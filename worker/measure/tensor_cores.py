"""Whether this GPU's tensor cores multiply as exactly as float32, which is measured and not believed."""

import logging
from functools import cache

import torch
from torch import Tensor

log = logging.getLogger("zooaudit.worker")

TOLERANCE = 1e-6
"""How far products on tensor cores may be off, as a share of the norms of both channels."""


@cache
def tensor_cores_are_exact(device: torch.device) -> bool:
    """Tell whether the kernels of :mod:`worker.measure.fused` run on ``device`` and are as exact as float32.

    They are tried once on each device, with float32 and with bfloat16 maps, against float64. They need an NVIDIA GPU of
    2020 or later, Triton, and a C compiler, which Triton calls.
    """
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(8, 32, 32, 128, generator=generator).relu().to(device)
    pivot = torch.where(torch.arange(128) < 64, 0.0, 0.40625).to(device)
    try:
        errors = [_error(maps.to(dtype), pivot) for dtype in (torch.float32, torch.bfloat16)]
    except Exception as error:  # a compiler may fail in any way, and without these kernels all goes on, slower
        log.warning("products are computed without tensor cores: %s: %s", type(error).__name__, error)
        return False
    return max(errors) < TOLERANCE


def _error(maps: Tensor, pivot: Tensor) -> float:
    """Compute how far products of ``maps`` with themselves are off, and sums of them, as a share of the norms."""
    from worker.measure import fused

    deviations = maps.float() - pivot
    wide = deviations.double()
    norms = wide.square().sum((0, 1, 2)).sqrt()
    exact = torch.einsum("nhwi,nhwj->ij", wide, wide)
    own, unit = torch.arange(len(pivot), device=maps.device), fused.unit_of(deviations, pivot)
    sums = deviations.new_empty(4, len(maps), len(pivot))
    a = fused.halves(deviations, unit, narrow=maps.dtype != torch.float32)
    b = fused.sums(a, maps, pivot, unit, own[None], sums)
    products = torch.zeros_like(exact)
    fused.add_products(a, b, pivot, unit, products)
    off = (products - exact).abs() / (norms[:, None] * norms)
    off_sums = (sums.double().sum(1)[1:] - exact.diagonal()).abs() / norms.square()
    return max(off.max().item(), off_sums.max().item())
