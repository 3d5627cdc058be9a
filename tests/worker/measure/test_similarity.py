"""Scores against SciPy's correlations, and what happens where there is nothing to correlate."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import pearsonr

from benchmarks.coverage import summed
from worker.measure.moments import Moments, Spread
from worker.measure.representation_sums import RESOLUTION
from worker.measure.similarity import Equivariance, alive, constant, score, scores


def scored(a: np.ndarray, b: np.ndarray, similarity: str = "correlation") -> Equivariance:
    return score(Moments.of(*(torch.tensor(x, dtype=torch.float32) for x in (a, b))), similarity)


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(400, 6)) + 2.0
    return a, 0.7 * a[:, [1, 0, 3, 2, 5, 4]] - 0.4 * a + rng.normal(size=(400, 6))


def test_correlation_is_scipys(maps) -> None:
    a, b = maps
    r = np.array([[max(0.0, pearsonr(x, y).statistic) for y in b.T] for x in a.T])
    equivariance = scored(a, b)
    assert equivariance.channel == pytest.approx(r.diagonal().mean(), abs=1e-6)
    assert equivariance.layer == pytest.approx(r.max(1).mean(), abs=1e-6)


def test_cosine_is_scipys(maps) -> None:
    a, b = maps
    cosine = np.maximum(0.0, 1.0 - cdist(a.T, b.T, "cosine"))
    equivariance = scored(a, b, "cosine")
    assert equivariance.channel == pytest.approx(cosine.diagonal().mean(), abs=1e-6)
    assert equivariance.layer == pytest.approx(cosine.max(1).mean(), abs=1e-6)


def test_negative_correlation_counts_as_none(maps) -> None:
    a, _ = maps
    assert scored(a[:, :1], -a[:, :1]) == Equivariance(0.0, 0.0)


def test_permuted_channels_are_a_layer_equivariance_of_one() -> None:
    a = np.random.default_rng(1).normal(size=(5000, 8))
    equivariance = scored(a, np.roll(a, 1, axis=1))
    assert equivariance.channel < 0.05
    assert equivariance.layer == pytest.approx(1.0, abs=1e-6)


def test_a_dead_channel_is_left_out_not_counted_as_zero_or_one(maps) -> None:
    a, b = maps
    alive = scored(a[:, 1:], b[:, 1:])
    a[:, 0] = b[:, 0] = 3.7
    assert scored(a, b).channel == pytest.approx(alive.channel, abs=1e-6)
    assert scored(a, b).layer == pytest.approx(alive.layer, abs=1e-6)


def test_a_channel_dead_on_one_side_only(maps) -> None:
    a, b = maps
    b[:, 0] = 0.0
    r = np.array([[max(0.0, pearsonr(x, y).statistic) for y in b.T[1:]] for x in a.T])
    equivariance = scored(a, b)
    assert equivariance.channel == pytest.approx(np.mean([r[k, k - 1] for k in range(1, 6)]), abs=1e-6)
    assert equivariance.layer == pytest.approx(r[1:].max(1).mean(), abs=1e-6)
    assert equivariance.layer >= equivariance.channel


@pytest.mark.parametrize("value", [0.0, 3.7, -1e6, 1e-9])
def test_all_channels_dead_is_null_with_a_reason(value: float) -> None:
    equivariance = scored(np.full((50, 3), value), np.full((50, 3), value))
    assert (equivariance.channel, equivariance.layer) == (None, None)
    assert "no channel varies" in equivariance.reason


def test_one_observation_cannot_be_correlated() -> None:
    assert scored(np.ones((1, 4)), np.ones((1, 4))).channel is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_what_is_not_finite_is_null_with_a_reason(value: float) -> None:
    a = np.random.default_rng(2).normal(size=(50, 3))
    broken = a.copy()
    broken[7, 1] = value
    maps, others = (torch.tensor(x, dtype=torch.float32).view(25, 2, 3) for x in (broken, a))
    equivariance = scores(summed(maps, others, 25).moments(), "correlation")[0]
    assert equivariance.channel is None
    assert "not finite" in equivariance.reason


def test_constant_tells_a_small_deviation_from_none() -> None:
    varies = 1000.0 + np.random.default_rng(3).normal(size=(500, 1)) * 0.1
    assert constant(Spread.of(torch.tensor(varies, dtype=torch.float32))).tolist() == [False]
    assert constant(Spread.of(torch.full((500, 1), 0.1))).tolist() == [True]


def test_constant_sees_through_a_pivot_far_from_the_constant() -> None:
    # The mean of all cells of a channel that fires once, while a window of it never fires.
    silent = Spread.of(torch.zeros(5000, 1), pivot=torch.tensor([0.0137]))
    rounded = Spread(silent.count, silent.pivot, silent.total * (1 + 1e-7), silent.square, RESOLUTION)
    assert constant(rounded).tolist() == [True]
    assert alive(rounded, "cosine").tolist() == [False]
