"""Runs the kernels for GPUs by Triton's interpreter, on the CPU, and prints how far they are from float64, and what is
measured with them from what is measured without.

Triton decides when it is imported whether it interprets, so this is a process of its own: test_fused.py starts it.
"""

import json
from itertools import product

import torch
from torch import Tensor

from worker.depth import Representation
from worker.measure import fused
from worker.measure.groups import GROUPS, members_of
from worker.measure.representation_sums import RepresentationSums, count_terms
from worker.measure.transforms import Reflection, Rotation, Shift, align
from worker.measure.warps import Warp

CPU = torch.device("cpu")
TRANSFORMS = [Shift(16, "crop"), Shift(8, "circular"), Rotation(90), Reflection("horizontal"), Warp("rotation", 20.0)]
SIDE, IMAGES, SIZE = 5, 3, 80


def errors(channels: int, similarities: int, dtype: torch.dtype) -> tuple[float, float]:
    """Return how far sums are off, as a share of the sums of magnitudes, and products, as a share of the norms."""
    generator = torch.Generator().manual_seed(0)
    pivot = torch.randn(channels, generator=generator).to(dtype).float()
    pivot[:20] = 0.0
    # As batch norms whose weights have decayed leave them, some channels are far fainter than others.
    strength = torch.logspace(-9, 3, channels)[torch.randperm(channels, generator=generator)]
    maps, shifted = ((strength * torch.randn(3, 9, 9, channels, generator=generator)).to(dtype) for _ in range(2))
    pivot = (pivot * strength).to(dtype).float()
    deviations, b = maps.float() - pivot, shifted[:, 2:, 3:]
    partners = torch.randint(0, channels, (similarities, channels), generator=generator)
    out = torch.full((3 + similarities, 5, 200), torch.nan)[:, :3, :channels]
    unit = fused.unit_of(deviations, pivot)
    a = fused.halves(deviations, unit, narrow=dtype == torch.bfloat16)
    found = torch.zeros(channels, channels, dtype=torch.float64)
    for _ in range(2):
        fused.add_products(a, fused.sums(a, b, pivot, unit, partners, out), pivot, unit, found)
    wide_a, wide_b = deviations[:, :7, :6].double(), b.double() - pivot.double()
    terms = [wide_b, wide_b.square(), wide_a * wide_b, *(wide_a * wide_b[..., row] for row in partners)]
    of_sums = [
        ((sums - term.sum((1, 2))).abs() / term.abs().sum((1, 2))).max().item()
        for sums, term in zip(out, terms, strict=True)
    ]
    norms = wide_a.flatten(0, 2).norm(dim=0)[:, None] * wide_b.flatten(0, 2).norm(dim=0)
    exact = torch.einsum("nhwi,nhwj->ij", wide_a, wide_b)
    return max(of_sums), ((found / 2 - exact).abs() / norms).max().item()


def measured(maps: list[Tensor], tensor_cores: bool) -> tuple[RepresentationSums, dict[object, Tensor]]:
    """Sum two batches of ``maps`` of a reference view, followed by those of each transform."""
    channels, dtype = maps[0].shape[3], torch.float32
    representation = Representation("block", "Early", "NHWC", SIDE, SIDE, channels)
    alignments = {transform: align(transform, SIDE, SIDE, SIZE, CPU) for transform in TRANSFORMS}
    windows = {
        (alignment.height, alignment.width)
        for transform, alignment in alignments.items()
        if not isinstance(transform, Warp)
    }
    sums = RepresentationSums(representation, alignments, windows, 1, CPU, tensor_cores=tensor_cores)
    out = {transform: torch.zeros(count_terms(transform, dtype, 1), IMAGES, channels) for transform in TRANSFORMS}
    for _ in range(2):
        sums.see_reference(maps[0], members_of(torch.zeros(IMAGES, dtype=torch.int64)))
        for transform, transformed in zip(TRANSFORMS, maps[1:], strict=True):
            sums.compare(transform, transformed, out[transform])
    return sums, out


def by_group(out: dict[object, Tensor]) -> dict[object, Tensor]:
    return {
        key: torch.nn.functional.pad(sums.double().sum(1)[:, None], (0, 0, 0, GROUPS - 1)) for key, sums in out.items()
    }


def difference(dtype: torch.dtype) -> float:
    """Return by how much products and sums differ, as a share of the largest, with the kernels and without."""
    generator = torch.Generator().manual_seed(0)
    level = torch.arange(24) / 4
    maps = [(torch.randn(IMAGES, SIDE, SIDE, 24, generator=generator) + level).to(dtype) for _ in range(6)]
    (fast, out), (plain, expected) = measured(maps, True), measured(maps, False)
    assert not any(fast.overflowed(transform, sums) for transform, sums in by_group(out).items())
    pairs = [(fast._products, plain._products), *((out[key], expected[key]) for key in TRANSFORMS)]
    pairs += [(getattr(fast, name), getattr(plain, name)) for name in ("_reference", "_cells")]
    interpolations = [sums.interpolation(TRANSFORMS[-1], 2 * IMAGES) for sums in (fast, plain)]
    assert abs(interpolations[0] - interpolations[1]) < 1e-6
    return max(((found - other).abs().max() / other.abs().max()).item() for found, other in pairs)


def overflows(last: float) -> bool:
    """Tell whether maps overflow, of which one number in a channel that was 0 before is ``last``."""
    maps = [torch.randn(IMAGES, SIDE, SIDE, 24, generator=torch.Generator().manual_seed(seed)) for seed in range(6)]
    for each in maps:
        each[..., 7] = 0.0
    maps[1][0, 4, 4, 7] = last
    sums, out = measured(maps, True)
    found = [sums.overflowed(transform, given) for transform, given in by_group(out).items()]
    assert not any(found[1:])
    return found[0]


if __name__ == "__main__":
    cases = product([(40, 1), (70, 2), (130, 1)], [torch.float32, torch.bfloat16])
    answers = {
        "errors": [errors(*sizes, dtype) for sizes, dtype in cases],
        "differences": [difference(dtype) for dtype in (torch.float32, torch.bfloat16, torch.float64)],
        "overflows": [overflows(last) for last in (1e2, 1e6, float("nan"))],
    }
    print(json.dumps(answers))
