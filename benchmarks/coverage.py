"""Do 95 % confidence intervals cover 95 %? ``python -m benchmarks.coverage [--samples N]``

Images are drawn from known populations, measured by the very sums and intervals of an audit, and the interval is held
against the score of the whole population. As in real images, all positions of an image have its contrast in common
(log-normal), and so have all transforms. An interval that covers less than 93 % or more than 97 % is named. With
2000 samples chance alone moves a coverage by 1 % (two standard errors).
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from worker.measure.jackknife import Sums, half_width, piece_size
from worker.measure.moments import Moments, centre
from worker.measure.scores import mean
from worker.measure.similarity import Equivariance

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


def score(population: Population, chosen: Tensor | None, batch: int) -> tuple[Equivariance, list[int]]:
    """Average the scores over the transforms, as for a block: of the chosen images, or of all of them at once."""
    scores = []
    for a, b in population:
        sums = Sums.empty(CHANNELS, ["correlation"])
        if chosen is None:
            sums.add(len(a), Moments.of(centre(a), centre(b)))
        else:
            piece = piece_size(len(chosen), batch)
            for images in chosen.split(piece):
                sums.add(len(images), Moments.of(centre(a[images]), centre(b[images])))
        scores.append(sums.score("correlation"))
    return mean(scores, ""), sums.groups.images.flatten().tolist()


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
        truth, _ = score(population, None, 0)
        for images in options.images:
            covered = np.zeros(2)
            widths = []
            for _ in range(options.samples):
                chosen = torch.randint(POPULATION, (images,), generator=generator)
                measured, groups = score(population, chosen, 16)
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
