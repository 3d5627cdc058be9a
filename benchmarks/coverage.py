"""Do 95 % confidence intervals cover 95 %? ``python -m benchmarks.coverage [--samples N]``

Images are drawn from known populations, measured by the very sums and intervals of an audit, and the interval is held
against the score of the whole population. As in real images, all positions of an image have its contrast in common
(log-normal), and so have all transforms. An interval that covers less than 93 % or more than 97 % is named. With
2000 samples chance alone moves a coverage by 1 % (two standard errors).
"""

import argparse
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from worker.depth import Representation
from worker.measure.groups import GROUPS, choosing_groups, first_place, group_of
from worker.measure.jackknife import half_width, scored
from worker.measure.moments import Moments
from worker.measure.representation_sums import RepresentationSums
from worker.measure.scores import mean
from worker.measure.similarity import Equivariance, Similarity, score
from worker.measure.sums import Sums
from worker.measure.transforms import Alignment, Shift

POPULATION = 50_000
CHANNELS = 12
POSITIONS = 9
Population = list[tuple[Tensor, Tensor]]
"""By transform: a and b, (images, positions, channels)."""


def gaussian(generator: torch.Generator, contrast: float) -> Population:
    """Each channel of b is a mixture of the same and of another channel of a, and of noise."""
    shape = (POPULATION, POSITIONS, CHANNELS)
    gain = torch.exp(contrast * torch.randn(POPULATION, 1, 1, generator=generator))
    a = gain * torch.randn(shape, generator=generator)
    transforms = []
    for own, other in ((0.8, 0.1), (0.2, 0.7)):
        noise = gain * torch.randn(shape, generator=generator)
        transforms.append((a, own * a + other * a.roll(1, 2) + 0.5 * noise))
    return transforms


def rectified(generator: torch.Generator, contrast: float) -> Population:
    """The same after a ReLU, as most feature maps are: skewed, mostly zero."""
    return [(a.sub(0.3).relu(), b.sub(0.3).relu()) for a, b in gaussian(generator, contrast)]


POPULATIONS: dict[str, Callable[[torch.Generator], Population]] = {
    "gaussian": lambda generator: gaussian(generator, 0.0),
    "gaussian, contrast varies": lambda generator: gaussian(generator, 0.5),
    "rectified, contrast varies": lambda generator: rectified(generator, 0.5),
}


def summed(a: Tensor, b: Tensor, batch_size: int, similarities: tuple[Similarity, ...] = ("correlation",)) -> Sums:
    """Sum the maps ``a`` of a reference view and ``b`` of a transformed view, (images, positions, channels), as a pass
    does: in batches, by groups, with partners chosen in between."""
    images, positions, channels = a.shape
    transform = Shift(1)
    alignments = {transform: Alignment(1, positions)}
    representation = Representation("block", "Early", "NHWC", 1, positions, channels)
    sums = RepresentationSums(representation, alignments, {(1, positions)}, len(similarities), a.device)
    by_group = torch.zeros(3 + len(similarities), GROUPS, channels, dtype=torch.float64)
    groups, counts = group_of(torch.arange(images), images), Counter[int]()
    choosing = {first_place(group, images): group for group in choosing_groups(always=False)}
    starts = sorted({*range(0, images, batch_size), *(place for place in choosing if 0 < place < images)})
    for first, end in zip(starts, [*starts[1:], images], strict=True):
        if first and first in choosing:
            sums.choose_partners(choosing[first], counts, {transform: by_group}, similarities)
        members = (torch.arange(GROUPS)[:, None] == groups[first:end]).float()
        of_images = torch.empty(3 + len(similarities), end - first, channels, dtype=sums.dtype)
        counts.update(groups[first:end].tolist())
        sums.see_reference(a[first:end, None], members)
        sums.compare(transform, b[first:end, None], of_images)
        by_group += members.to(sums.dtype) @ of_images
    return sums.sums(counts, {transform: by_group})


def scores_of(population: Population, chosen: Tensor) -> tuple[Equivariance, list[int]]:
    """Average the scores of the chosen images over the transforms, as for a block; return the groups' sizes, too."""
    sums = [summed(a[chosen], b[chosen], 16) for a, b in population]
    return mean([scored(one, ("correlation",))[0]["correlation"] for one in sums], ""), [n for n in sums[0].images if n]


def truth_of(population: Population) -> Equivariance:
    """Average the scores of all images over the transforms."""
    return mean([score(Moments.of(a.flatten(0, 1), b.flatten(0, 1)), "correlation") for a, b in population], "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--images", type=int, nargs="+", default=[64, 500, 2000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'population':28} {'images':>6} {'groups':>6} {'channel':>8} {'layer':>8}  half width, mean of channel")
    for name, make in POPULATIONS.items():
        generator = torch.Generator().manual_seed(0)
        population = make(generator)
        truth = truth_of(population)
        for images in options.images:
            covered = np.zeros(2)
            widths = []
            for _ in range(options.samples):
                chosen = torch.randint(POPULATION, (images,), generator=generator)
                measured, groups = scores_of(population, chosen)
                assert measured.deviations is not None
                for row, (value, true) in enumerate(((measured.channel, truth.channel), (measured.layer, truth.layer))):
                    half = half_width(measured.deviations[row], groups)
                    assert half is not None
                    assert value is not None
                    assert true is not None
                    covered[row] += abs(value - true) <= half
                    if row == 0:
                        widths.append(half)
            share = 100 * covered / options.samples
            off = "" if (abs(share - 95) <= 2).all() else "  OUTSIDE 93 to 97"
            print(
                f"{name:28} {images:6d} {len(groups):6d} {share[0]:7.1f}% {share[1]:7.1f}%  {np.mean(widths):.4f}{off}",
                flush=True,
            )


if __name__ == "__main__":
    main()
