"""The moments against NumPy's float64, however the observations are split, ordered or offset."""

from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.measure.moments import Moments, Spread, centre


def observations(seed: int, count: int, channels: int, offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(count, channels)) + offset * rng.normal(size=channels)
    b = a[:, ::-1] * 0.5 + rng.normal(size=(count, channels)) + offset
    return torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32)


def moments(a: torch.Tensor, b: torch.Tensor) -> Moments:
    return Moments.of(centre(a), centre(b))


def assert_same(x: Moments, y: Moments, tolerance: float = 1e-5) -> None:
    assert (x.a.count, x.b.count) == (y.a.count, y.b.count)
    scale = torch.outer(y.a.square.sqrt(), y.b.square.sqrt()).clamp(min=1e-12)
    assert ((x.cross - y.cross).abs() / scale).max() < tolerance
    for mine, theirs in ((x.a, y.a), (x.b, y.b)):
        deviation = (theirs.square / theirs.count).sqrt().clamp(min=1e-12)
        assert ((mine.mean - theirs.mean).abs() / deviation).max() < tolerance
        assert ((mine.square - theirs.square).abs() / theirs.square.clamp(min=1e-12)).max() < tolerance


@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
def test_one_batch_is_what_numpy_computes_in_float64(offset: float) -> None:
    a, b = observations(0, 5000, 7, offset)
    streamed = moments(a, b)
    wide_a, wide_b = a.double().numpy(), b.double().numpy()
    both = np.cov(wide_a, wide_b, rowvar=False, bias=True) * len(wide_a)
    np.testing.assert_allclose(streamed.cross.numpy(), both[:7, 7:], atol=1e-5 * np.diag(both).max())
    np.testing.assert_allclose(streamed.a.mean.numpy(), wide_a.mean(0), atol=1e-6 * (1 + abs(offset)))
    np.testing.assert_allclose(streamed.b.square.numpy(), np.diag(both)[7:], rtol=1e-5)


def test_a_mean_ten_thousand_times_the_deviation_costs_nothing() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(size=20_000)
    a = torch.tensor(common + rng.normal(size=20_000) + 1e4, dtype=torch.float32)[:, None]
    b = torch.tensor(common + rng.normal(size=20_000) - 1e4, dtype=torch.float32)[:, None]
    halves = moments(a[:7000], b[:7000]) + moments(a[7000:], b[7000:])
    correlation = float(halves.cross / (halves.a.square * halves.b.square).sqrt())
    expected = np.corrcoef(a.double().numpy()[:, 0], b.double().numpy()[:, 0])[0, 1]
    assert correlation == pytest.approx(expected, abs=1e-6)


def test_a_large_mean_costs_many_channels_nothing_either() -> None:
    rng = np.random.default_rng(2)
    common = rng.normal(size=(20_000, 20))
    offsets = 10.0 ** rng.uniform(-2, 4, size=20)
    a = torch.tensor(common + rng.normal(size=common.shape) + offsets, dtype=torch.float32)
    b = torch.tensor(common + rng.normal(size=common.shape) - offsets[::-1], dtype=torch.float32)
    merged = reduce(add, [moments(x, y) for x, y in zip(a.split(3000), b.split(3000), strict=True)])
    correlation = merged.cross / torch.outer(merged.a.square, merged.b.square).sqrt()
    expected = np.corrcoef(a.double().numpy(), b.double().numpy(), rowvar=False)[:20, 20:]
    np.testing.assert_allclose(correlation.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 8, 15, 16, 40])
def test_products_of_many_observations_do_not_drift(channels: int) -> None:
    # In float32 alone eight channels of 32,768 observations were off by 2e-4.
    values = torch.randn(200_000, channels, generator=torch.Generator().manual_seed(0)).relu()
    streamed = moments(values, values)
    assert (streamed.cross.diagonal() / streamed.a.square - 1).abs().max() < 3e-6


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
    before = first.cross.clone(), second.cross.clone()
    _ = first + second
    assert torch.equal(first.cross, before[0])
    assert torch.equal(second.cross, before[1])


def test_strides_and_half_precision_are_taken_as_they_come() -> None:
    grid = torch.randn(2, 5, 6, 3, generator=torch.Generator().manual_seed(0))
    window = centre(grid.bfloat16()[:, 1:4, 2:5])
    expected = grid.bfloat16().double()[:, 1:4, 2:5].reshape(-1, 3)
    torch.testing.assert_close(Spread.of(window).mean, expected.mean(0), atol=1e-7, rtol=0)
    torch.testing.assert_close(Spread.of(window).square, (expected - expected.mean(0)).square().sum(0))
