"""Runs the kernels for GPUs by Triton's interpreter, on the CPU, and prints how far they are from float64.

Triton decides when it is imported whether it interprets, so this is a process of its own: test_fused.py starts it.
"""

import json
from itertools import product

import torch
from triton import language

from worker.measure import fused


def errors(channels: int, similarities: int, dtype: torch.dtype) -> tuple[float, float]:
    """Return how far sums are off, as a share of the sums of magnitudes, and products, as a share of the norms."""
    generator = torch.Generator().manual_seed(0)
    pivot = torch.randn(channels, generator=generator).to(dtype).float()
    pivot[:20] = 0.0
    maps, shifted = (torch.randn(3, 9, 9, channels, generator=generator).to(dtype) for _ in range(2))
    a, b = (maps.float() - pivot)[:, :7, :6], shifted[:, 2:, 3:]
    partners = torch.randint(0, channels, (similarities, channels), generator=generator)
    out = torch.full((3 + similarities, 5, 200), torch.nan)[:, :3, :channels]
    fused.sums(a, b, pivot, partners, out)
    wide_a, wide_b = a.double(), b.double() - pivot.double()
    terms = [wide_b, wide_b.square(), wide_a * wide_b, *(wide_a * wide_b[..., row] for row in partners)]
    of_sums = [
        ((found - term.sum((1, 2))).abs() / term.abs().sum((1, 2))).max().item()
        for found, term in zip(out, terms, strict=True)
    ]
    # The interpreter cannot multiply bfloat16; float32 holds the same numbers.
    found = fused.products(a, b, pivot, part=language.float32).double().sum(0)
    norms = wide_a.flatten(0, 2).norm(dim=0)[:, None] * wide_b.flatten(0, 2).norm(dim=0)
    of_products = ((found - torch.einsum("nhwi,nhwj->ij", wide_a, wide_b)).abs() / norms).max().item()
    return max(of_sums), of_products


if __name__ == "__main__":
    cases = product([(40, 1), (70, 2), (130, 1)], [torch.float32, torch.bfloat16])
    print(json.dumps([errors(*sizes, dtype) for sizes, dtype in cases]))
