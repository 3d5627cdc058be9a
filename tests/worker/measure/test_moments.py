"""The moments against NumPy's float64, however the observations are split, ordered or offset."""

from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.coverage import summed
from worker.measure.moments import Moments, Spread
from worker.measure.sums import Sums


def observations(seed: int, count: int, channels: int, offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(count, channels)) + offset * rng.normal(size=channels)
    b = a[:, ::-1] * 0.5 + rng.normal(size=(count, channels)) + offset
    return torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32)


def moments(a: torch.Tensor, b: torch.Tensor) -> Moments:
    return Moments.of(a, b)


def assert_same(x: Moments, y: Moments, tolerance: float = 1e-5) -> None:
    assert (x.a.count, x.b.count) == (y.a.count, y.b.count)
    scale = torch.outer(y.a.variation.sqrt(), y.b.variation.sqrt()).clamp(min=1e-12)
    assert ((x.centred() - y.centred()).abs() / scale).max() < tolerance
    for mine, theirs in ((x.a, y.a), (x.b, y.b)):
        deviation = (theirs.variation / max(1, theirs.count)).sqrt().clamp(min=1e-12)
        assert ((mine.mean - theirs.mean).abs() / deviation).max() < tolerance
        assert ((mine.variation - theirs.variation).abs() / theirs.variation.clamp(min=1e-12)).max() < tolerance


@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
def test_one_batch_is_what_numpy_computes_in_float64(offset: float) -> None:
    a, b = observations(0, 5000, 7, offset)
    streamed = moments(a, b)
    wide_a, wide_b = a.double().numpy(), b.double().numpy()
    both = np.cov(wide_a, wide_b, rowvar=False, bias=True) * len(wide_a)
    np.testing.assert_allclose(streamed.centred().numpy(), both[:7, 7:], atol=1e-5 * np.diag(both).max())
    np.testing.assert_allclose(streamed.a.mean.numpy(), wide_a.mean(0), atol=1e-6 * (1 + abs(offset)))
    np.testing.assert_allclose(streamed.b.variation.numpy(), np.diag(both)[7:], rtol=1e-5)


def test_a_mean_ten_thousand_times_the_deviation_costs_nothing() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(size=20_000)
    a = torch.tensor(common + rng.normal(size=20_000) + 1e4, dtype=torch.float32)[:, None]
    b = torch.tensor(common + rng.normal(size=20_000) - 1e4, dtype=torch.float32)[:, None]
    merged = moments(a[:7000], b[:7000]) + moments(a[7000:], b[7000:])
    correlation = float(merged.centred() / (merged.a.variation * merged.b.variation).sqrt())
    expected = np.corrcoef(a.double().numpy()[:, 0], b.double().numpy()[:, 0])[0, 1]
    assert correlation == pytest.approx(expected, abs=1e-6)


def test_a_large_mean_costs_many_channels_nothing_either() -> None:
    rng = np.random.default_rng(2)
    common = rng.normal(size=(20_000, 20))
    offsets = 10.0 ** rng.uniform(-2, 4, size=20)
    a = torch.tensor(common + rng.normal(size=common.shape) + offsets, dtype=torch.float32)
    b = torch.tensor(common + rng.normal(size=common.shape) - offsets[::-1], dtype=torch.float32)
    merged = reduce(add, [moments(x, y) for x, y in zip(a.split(3000), b.split(3000), strict=True)])
    correlation = merged.centred() / torch.outer(merged.a.variation, merged.b.variation).sqrt()
    expected = np.corrcoef(a.double().numpy(), b.double().numpy(), rowvar=False)[:20, 20:]
    np.testing.assert_allclose(correlation.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 8, 15, 16, 40])
def test_products_of_many_observations_do_not_drift(channels: int) -> None:
    # In float32 alone eight channels of 32,768 observations were off by 2e-4.
    values = torch.randn(20, 10_000, channels, generator=torch.Generator().manual_seed(0)).relu()
    streamed = summed(values, values, 4).moments()
    assert (streamed.centred()[0].diagonal() / streamed.a.variation[0] - 1).abs().max() < 3e-6


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    channels=st.integers(1, 5),
    offset=st.sampled_from([0.0, 3.0, 1000.0]),
    shuffle=st.randoms(use_true_random=False),
)
def test_any_split_in_any_order_merges_to_the_whole(seed, sizes, channels, offset, shuffle) -> None:
    a, b = observations(seed, sum(sizes) + 2, channels, offset)
    sizes = [*sizes, 2]
    parts = [moments(x, y) for x, y in zip(a.split(sizes), b.split(sizes), strict=True)]
    shuffle.shuffle(parts)
    # Float32 keeps 1e-7 of the offset, so that much of the deviation is noise in the observations already.
    assert_same(reduce(add, parts), moments(a, b), tolerance=1e-5 * (1 + offset / 100))


def test_empty_is_the_identity_on_both_sides() -> None:
    a, b = observations(2, 9, 3)
    some, none = moments(a, b), Moments.empty(3)
    assert_same(none + some, some, 1e-12)
    assert_same(some + none, some, 1e-12)
    assert (none + none).a.count == 0
    assert not (Spread.empty(3) + Spread.empty(3)).square.any()


def test_merging_leaves_its_operands_as_they_were() -> None:
    a, b = observations(3, 12, 3)
    first, second = moments(a[:5], b[:5]), moments(a[5:], b[5:])
    before = first.products.clone(), second.products.clone()
    _ = first + second
    assert torch.equal(first.products, before[0])
    assert torch.equal(second.products, before[1])


def only(sums: Sums) -> Moments:
    """The moments under the only transform."""
    moments = sums.moments()
    a, b = (Spread(int(x.count), x.pivot, x.total[0], x.square[0]) for x in (moments.a, moments.b))
    return Moments(a, b, moments.products[0])


def random_maps(images: int, positions: int, channels: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps whose channels have very different means and deviations, in both views alike, as those of a model have."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(images, 1, channels)) + rng.normal(size=(images, positions, channels))
    scale, offset = 10.0 ** rng.uniform(-2, 2, size=channels), 10.0 ** rng.uniform(-2, 2, size=channels)
    a = own * scale + offset
    b = (0.5 * own[:, :, ::-1] + rng.normal(size=own.shape) + 1.0) * scale + offset
    return torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32)


SHAPES = [(1, 5), (1, 300), (9, 6), (49, 40), (6, 70), (5000, 20), (67 * 67, 70)]


@pytest.mark.parametrize(("positions", "channels"), SHAPES)
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batches_sum_to_the_moments_of_all_observations(positions: int, channels: int, batch_size: int) -> None:
    a, b = random_maps(40, positions, channels)
    sums = summed(a, b, batch_size)
    whole = Moments.of(a.flatten(0, 1).double(), b.flatten(0, 1).double())
    assert_same(only(sums), whole, 1e-6)
    norms = (whole.a.variation * whole.b.variation).sqrt()
    group_a, group_b = sums.groups()
    own = (sums.pairs[0] - group_a.total * group_b.offset)[0]
    for group in (0, 13, 31):
        chosen = [place for place in range(40) if place * 32 // 40 == group]
        alone = Moments.of(a[chosen].flatten(0, 1).double(), b[chosen].flatten(0, 1).double())
        assert ((own[group] - alone.centred().diagonal()).abs() / norms).max() < 2e-6


def test_strides_and_half_precision_are_taken_as_they_come() -> None:
    grid = torch.randn(40, 6, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    turned = grid.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert turned.stride() != grid.stride()
    sums = summed(turned, turned.flip(1), 8)
    assert_same(only(sums), Moments.of(grid.double().flatten(0, 1), grid.double().flip(1).flatten(0, 1)), 1e-6)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_vectors_of_two_images_keep_differences_far_smaller_than_the_step_between_the_views(batch_size: int) -> None:
    rng = np.random.default_rng(4)
    a, b = (torch.tensor(mean + 1e-3 * rng.normal(size=(2, 1, 50)), dtype=torch.float32) for mean in (1.0, 3.0))
    sums = summed(a, b, batch_size)
    whole = Moments.of(a.flatten(0, 1).double(), b.flatten(0, 1).double())
    torch.testing.assert_close(only(sums).b.variation, whole.b.variation, rtol=1e-9, atol=0.0)
    torch.testing.assert_close(only(sums).centred(), whole.centred(), rtol=1e-6, atol=1e-12)
