"""The held-out layer score: no bias where nothing is alike, nothing lost where there are partners; its deviations."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.coverage import summed
from worker.measure.groups import GROUPS
from worker.measure.jackknife import scored
from worker.measure.similarity import Equivariance

IMAGES = 128

Maps = tuple[torch.Tensor, torch.Tensor]


def scores(maps: Maps, similarity: str = "correlation", batch_size: int = 32) -> Equivariance:
    return scored(summed(*maps, batch_size, (similarity,)), (similarity,))[0][similarity]


def noise(channels: int, images: int = IMAGES, positions: int = 1, seed: int = 0) -> Maps:
    a, b = torch.randn(2, images, positions, channels, generator=torch.Generator().manual_seed(seed))
    return a, b


def following(images: int = IMAGES, channels: int = 6, offset: float = 1.5) -> Maps:
    """Channel k of b follows channel k + 1 of a; the last channel follows two, of which chance chooses."""
    a, own = noise(channels, images, positions=3, seed=1)
    a, scale = a + offset, torch.arange(1.0, channels + 1)
    b = scale * (0.7 * a.roll(-1, 2) + 0.5 * own)
    b[:, :, -1] = 2.5 * a[:, :, 0] + 0.5 * own[:, :, -1]
    return a, b


def test_chance_raises_the_layer_score_but_not_the_held_out_one() -> None:
    found = scores(noise(200))
    # The mean of max(0, r) of independent channels over the 96 images after the first quarter.
    expected = 1 / np.sqrt(2 * np.pi * 96)
    assert found.layer is not None
    assert found.layer > 0.2
    assert found.layer_held_out == pytest.approx(expected, abs=0.015)


def test_a_permutation_loses_nothing() -> None:
    a, _ = noise(12, positions=4)
    found = scores((a, 3 * a.flip(2) - 1))
    assert (found.layer, found.layer_held_out) == pytest.approx((1, 1), abs=1e-6)


def by_hand(maps: Maps, similarity: str, left_out: int | None = None) -> float:
    """Standardise each partner by the images after the first quarter, then score all but a group of these images."""
    a, b = (values.double().numpy() for values in maps)
    late = np.arange(len(a)) >= len(a) // 4
    partner_values = np.zeros_like(a)
    for first, end in ((len(a) // 4, len(a) // 2), (len(a) // 2, len(a))):
        partners = similarities(a[:first], b[:first], similarity).argmax(1)
        chosen, known = b[first:end][:, :, partners], b[late][:, :, partners]
        mean = 0 if similarity == "cosine" else known.mean((0, 1))
        partner_values[first:end] = (chosen - mean) / np.sqrt(((known - mean) ** 2).mean((0, 1)))
    if left_out is not None:
        late &= np.arange(len(a)) * GROUPS // len(a) != left_out
    return float(np.maximum(0, np.diag(similarities(a[late], partner_values[late], similarity))).mean())


def similarities(a: NDArray[np.float64], b: NDArray[np.float64], similarity: str) -> NDArray[np.float64]:
    x, y = a.reshape(-1, a.shape[2]), b.reshape(-1, b.shape[2])
    if similarity == "correlation":
        x, y = x - x.mean(0), y - y.mean(0)
    return (x / np.linalg.norm(x, axis=0)).T @ (y / np.linalg.norm(y, axis=0))


@pytest.mark.parametrize("similarity", ["correlation", "cosine"])
@pytest.mark.parametrize("maps", [following(), noise(20, positions=2)], ids=["partners", "noise"])
def test_the_score_and_its_deviations_are_those_computed_by_hand(maps: Maps, similarity: str) -> None:
    found = scores(maps, similarity)
    whole = by_hand(maps, similarity)
    assert found.layer_held_out == pytest.approx(whole, abs=1e-6)
    assert found.deviations is not None
    assert np.isnan(found.deviations[2][:8]).all()
    for group in range(8, GROUPS):
        assert found.deviations[2][group] == pytest.approx(by_hand(maps, similarity, group) - whole, abs=1e-6)


def test_it_does_not_depend_on_the_batch_size() -> None:
    whole, other = (scores(following(96), batch_size=size) for size in (96, 7))
    assert other.layer_held_out == pytest.approx(whole.layer_held_out, abs=1e-6)


@pytest.mark.parametrize("images", [1, 4, 6])
def test_too_few_images_have_none(images: int) -> None:
    assert scores(noise(3, images, positions=5)).layer_held_out is None
