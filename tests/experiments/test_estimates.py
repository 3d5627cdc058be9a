"""Estimates over seeds and images, against scipy and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from experiments import estimates
from experiments.estimates import over_seeds
from tests.experiments.reports import HALF, made_up


def test_over_seeds_alone_the_interval_is_students():
    values = [0.50, 0.61, 0.57]
    estimate = over_seeds(values)
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert estimate.value == pytest.approx(np.mean(values))
    assert estimate.interval == pytest.approx(expected)


def test_images_widen_the_interval_whatever_the_number_of_seeds():
    same = over_seeds([0.5] * 10, [0.03] * 10)
    assert same.interval == pytest.approx((0.47, 0.53))
    both = over_seeds([0.50, 0.61, 0.57], [0.03, 0.05, 0.04])
    of_seeds = over_seeds([0.50, 0.61, 0.57]).interval
    half = math.hypot((of_seeds[1] - of_seeds[0]) / 2, 0.04)
    assert both.interval == pytest.approx((both.value - half, both.value + half))


def test_the_interval_covers_the_mean_as_often_as_it_says():
    """Networks that differ by their seeds, all measured on one sample of images with an error of its own."""
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        of_images, of_seeds = random.normal(0, 0.02), random.normal(0.5, 0.03, 3)
        low, high = over_seeds(list(of_seeds + of_images), [1.96 * 0.02] * 3).interval
        hits += low <= 0.5 <= high
    assert 0.94 < hits / 2000 < 0.99


def test_what_is_unknown_stays_unknown():
    assert over_seeds([0.5, None]).value is None
    assert over_seeds([]).value is None
    assert over_seeds([0.5]).interval is None
    assert over_seeds([0.5], [None]).interval is None
    assert over_seeds([0.5], [0.1]).interval == pytest.approx((0.4, 0.6))


def test_scores_and_their_differences():
    reports = [made_up({"Early": 0.6, "Late": 0.2}, {"Early": 0.9, "Late": 0.2})]
    of_images = math.hypot(HALF, HALF)
    score = estimates.score(reports, "Early", "rotation", "channel")
    assert (score.value, score.interval) == (0.6, pytest.approx((0.59, 0.61)))
    gain = estimates.layer_minus_channel(reports, "Early", "rotation")
    assert gain.value == pytest.approx(0.3)
    assert gain.interval == pytest.approx((0.3 - of_images, 0.3 + of_images))
    assert estimates.between_parts(reports, "Early", "Late", "rotation", "layer").value == pytest.approx(0.7)
    others = [made_up({"Early": 0.5})]
    assert estimates.difference(reports, others, "Early", "translation", "channel").value == pytest.approx(0.1)


def test_a_score_has_no_interval_beyond_0_and_1():
    spread = [made_up({"Early": score}) for score in (0.5, 0.95, 0.95)]
    assert estimates.score(spread, "Early", "rotation", "channel").interval == (pytest.approx(0.155, abs=0.001), 1.0)


def test_the_difference_of_two_groups_is_welchs_widened_by_the_images():
    first, second = (
        [made_up({"Early": value}) for value in (0.8, 0.9)],
        [made_up({"Early": 0.3}), made_up({"Early": 0.5})],
    )
    found = estimates.means_difference(first, second, "Early", "rotation", "channel")
    welch = stats.ttest_ind([0.8, 0.9], [0.3, 0.5], equal_var=False).confidence_interval()
    half = math.sqrt(((welch.high - welch.low) / 2) ** 2 + 2 * HALF**2)
    assert found.value == pytest.approx(0.45)
    assert found.interval == pytest.approx((0.45 - half, 0.45 + half))
    alone = estimates.means_difference(first, second[:1], "Early", "rotation", "channel")
    assert (alone.value, alone.reason) == (None, "two models of each kind are needed")


def test_models_without_intervals_over_images_have_no_interval_together():
    def without_interval(report):
        early = report.parts["Early"]
        rotation = early.rotation.model_copy(update={"channel_interval": None})
        parts = {**report.parts, "Early": early.model_copy(update={"rotation": rotation})}
        return report.model_copy(update={"parts": parts})

    first = [made_up({"Early": 0.8}), made_up({"Early": 0.9})]
    found = estimates.means_difference(first, [*map(without_interval, first)], "Early", "rotation", "channel")
    assert (found.value, found.interval) == (0.0, None)
