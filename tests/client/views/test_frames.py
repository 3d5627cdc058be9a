"""Data frames lose no score and no interval, and say what each is."""

import subprocess
import sys
from typing import Any

import pandas

from tests.client.samples import comparison, report, whole_report

SCORES = ["channel", "channel_low", "channel_high", "layer", "layer_low", "layer_high"]
MORE = [f"{name}{end}" for name in ("layer_held_out", "top1_agreement") for end in ("", "_low", "_high")]


def numbers_in(value: Any) -> set[float]:
    """Collect all scores in nested dicts and lists, but no ids, counts or settings."""
    if isinstance(value, dict):
        return set().union(*(numbers_in(inner) for inner in value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(numbers_in(inner) for inner in value))
    return {value} if isinstance(value, float) and value != 0.5 else set()


def test_no_score_of_a_report_is_lost_or_twice():
    source = whole_report()
    frame = source.to_dataframe()
    scores = numbers_in(source.model_dump(include={"parts", "blocks", "borders", "cosine", "baseline"}))
    values = frame[[*SCORES, *MORE]].to_numpy().ravel()
    held = [value for value in values if value == value]
    assert len(scores) > 500
    assert sorted(held) == sorted(scores)


def test_each_row_says_what_it_is():
    source = whole_report()
    frame = source.to_dataframe()
    keys = ["similarity", "border", "level", "part", "block", "kind", "statistic", "amount", "quantity", "seed"]
    assert not frame.duplicated(keys).any()

    def the(query: str) -> Any:
        (row,) = frame.query(query).to_dict("records")
        return row

    late = "kind == 'rotation' and part == 'Late' and statistic == 'mean' and seed.isna() and "
    mean = the(late + "level == 'part' and quantity == 'score' and similarity == 'correlation' and border == 'crop'")
    score = source.parts["Late"].rotation
    assert [mean[name] for name in SCORES] == [
        score.channel, *(score.channel_interval or ()), score.layer, *(score.layer_interval or ())
    ]  # fmt: skip
    assert [mean[name] for name in MORE] == [
        score.layer_held_out, *score.layer_held_out_interval, score.top1_agreement, *score.top1_agreement_interval
    ]  # fmt: skip
    assert (mean["model"], mean["weights"], mean["transforms"]) == ("timm/resnet18.a1_in1k", "pretrained", 1)
    assert source.borders
    assert source.cosine
    assert source.baseline
    zero = the(late + "level == 'part' and quantity == 'score' and border == 'zero'")
    assert zero["layer"] == source.borders["zero"]["Late"].rotation.layer
    cosine = the(late + "similarity == 'cosine'")
    assert cosine["channel"] == source.cosine.parts["Late"].rotation.channel
    learned = source.baseline.parts["Late"].rotation
    assert the(late + "quantity == 'learned'")["layer"] == learned.layer.difference.value
    assert (
        the(late.replace("seed.isna()", "seed == 1") + "quantity == 'untrained'")["channel"]
        == learned.channel.by_seed[1]
    )
    assert the(late + "block == 'layer2'")["layer"] == source.blocks[2].rotation.layer
    shift = the("block == 'layer0' and kind == 'translation' and statistic == 'transform' and amount == 8")
    assert shift["channel"] == source.blocks[0].translation.by_transform[1].channel
    aligned = the("block == 'layer0' and statistic == 'aligned'")
    assert source.blocks[0].translation.aligned
    assert aligned["layer"] == source.blocks[0].translation.aligned.layer


def test_an_older_report_has_the_mean_of_its_agreements():
    body = whole_report().model_dump()
    translation = body["parts"]["Final"]["translation"]
    for name in ("top1_agreement", "top1_agreement_interval"):
        del translation[name]
    translation["by_transform"] = [row | {"top1_agreement": share} for row, share in
                                   zip(translation["by_transform"], (0.75, 0.25), strict=True)]  # fmt: skip
    frame = type(whole_report()).model_validate(body).to_dataframe()
    mean = frame.query(
        "part == 'Final' and level == 'part' and kind == 'translation' and statistic == 'mean' and quantity == 'score' "
        "and border == 'crop' and similarity == 'correlation'"
    )
    assert mean["top1_agreement"].to_list() == [0.5]
    assert mean["top1_agreement_low"].isna().all()


def test_each_transform_has_the_interval_of_its_agreement():
    body = whole_report().model_dump()
    agreed = {"top1_agreement": 1.0, "top1_agreement_interval": (0.926, 1.0)}
    for transform in ("translation", "rotation"):
        score = body["parts"]["Final"][transform]
        score["by_transform"] = [row | agreed for row in score["by_transform"]]
    frame = type(whole_report()).model_validate(body).to_dataframe()
    rows = frame.query("statistic == 'transform' and part == 'Final' and level == 'part' and top1_agreement == 1")
    assert set(rows["kind"]) == {"translation", "rotation"}
    assert set(zip(rows["top1_agreement_low"], rows["top1_agreement_high"], strict=True)) == {(0.926, 1.0)}


def test_frames_of_several_reports_go_together():
    frames = [report().to_dataframe(), report("untrained", final_reason="no classifier").to_dataframe()]
    frame = pandas.concat(frames)
    means = frame.query("level == 'part' and statistic == 'mean' and kind == 'rotation'")
    table = means.pivot_table(index="weights", columns="part", values="channel", dropna=False)
    assert table.loc["pretrained", "Early"] == 0.31
    (none,) = means.query("weights == 'untrained' and part == 'Final'").to_dict("records")
    assert none["channel"] != none["channel"]
    assert none["reason"] == "no classifier"


def test_frames_of_a_comparison():
    compared = comparison()
    frame = compared.to_dataframe()
    assert len(frame) == 2 * 5 * 2
    (row,) = frame.query("model == 'timm/resnet34.a1_in1k' and part == 'Pool' and kind == 'rotation'").to_dict(
        "records"
    )
    assert [row[name] for name in SCORES] == [0.91, 0.9, 0.92, 0.95, 0.94, 0.96]
    assert (row["imagenet_top1"], row["channel_residual"], row["parameters"]) == (76.4, -0.02, 11_689_512)
    accuracy = compared.accuracy_dataframe()
    assert len(accuracy) == 5 * 2 * 2
    (line,) = accuracy.query("part == 'Late' and kind == 'translation' and score == 'layer'").to_dict("records")
    assert [line[name] for name in ("spearman", "low", "high", "p_value", "slope", "intercept", "models")] == [
        -0.5, -0.9, 0.2, 0.04, 0.01, 0.2, 2
    ]  # fmt: skip
    assert comparison("no accuracies").accuracy_dataframe()["reason"].unique().tolist() == ["no accuracies"]


def test_without_pandas_the_error_says_what_to_install():
    code = """
import sys
sys.modules["pandas"] = None
from tests.client.samples import report
try: report().to_dataframe()
except ImportError as error: print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "Data frames need pandas: pip install 'zooaudit[pandas]', or pip install pandas\n"


def test_a_row_for_each_difference():
    frame = comparison().differences_dataframe()
    assert len(frame) == 5 * 2 * 3
    (row,) = frame.query("part == 'Late' and kind == 'rotation' and score == 'layer'").to_dict("records")
    assert (row["reference"], row["id"]) == tuple(audit.id for audit in comparison().audits)
    assert (row["difference"], row["low"], row["high"], row["p_adjusted"]) == (0.002, -0.002, 0.006, 0.6)
    assert row["differs"] is False
    unknown = frame.query("score == 'layer_held_out'")
    assert unknown["differs"].isna().all()
    assert set(unknown["reason"]) == {"The images are too few."}
