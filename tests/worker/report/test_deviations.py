"""What a report keeps of its groups of images: enough to make its intervals again, and to compare it with others."""

import json

import numpy as np
import pytest
from scipy.stats import beta
from scipy.stats import t as student
from zooaudit.contract import Report

from tests.worker.small_audits import audit

KINDS = ("translation", "rotation", "reflection")


@pytest.fixture(scope="module")
def report() -> Report:
    return audit({"reflections": ["horizontal", "vertical"], "direction": "right"})


def by_hand(deviations: list[float], images: list[int]) -> float:
    """Half of the interval, after Busing, Meijer and van der Leeden (1999)."""
    shares = sum(images) / np.array(images)
    pseudo_values = -(shares - 1) * np.array(deviations)
    centre = (pseudo_values / shares).sum() / (1 / shares).sum()
    variance = ((pseudo_values - centre) ** 2 / shares).sum() / (len(images) - 1)
    return student.ppf(0.975, len(images) - 1) * np.sqrt(variance)


def clopper_pearson(share: float, images: int) -> tuple[float, float]:
    kept = share * images
    low = beta.ppf(0.025, kept, images - kept + 1) if kept else 0.0
    return low, beta.ppf(0.975, kept + 1, images - kept) if kept < images else 1.0


def test_the_intervals_follow_from_the_deviations(report: Report) -> None:
    assert report.deviations is not None
    images = list(report.deviations.images)
    assert sum(images) == report.images.count == 24
    checked = 0
    for name, part in report.parts.items():
        for kind in KINDS:
            score, kept = getattr(part, kind), getattr(report.deviations.parts[name], kind)
            for which in ("channel", "layer", "layer_held_out", "top1_agreement"):
                value, deviations = getattr(score, which), getattr(kept, which)
                if value is None:
                    assert deviations is None
                    continue
                known = [index for index, each in enumerate(deviations) if each is not None]
                # The layer score is of all images, though a quarter of them tells nothing about its interval.
                if which != "layer":
                    half = by_hand([deviations[i] for i in known], [images[i] for i in known])
                    expected = (max(0, value - half), min(1, value + half))
                    if which == "top1_agreement":
                        assert 24 * min(value, 1 - value) < 10  # so few that the jackknife's would be too narrow
                        expected = clopper_pearson(value, 24)
                    assert getattr(score, f"{which}_interval") == pytest.approx(expected, abs=1e-12)
                    checked += 1
    assert checked == 3 * (5 * 2 + 1)


def test_agreement_at_final_is_the_mean_over_the_transforms(report: Report) -> None:
    for kind in KINDS:
        score = getattr(report.parts["Final"], kind)
        assert score.top1_agreement == pytest.approx(np.mean([row.top1_agreement for row in score.by_transform]))
        assert all(getattr(report.parts[name], kind).top1_agreement is None for name in ("Early", "Late", "Pool"))
        assert report.deviations is not None
        deviations = getattr(report.deviations.parts["Final"], kind).top1_agreement
        # Each image counts alike, so what all groups add to the sum of kept classes is that sum.
        images = np.array(report.deviations.images)
        without = (np.array(deviations) + score.top1_agreement) * (24 - images)
        assert without.sum() == pytest.approx((len(images) - 1) * 24 * score.top1_agreement)


def test_a_report_from_before_keeps_its_bytes(report: Report) -> None:
    new = {"layer_held_out", "layer_held_out_interval", "top1_agreement_interval", "deviations"}

    def older(value: object) -> object:
        if isinstance(value, dict):
            is_part = "by_transform" in value
            return {
                key: older(item)
                for key, item in value.items()
                if key not in new and not (is_part and key == "top1_agreement")
            }
        return [older(item) for item in value] if isinstance(value, list | tuple) else value

    before = json.dumps(older(report.model_dump(mode="json")), separators=(",", ":"))
    assert "held_out" not in before
    assert json.loads(Report.model_validate_json(before).model_dump_json()) == json.loads(before)
