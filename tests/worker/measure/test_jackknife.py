"""Intervals: leaving a group out is what it says, merging changes nothing, and widths are those of known theory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from zooaudit.contract import MIN_GROUPS

from benchmarks.coverage import summed
from worker.measure.agreement import agreement, mean_agreement
from worker.measure.groups import GROUPS
from worker.measure.jackknife import exact, half_width, scored, share_interval
from worker.measure.moments import Moments
from worker.measure.similarity import score

POSITIONS, CHANNELS = 6, 5


def images(count: int, seed: int = 0, offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Each channel of b follows the next one of a, and a little its own."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(count, POSITIONS, CHANNELS)) + offset
    b = 0.4 * a + 0.8 * np.roll(a, 1, 2) + 0.3 * rng.normal(size=a.shape)
    return torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32)


def moments(a: torch.Tensor, b: torch.Tensor) -> Moments:
    return Moments.of(a.flatten(0, 1), b.flatten(0, 1))


@pytest.mark.parametrize("similarity", ["correlation", "cosine"])
@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_a_deviation_is_the_score_without_that_group_less_the_score(similarity: str, offset: float) -> None:
    a, b = images(128, offset=offset)
    equivariance = scored(summed(a, b, 10, (similarity,)), (similarity,))[0][similarity]
    assert equivariance.deviations is not None
    whole = score(moments(a, b), similarity)
    assert equivariance.channel == pytest.approx(whole.channel, abs=1e-6)
    for group in range(GROUPS):
        rest = torch.ones(128, dtype=torch.bool)
        rest[4 * group : 4 * group + 4] = False
        without = score(moments(a[rest], b[rest]), similarity)
        assert equivariance.deviations[0][group] == pytest.approx(without.channel - whole.channel, abs=2e-6)
        if group < 8:
            assert np.isnan(equivariance.deviations[1][group])
        else:
            assert equivariance.deviations[1][group] == pytest.approx(without.layer - whole.layer, abs=2e-6)


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 150), batch_size=st.integers(1, 40), seed=st.integers(0, 100))
def test_groups_are_those_of_the_sample_whatever_the_batch_size(count: int, batch_size: int, seed: int) -> None:
    a, b = images(count, seed)
    sums = summed(a, b, batch_size)
    groups = [place * GROUPS // count for place in range(count)]
    present = sorted(set(groups))
    assert list(sums.images) == [groups.count(group) for group in range(GROUPS)]
    for group in present:
        chosen = [place for place in range(count) if groups[place] == group]
        pivot = sums.pivot.expand(CHANNELS)
        alone = moments(a[chosen], b[chosen]).about(pivot, pivot)
        for partners, pairs in zip(
            [torch.arange(CHANNELS), sums.partners[0, 0, group]], sums.pairs[:, 0, group], strict=True
        ):
            if (partners >= 0).all():
                expected = alone.products.T.gather(0, partners[None])[0]
                torch.testing.assert_close(pairs, expected, rtol=1e-4, atol=1e-4)
    # All but the first quarter know partners, or the layer score would have no interval; few images have none anyway.
    known = (sums.partners[0, 0] >= 0).all(1).tolist()
    assert [known[group] for group in present] == [group >= 8 and count > MIN_GROUPS for group in present]


def test_neither_scores_nor_intervals_depend_on_the_batch_size() -> None:
    a, b = images(96)
    whole, *others = (scored(summed(a, b, size), ("correlation",))[0]["correlation"] for size in (96, 1, 7, 32))
    for other in others:
        assert (other.channel, other.layer) == pytest.approx((whole.channel, whole.layer), abs=1e-6)
        np.testing.assert_allclose(other.deviations, whole.deviations, atol=1e-6)


def test_rounding_does_not_choose_between_copies_of_a_channel() -> None:
    a, b = images(96)
    a, b = torch.cat([a, a, a], 2), torch.cat([b, b * 3, b - 1], 2)
    whole, *others = (scored(summed(a, b, size), ("correlation",))[0]["correlation"] for size in (96, 1, 7, 32))
    for other in others:
        np.testing.assert_allclose(other.deviations, whole.deviations, atol=1e-6)


def test_the_width_is_that_of_fishers_theory() -> None:
    # For normal pairs the standard deviation of r is (1 - r^2) / sqrt(n).
    generator = torch.Generator().manual_seed(0)
    n, r = 20_000, 0.6
    a = torch.randn(n, 1, 1, generator=generator)
    b = r * a + (1 - r**2) ** 0.5 * torch.randn(n, 1, 1, generator=generator)
    sums = summed(a, b, 625)
    deviations = scored(sums, ("correlation",))[0]["correlation"].deviations
    half = half_width(deviations[0], sums.images)
    assert half == pytest.approx(2.04 * (1 - r**2) / n**0.5, rel=0.35)


def test_a_perfect_score_is_certain_and_too_few_groups_say_nothing() -> None:
    a, _ = images(64)
    sums = summed(a, a, 8)
    deviations = scored(sums, ("correlation",))[0]["correlation"].deviations
    assert half_width(deviations[0], sums.images) == pytest.approx(0.0, abs=1e-7)
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


def test_the_exact_interval_is_that_of_the_binomial_test() -> None:
    for images in (1, 4, 48):
        for kept in range(images + 1):
            reference = binomtest(kept, images).proportion_ci(0.95, "exact")
            assert exact(kept / images, images) == pytest.approx(tuple(reference), abs=1e-12)
    assert exact(0.0, 0) is None


@pytest.mark.parametrize("transforms", [1, 6])
@pytest.mark.parametrize("truth", [0.9, 0.98])
def test_the_interval_of_an_agreement_near_one_holds_the_truth(truth: float, transforms: int) -> None:
    rng, images, held = np.random.default_rng(0), 48, 0
    group_of = GROUPS * np.arange(images) // images
    groups = np.bincount(group_of, minlength=GROUPS).tolist()
    for _ in range(400):
        shares = rng.beta(0.3 * truth, 0.3 * (1 - truth), images)  # an image keeps its class mostly, or mostly not
        same = rng.random((transforms, images)) < shares
        found = mean_agreement([agreement(np.bincount(group_of, row, GROUPS).tolist(), groups) for row in same])
        assert found is not None
        low, high = share_interval(found.share, found.deviations, groups, transforms) or (1.0, 0.0)
        held += low <= truth <= high
    assert held >= 0.95 * 400  # the jackknife's alone hold it in 61 to 93 % of the samples


def test_an_agreement_of_many_images_has_the_interval_of_the_jackknife() -> None:
    groups = [10] * GROUPS
    found = agreement([8, 7] * (GROUPS // 2), groups)
    half = half_width(found.deviations, groups)
    assert half is not None
    assert share_interval(found.share, found.deviations, groups, 3) == pytest.approx((0.75 - half, 0.75 + half))
    assert share_interval(found.share, found.deviations, groups, 1) == exact(0.75, 320)
