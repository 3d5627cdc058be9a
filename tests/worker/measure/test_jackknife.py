"""Intervals: leaving a group out is what it says, merging changes nothing, and widths are those of known theory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.measure.jackknife import MAX_GROUPS, Sums, half_width, piece_size
from worker.measure.moments import Moments, centre
from worker.measure.similarity import score

POSITIONS, CHANNELS = 6, 5


def images(count: int, seed: int = 0, offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Each channel of b follows the next one of a, and a little its own."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(count, POSITIONS, CHANNELS)) + offset
    b = 0.4 * a + 0.8 * np.roll(a, 1, 2) + 0.3 * rng.normal(size=a.shape)
    return torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32)


def summed(a: torch.Tensor, b: torch.Tensor, piece: int, similarity: str = "correlation") -> Sums:
    sums = Sums.empty(CHANNELS, [similarity])
    for x, y in zip(a.split(piece), b.split(piece), strict=True):
        sums.add(len(x), Moments.of(centre(x), centre(y)))
    return sums


def sizes_of(sums: Sums) -> list[int]:
    return sums.groups.images.flatten().tolist()


@pytest.mark.parametrize("similarity", ["correlation", "cosine"])
@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_a_deviation_is_the_score_without_that_group_less_the_score(similarity: str, offset: float) -> None:
    a, b = images(80, offset=offset)
    sums = summed(a, b, 10, similarity)
    equivariance = sums.score(similarity)
    assert equivariance.deviations is not None
    whole = score(Moments.of(centre(a), centre(b)), similarity)
    assert equivariance.channel == pytest.approx(whole.channel, abs=1e-6)
    for group in range(8):
        rest = torch.ones(80, dtype=torch.bool)
        rest[10 * group : 10 * group + 10] = False
        without = score(Moments.of(centre(a[rest]), centre(b[rest])), similarity)
        assert equivariance.deviations[0][group] == pytest.approx(without.channel - whole.channel, abs=2e-6)
        if group < 2:
            assert np.isnan(equivariance.deviations[1][group])
        else:
            assert equivariance.deviations[1][group] == pytest.approx(without.layer - whole.layer, abs=2e-6)


@settings(deadline=None, max_examples=30)
@given(pieces=st.integers(1, 150), seed=st.integers(0, 100))
def test_groups_stay_few_hold_every_image_and_merge_without_loss(pieces: int, seed: int) -> None:
    a, b = images(pieces, seed)
    sums = summed(a, b, 1)
    sizes = sizes_of(sums)
    assert len(sizes) <= MAX_GROUPS
    assert sum(sizes) == pieces
    assert len(set(sizes[:-1])) <= 1
    assert sizes[-1] <= sizes[0]
    first = 0
    for index, size in enumerate(sizes):
        chosen = slice(first, first + size)
        alone = Moments.of(centre(a[chosen]), centre(b[chosen]))
        for partners, cross in zip(sums.groups.partners[:, index].long(), sums.groups.cross[:, index], strict=True):
            if (partners >= 0).all():
                torch.testing.assert_close(
                    cross, alone.cross.T.gather(0, partners[None])[0].float(), rtol=1e-4, atol=1e-4
                )
        first += size
    # All but the first quarter know partners, or the layer score would have no interval.
    assert (sums.groups.partners[0] == torch.arange(CHANNELS)).all()
    assert all(
        (sums.groups.partners[1, index] >= 0).all()
        for index in range(len(sizes))
        if 4 * sum(sizes[:index]) >= max(pieces, 8)
    )


def test_sums_of_different_images_add() -> None:
    a, b = images(96)
    whole = summed(a, b, 4)
    parts = summed(a[:48], b[:48], 4) + summed(a[48:], b[48:], 4)
    assert parts.score("correlation").channel == pytest.approx(whole.score("correlation").channel, abs=1e-6)
    assert sizes_of(parts) == sizes_of(whole)
    np.testing.assert_allclose(
        parts.score("correlation").deviations[0], whole.score("correlation").deviations[0], atol=1e-6
    )


def test_the_width_is_that_of_fishers_theory() -> None:
    # For normal pairs the standard deviation of r is (1 - r^2) / sqrt(n).
    generator = torch.Generator().manual_seed(0)
    n, r = 20_000, 0.6
    a = torch.randn(n, 1, 1, generator=generator)
    b = r * a + (1 - r**2) ** 0.5 * torch.randn(n, 1, 1, generator=generator)
    sums = Sums.empty(1, ["correlation"])
    for x, y in zip(a.split(625), b.split(625), strict=True):
        sums.add(len(x), Moments.of(centre(x), centre(y)))
    deviations = sums.score("correlation").deviations
    half = half_width(deviations[0], sizes_of(sums))
    assert half == pytest.approx(2.04 * (1 - r**2) / n**0.5, rel=0.35)


def test_a_perfect_score_is_certain_and_too_few_groups_say_nothing() -> None:
    a, _ = images(64)
    sums = summed(a, a, 8)
    deviations = sums.score("correlation").deviations
    assert half_width(deviations[0], [8] * 8) == pytest.approx(0.0, abs=1e-7)
    assert half_width(np.zeros(4), [8] * 4) is None
    assert half_width(np.array([np.nan] * 6 + [0.1] * 4), [8] * 10) is None


def test_unequal_groups_weigh_what_they_hold() -> None:
    # Deviations of a mean: leaving out g moves it by (mean - mean_g) m_g / (n - m_g).
    rng = np.random.default_rng(3)
    widths = []
    for _ in range(300):
        sizes = [20] * 15 + [5]
        values = rng.normal(size=sum(sizes))
        groups = np.split(values, np.cumsum(sizes)[:-1])
        rest = np.array([(values.sum() - g.sum()) / (len(values) - len(g)) for g in groups])
        half = half_width(rest - values.mean(), sizes)
        assert half is not None
        widths.append(half)
    assert np.sqrt(np.mean(np.square(widths))) == pytest.approx(2.13 / np.sqrt(305), rel=0.05)


def test_small_samples_are_cut_into_at_least_eight_pieces() -> None:
    assert [piece_size(n, 16) for n in (1, 7, 16, 24, 32, 127, 128, 5000)] == [1, 1, 2, 2, 4, 8, 16, 16]
