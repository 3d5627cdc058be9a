"""The records of a leaderboard: what a report's row says, and which audits of a model are one row."""

from datetime import timedelta

import pytest
from zooaudit.contract import LeaderboardRow, ReportSummary, Weights, leaderboard_row, newest_rows, summary_of

from tests.client.samples import WHEN, report, whole_report


def row(**changes) -> LeaderboardRow:
    return leaderboard_row(report()).model_copy(update=changes)


def test_a_row_says_what_the_report_says():
    whole = whole_report()
    made = leaderboard_row(whole)
    assert (made.id, made.model, made.source, made.family) == (whole.id, "timm/resnet18.a1_in1k", "timm", "resnet")
    assert (made.parameters, made.input_size, made.imagenet_top1, made.images) == (11_689_512, 224, 71.5, 8)
    assert (made.weights, made.finished_at) == ("pretrained", WHEN)
    late = made.parts["Late"].rotation
    assert late.channel == whole.parts["Late"].rotation.channel
    assert late.layer_interval == whole.parts["Late"].rotation.layer_interval
    assert "by_transform" not in late.model_dump()


def test_a_summary_survives_json_without_the_blocks():
    summary = summary_of(whole_report())
    text = summary.model_dump_json()
    assert ReportSummary.model_validate_json(text) == summary
    assert len(text) < 4000


def test_reports_of_other_images_have_another_method():
    one, other = report(), report()
    other = other.model_copy(update={"images": other.images.model_copy(update={"sha256": "ee" * 32})})
    assert summary_of(one).method != summary_of(other).method
    assert summary_of(one).method == summary_of(report("untrained")).method


@pytest.mark.parametrize(
    ("older", "newer", "rows"),
    [
        ("pretrained", "pretrained", 1),
        ("pretrained", "untrained", 2),
        ("checkpoint:run-2@0f1e2d3c", "checkpoint:run-2@ffffffff", 1),
        ("checkpoint:run-2@0f1e2d3c", "checkpoint:run-3@0f1e2d3c", 2),
    ],
)
def test_the_newest_audit_of_a_model_with_its_weights_is_its_row(older, newer, rows):
    first = row(weights=older, finished_at=WHEN, id="1")
    second = row(weights=newer, finished_at=WHEN + timedelta(seconds=1), id="0")
    for given in ([first, second], [second, first]):
        kept = newest_rows(given)
        assert len(kept) == rows
        assert second in kept


def test_a_checkpoint_is_one_row_by_the_label_of_its_weights():
    weights = Weights(kind="checkpoint", origin="run-2", sha256="ab" * 32, version="0f1e2d3c4b5a6978")
    assert row(weights=weights.label).contestant == ("timm/resnet18.a1_in1k", "checkpoint:run-2")
