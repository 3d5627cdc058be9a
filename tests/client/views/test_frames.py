"""Data frames lose no score and no interval, and say what each is; text and HTML of reports show what they hold."""

import itertools
import random
import subprocess
import sys
from typing import Any

import pandas
import pytest
from zooaudit.contract import PARTS, Report

from tests.client.samples import audit, comparison, model_detail, report

SCORES = ["channel", "channel_low", "channel_high", "layer", "layer_low", "layer_high"]


def whole_report() -> Report:
    """A report with all that can be asked for, and no number twice."""
    numbers = iter(random.Random(0).sample(range(1, 1_000_000), 5_000))

    def one() -> float:
        return next(numbers) / 1e6

    def pair() -> dict[str, Any]:
        return {"channel": one(), "layer": one()}

    def score() -> dict[str, Any]:
        return {**pair(), "channel_interval": (one(), one()), "layer_interval": (one(), one())}

    def both() -> dict[str, Any]:
        shifts = [{"shift_px": px, **pair(), "top1_agreement": one()} for px in (1, 8)]
        return {
            "translation": {**score(), "aligned": {**pair(), "shifts": 1}, "by_transform": shifts},
            "rotation": {**score(), "by_transform": [{"angle_deg": 90, **pair()}]},
        }

    def parts() -> dict[str, Any]:
        return {name: {"blocks": 1, **both()} for name in PARTS}

    def learned() -> dict[str, Any]:
        estimates = {key: {"value": one(), "interval": (one(), one())} for key in ("untrained", "difference")}
        return {**estimates, "pretrained": {"value": 0.5, "interval": None}, "by_seed": (one(), one())}

    main = parts()
    block = {"channels": 4, "height": 2, "width": 2, "layout": "NCHW", "dead_channels": 0}
    activation = {"correlation": 0.5, "cosine": 0.5}
    body = report().model_dump() | {
        "parts": main,
        "blocks": [{"name": f"layer{place}", "part": name, **block, **both()} for place, name in enumerate(PARTS)],
        "borders": {"crop": main, "zero": parts(), "circular": parts()},
        "cosine": {"parts": parts(), "activation": {"translation": activation, "rotation": activation}},
        "baseline": {
            "seeds": (0, 1),
            "parts": {
                name: {kind: {"channel": learned(), "layer": learned()} for kind in ("translation", "rotation")}
                for name in PARTS
            },
        },
    }
    body["method"] |= {"similarity": "both", "border": "all", "translations_px": (1, 8)}
    return Report.model_validate(body)


def numbers_in(value: Any) -> set[float]:
    """Every number under the names of scores, however deep; no id, count or setting."""
    if isinstance(value, dict):
        return set().union(*(numbers_in(inner) for inner in value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(numbers_in(inner) for inner in value))
    return {value} if isinstance(value, float) and value != 0.5 else set()


def test_no_score_of_a_report_is_lost_or_twice():
    found = whole_report()
    frame = found.to_dataframe()
    wanted = numbers_in(found.model_dump(include={"parts", "blocks", "borders", "cosine", "baseline"}))
    values = frame[[*SCORES, "top1_agreement"]].to_numpy().ravel()
    held = [value for value in values if value == value]
    assert len(wanted) > 500
    assert sorted(held) == sorted(wanted)


def test_each_row_says_what_it_is():
    found = whole_report()
    frame = found.to_dataframe()
    keys = ["similarity", "border", "level", "part", "block", "kind", "statistic", "amount", "quantity", "seed"]
    assert not frame.duplicated(keys).any()

    def the(query: str) -> Any:
        (row,) = frame.query(query).to_dict("records")
        return row

    late = "kind == 'rotation' and part == 'Late' and statistic == 'mean' and seed.isna() and "
    mean = the(late + "level == 'part' and quantity == 'score' and similarity == 'correlation' and border == 'crop'")
    score = found.parts["Late"].rotation
    assert [mean[name] for name in SCORES] == [
        score.channel, *(score.channel_interval or ()), score.layer, *(score.layer_interval or ())
    ]  # fmt: skip
    assert (mean["model"], mean["weights"], mean["transforms"]) == ("timm/resnet18.a1_in1k", "pretrained", 1)
    assert found.borders
    assert found.cosine
    assert found.baseline
    zero = the(late + "level == 'part' and quantity == 'score' and border == 'zero'")
    assert zero["layer"] == found.borders["zero"]["Late"].rotation.layer
    cosine = the(late + "similarity == 'cosine'")
    assert cosine["channel"] == found.cosine.parts["Late"].rotation.channel
    learned = found.baseline.parts["Late"].rotation
    assert the(late + "quantity == 'learned'")["layer"] == learned.layer.difference.value
    assert (
        the(late.replace("seed.isna()", "seed == 1") + "quantity == 'untrained'")["channel"]
        == learned.channel.by_seed[1]
    )
    assert the(late + "block == 'layer2'")["layer"] == found.blocks[2].rotation.layer
    shift = the("block == 'layer0' and kind == 'translation' and statistic == 'transform' and amount == 8")
    assert shift["channel"] == found.blocks[0].translation.by_transform[1].channel
    aligned = the("block == 'layer0' and statistic == 'aligned'")
    assert found.blocks[0].translation.aligned
    assert aligned["layer"] == found.blocks[0].translation.aligned.layer


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
    found = comparison()
    frame = found.to_dataframe()
    assert len(frame) == 2 * 5 * 2
    (row,) = frame.query("model == 'timm/resnet34.a1_in1k' and part == 'Pool' and kind == 'rotation'").to_dict(
        "records"
    )
    assert [row[name] for name in SCORES] == [0.91, 0.9, 0.92, 0.95, 0.94, 0.96]
    assert (row["imagenet_top1"], row["channel_residual"], row["parameters"]) == (76.4, -0.02, 11_689_512)
    accuracy = found.accuracy_dataframe()
    assert len(accuracy) == 5 * 2 * 2
    (line,) = accuracy.query("part == 'Late' and kind == 'translation' and score == 'layer'").to_dict("records")
    assert [line[name] for name in ("spearman", "low", "high", "p_value", "slope", "intercept", "models")] == [
        -0.5, -0.9, 0.2, 0.04, 0.01, 0.2, 2
    ]  # fmt: skip
    assert comparison("no accuracies").accuracy_dataframe()["reason"].unique().tolist() == ["no accuracies"]


def test_without_pandas_it_is_said_what_to_install():
    code = """
import sys
sys.modules["pandas"] = None
from tests.client.samples import report
try: report().to_dataframe()
except ImportError as error: print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "Data frames need pandas: pip install 'zooaudit[pandas]', or pip install pandas\n"


def test_a_report_shows_itself_in_a_few_lines():
    text = repr(whole_report())
    assert text == str(whole_report())
    lines = text.splitlines()
    assert lines[0] == "timm/resnet18.a1_in1k (pretrained weights)"
    assert [line.split()[0] for line in lines[2:7]] == list(PARTS)
    assert len(lines) == 9
    assert max(map(len, lines)) < 130


def test_an_audit_shows_itself_in_a_line():
    assert repr(audit("running", phase="measuring", done=1, total=4)) == (
        f"<Audit {audit().id} timm/resnet18.a1_in1k: measuring 1/4 forward images (25 %)>"
    )


def test_a_comparison_shows_its_scores_and_how_they_go_with_accuracy():
    lines = repr(comparison()).splitlines()
    assert lines[0] == "Translation: channel equivariance, pretrained weights"
    assert lines[2].split() == ["timm/resnet18.a1_in1k", "71.50", *["0.910", "±0.010"] * 5]
    (early,) = (line for line in lines if line.startswith("Early"))
    assert early.split("  ")[0] == "Early"
    assert "-0.50 [-0.90, +0.20]  0.040" in early
    assert repr(comparison("No audit has an accuracy.")).splitlines()[-1] == "No audit has an accuracy."


@pytest.mark.parametrize("make", [report, comparison, audit, whole_report])
def test_html_is_escaped(make):
    evil = "<script>alert(1)</script>"
    found = make()
    if isinstance(found, Report):
        found = found.model_copy(update={"model": found.model.model_copy(update={"name": evil})})
    elif hasattr(found, "audits"):
        found = found.model_copy(update={"audits": (found.audits[0].model_copy(update={"model": evil}),)})
    else:
        found = found.model_copy(update={"request": found.request.model_copy(update={"model": evil})})
    shown = found._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert shown.count("<table>") == shown.count("</table>") > 0


def test_html_shows_the_same_cells_as_text():
    shown = whole_report()._repr_html_()
    for cell in itertools.chain.from_iterable(line.split("  ") for line in repr(whole_report()).splitlines()[2:7]):
        assert cell.strip() in shown


def test_models_have_a_table_of_their_depth():
    from zooaudit.views.tables import model_tables, plain

    assert plain(model_tables(model_detail())).splitlines()[-1].split() == [
        "layer1.0", "Early", "NCHW", "64", "56", "56"
    ]  # fmt: skip
    assert plain(model_tables(model_detail("A worker is finding them."))).splitlines()[-1] == (
        "No blocks: A worker is finding them."
    )
