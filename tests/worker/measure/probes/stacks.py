"""Small networks for the probes: layers one after another, each of whose outputs is a representation."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from worker.depth import Representation
from worker.measure.probes.deformation import DeformationSums
from worker.measure.probes.local_error import LocalErrorSums
from worker.measure.probes.statistic import Statistic

Layers = Sequence[Callable[[Tensor], Tensor]]


def outputs(layers: Layers, view: Tensor) -> list[Tensor]:
    """The outputs of the layers as maps, (N, h, w, K)."""
    found = []
    for layer in layers:
        view = layer(view)
        found.append(view.permute(0, 2, 3, 1) if view.ndim == 4 else view[:, None, None])
    return found


def representations(layers: Layers, size: int) -> list[Representation]:
    shapes = [maps.shape[1:] for maps in outputs(layers, torch.zeros(1, 3, size, size))]
    return [Representation(f"layer{index}", "Early", "NCHW", *shape) for index, shape in enumerate(shapes)]


def statistics(
    sums: DeformationSums | LocalErrorSums,
    layers: Layers,
    canvas: Tensor,
    groups: Sequence[int],
    batches: Sequence[Sequence[int]] | None = None,
) -> dict[str, list[Statistic]]:
    """What ``sums`` say of a stack of layers after some batches, by default one of all images."""

    def forward(view: Tensor, receive: Callable[[int, Tensor], None]) -> Tensor:
        found = outputs(layers, view)
        for index, maps in enumerate(found):
            receive(index, maps)
        return found[-1].flatten(1)

    for batch in batches or [range(len(canvas))]:
        places = torch.tensor(list(batch))
        members = (torch.arange(32)[:, None] == torch.tensor(groups)[places]).float()
        with torch.inference_mode():
            sums.see(canvas[places], places, members, forward)
    return sums.statistics([list(groups).count(group) for group in range(32)])


def interpolated(maps: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution of maps (h, w, K) at places (P, 2) in cells, from its definition: (P, K)."""
    height, width, _ = maps.shape
    found = np.zeros((len(places), maps.shape[2]))
    for number, (down, right) in enumerate(places - 0.5):
        rows, columns = np.floor(down) + np.arange(-1, 3), np.floor(right) + np.arange(-1, 3)
        weights = np.outer(_keys(down - rows), _keys(right - columns))
        near = maps[np.ix_(rows.clip(0, height - 1).astype(int), columns.clip(0, width - 1).astype(int))]
        found[number] = np.tensordot(weights, near)
    return found


def _keys(distance: np.ndarray) -> np.ndarray:
    """The kernel as Keys writes it, with a = -1/2."""
    a, s = -0.5, abs(distance)
    near = (a + 2) * s**3 - (a + 3) * s**2 + 1
    far = a * s**3 - 5 * a * s**2 + 8 * a * s - 4 * a
    return np.where(s < 1, near, np.where(s < 2, far, 0.0))


def blurred(count: int, side: int, seed: int, sigma: float = 2.0) -> Tensor:
    """Smooth random images (count, 3, side, side)."""
    frequency = torch.fft.fftfreq(side)
    keep = torch.exp(-2 * (torch.pi * sigma) ** 2 * (frequency[:, None] ** 2 + frequency**2))
    noise = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))
    images = torch.fft.ifft2(torch.fft.fft2(noise) * keep).real
    return images / images.std()
