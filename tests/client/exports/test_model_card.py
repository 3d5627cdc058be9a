"""Evaluation results of a model card, as the hub's own library reads them."""

import json

import pytest
import yaml
from huggingface_hub import EvalResultEntry, ModelCard
from huggingface_hub import parse_eval_result_entries as read_entries
from huggingface_hub.repocard_data import model_index_to_eval_results
from zooaudit.cli import main
from zooaudit.contract import PARTS, TRANSFORMS
from zooaudit.exports import model_card
from zooaudit.exports.numbers import SCORE_FIELDS

from tests.client.samples import report, whole_report


def test_the_hub_reads_every_score_of_every_part(tmp_path):
    whole = whole_report()
    written = model_card.write(whole, tmp_path, "org/equivariance", "https://audits.example/report")
    path = tmp_path / ".eval_results" / "zooaudit.yaml"
    assert path in written
    entries = read_entries(yaml.safe_load(path.read_text()))
    values = {entry.task_id: entry.value for entry in entries}
    assert values == {
        f"{part}_{transform}_{field}".lower(): getattr(getattr(whole.parts[part], transform), field)
        for part in PARTS
        for transform in TRANSFORMS
        for field in SCORE_FIELDS
    }
    for entry in entries:
        assert isinstance(entry, EvalResultEntry)
        assert (entry.dataset_id, entry.source_url) == ("org/equivariance", "https://audits.example/report")
        assert entry.date == whole.timing.finished_at.isoformat()
        assert "8 images of synthetic, seed 0; shifts 1,8 px" in (entry.notes or "")


def test_a_card_says_whose_weights_were_measured_if_they_are_not_its_own():
    pretrained = report()
    weights = pretrained.model.weights.model_copy(update={"kind": "untrained"})
    untrained = pretrained.model_copy(update={"model": pretrained.model.model_copy(update={"weights": weights})})
    (index,) = model_card.model_index(untrained)
    assert {result["task"]["name"] for result in index["results"]} == {
        "Equivariance of the features (untrained weights)"
    }


def test_the_older_form_goes_into_a_model_card(tmp_path):
    whole = whole_report()
    assert model_card.write(whole, tmp_path) == [tmp_path / "model-index.yaml"]
    metadata = (tmp_path / "model-index.yaml").read_text()
    card = ModelCard(f"---\n{metadata}---\n# A model\n")
    name, results = model_index_to_eval_results(yaml.safe_load(metadata)["model-index"])
    assert name == whole.model.name
    assert card.data.eval_results is not None
    assert {(one.metric_type, one.metric_value) for one in card.data.eval_results} == {
        (one.metric_type, one.metric_value) for one in results
    }
    assert {one.task_name for one in results} == {"Equivariance of the features"}
    late = next(one for one in results if one.metric_type == "late_rotation_layer")
    assert late.metric_value == whole.parts["Late"].rotation.layer
    assert late.metric_name == "Late: rotation layer equivariance"
    assert late.metric_args == {"interval_95": list(whole.parts["Late"].rotation.layer_interval or ())}
    final = next(one for one in results if one.metric_type == "final_rotation_channel")
    assert final.metric_name == "Final: rotation channel invariance"


def test_what_was_not_measured_is_left_out(tmp_path):
    model_card.write(report(final_reason="no maps"), tmp_path, "org/equivariance")
    entries = yaml.safe_load((tmp_path / ".eval_results" / "zooaudit.yaml").read_text())
    assert len(entries) == 16
    assert not [entry for entry in entries if entry["dataset"]["task_id"].startswith("final")]


def test_the_command_says_what_is_missing(tmp_path, capsys):
    file = tmp_path / "report.json"
    file.write_text(json.dumps(report().model_dump(mode="json")))
    assert main(["export", str(file), "--to", "huggingface", "--output", str(tmp_path / "clone")]) == 0
    assert "No .eval_results: --benchmark" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "clone").iterdir()] == ["model-index.yaml"]
    assert main(["export", str(file), "--to", "html", "--benchmark", "org/name"]) == 2
    assert capsys.readouterr().err == "--benchmark goes with --to huggingface.\n"
    assert main(["export", str(file), "--to", "huggingface", "--benchmark", "nonsense"]) == 2
    assert "nonsense is no data set of the hub: give it as ORG/NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "form", "extra"),
    [
        ("huggingface_hub", "huggingface", "zooaudit[huggingface]"),
        ("mlflow", "mlflow", "zooaudit[mlflow]"),
        ("wandb", "wandb", "zooaudit[wandb]"),
        ("jinja2", "html", "zooaudit[publish]"),
    ],
)
def test_a_missing_extra_is_named(module, form, extra, tmp_path, capsys, monkeypatch):
    import zooaudit.site.rendering as rendering

    rendering._environment.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, module, None)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "report.json"
    file.write_text(report().model_dump_json())
    assert main(["export", str(file), "--to", form]) == 2
    assert extra in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
