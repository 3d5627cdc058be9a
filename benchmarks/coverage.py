"""Do 95 % confidence intervals cover 95 %? ``python -m benchmarks.coverage [--samples N]``

Images are drawn from known populations, measured by the very sums and intervals of an audit, and the interval is held
against the score of the whole population, or against the difference of two such scores. As in real images, all
positions of an image have its contrast in common (log-normal), and so have all transforms. An interval that covers less
than 93 % or more than 97 % is named. With 2000 samples chance alone moves a coverage by 1 % (two standard errors).
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from worker.depth import Representation
from worker.measure.groups import GROUPS, choices, group_of
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
    choosing = choices(images, always=False)
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


def scores_of(population: Population, chosen: Tensor) -> tuple[list[Equivariance], list[int]]:
    """Score the chosen images under each transform; return the groups' sizes, too."""
    sums = [summed(a[chosen], b[chosen], 16) for a, b in population]
    return [scored(one, ("correlation",))[0]["correlation"] for one in sums], [n for n in sums[0].images if n]


def truths_of(population: Population) -> list[Equivariance]:
    """Score all images under each transform."""
    return [score(Moments.of(a.flatten(0, 1), b.flatten(0, 1)), "correlation") for a, b in population]


def covered(
    found: Sequence[Equivariance], truths: Sequence[Equivariance], groups: Sequence[int]
) -> dict[str, tuple[bool, float]]:
    """Tell of each quantity whether its interval holds the truth, and how wide half of it is.

    ``channel``, ``layer`` and ``held out`` are the means over the transforms, as for a block. ``difference`` is that
    of the channel scores under the first two, which stand for two models on the same images.
    """
    average, truth = mean(found, ""), mean(truths, "")
    assert average.deviations is not None
    first, second = found[:2]
    assert first.deviations is not None
    assert second.deviations is not None
    # The best partner is the same on any images, so the held-out score of all images is the layer score.
    quantities = {
        "channel": (average.channel, truth.channel, average.deviations[0]),
        "layer": (average.layer, truth.layer, average.deviations[1]),
        "held out": (average.layer_held_out, truth.layer, average.deviations[2]),
        "difference": (
            (first.channel or 0) - (second.channel or 0),
            (truths[0].channel or 0) - (truths[1].channel or 0),
            first.deviations[0] - second.deviations[0],
        ),
    }
    holds = {}
    for name, (value, true, deviations) in quantities.items():
        half = half_width(deviations, groups, held_out=name == "held out")
        assert half is not None
        assert value is not None
        assert true is not None
        holds[name] = (abs(value - true) <= half, half)
    return holds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--images", type=int, nargs="+", default=[64, 500, 2000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'population':28} {'images':>6}  channel   layer  held out  difference  half width of channel, of difference"
    )
    for name, make in POPULATIONS.items():
        generator = torch.Generator().manual_seed(0)
        population = make(generator)
        truths = truths_of(population)
        for images in options.images:
            samples = []
            for _ in range(options.samples):
                chosen = torch.randint(POPULATION, (images,), generator=generator)
                found, groups = scores_of(population, chosen)
                samples.append(covered(found, truths, groups))
            share = {key: 100 * np.mean([sample[key][0] for sample in samples]) for key in samples[0]}
            width = {key: np.mean([sample[key][1] for sample in samples]) for key in samples[0]}
            off = "" if all(abs(each - 95) <= 2 for each in share.values()) else "  OUTSIDE 93 to 97"
            print(
                f"{name:28} {images:6d}  {share['channel']:6.1f}% {share['layer']:6.1f}%  {share['held out']:7.1f}% "
                f"{share['difference']:10.1f}%  {width['channel']:.4f} {width['difference']:.4f}{off}",
                flush=True,
            )


if __name__ == "__main__":
    main()
