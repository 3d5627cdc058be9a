"""The experiment on pretrained models: through real services, with real small networks and with made-up scores."""

import sys
from dataclasses import replace

import pytest
from scipy import stats
from zooaudit import Report

from experiments import __main__ as command
from experiments import lab, zoo
from experiments.claims import Verdict
from experiments.results import Result
from service.stack import running
from tests.client.samples import comparison
from tests.experiments.reports import made_up

pytestmark = pytest.mark.usefixtures("kaleido")


def test_small_networks_are_audited_by_a_service_as_own_architectures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lab, "SMALL", (64, 40))
    monkeypatch.setattr(zoo, "SMALL_RECIPE", replace(zoo.SMALL_RECIPE, epochs=1, drops=()))
    assert command.main(["zoo", "--scale", "small", "--out", str(tmp_path)]) == 0
    folder = tmp_path / "small" / "zoo"
    reports = [Report.model_validate_json(file.read_bytes()) for file in (folder / "reports").iterdir()]
    assert {report.model.name for report in reports} == {f"own/{name}" for name in zoo.SMALL_NETWORKS}
    assert {report.model.weights.kind for report in reports} == {"checkpoint"}
    result = Result.model_validate_json((folder / "claims.json").read_bytes())
    assert [kind.kind for kind in result.networks] == list(zoo.SMALL_NETWORKS)
    assert all((folder / f"figure-{number}.png").exists() for number in (11, 12, 13))
    assert "own/small_vit" not in capsys.readouterr().err  # no errors


def test_the_full_scale_asks_a_running_service(tmp_path, capsys):
    worker = (sys.executable, "-m", "tests.experiments.zoo_worker")
    with running(tmp_path / "stack", env={"ZOOAUDIT_API_KEYS": ""}, worker_command=worker) as stack:
        assert command.main(["zoo", "--url", stack.url, "--out", str(tmp_path / "out")]) == 0
    folder = tmp_path / "out" / "full" / "zoo"
    result = Result.model_validate_json((folder / "claims.json").read_bytes())
    assert len(list((folder / "reports").iterdir())) == len(zoo.MODELS)
    correlation = next(claim for claim in result.claims if "Invariance at Final" in claim.sentence)
    assert [case.estimate.value for case in correlation.measured] == [1.0, 1.0]
    assert (folder / "figure-13-models.png").exists()
    assert "| timm/resnet18.tv_in1k | 85.11 | 69.75 |" in capsys.readouterr().out


def the_zoo(convolutional: dict, of_patches: dict) -> zoo.Zoo:
    reports = {f"own/cnn{number}": made_up(convolutional) for number in range(3)}
    reports |= {f"own/{name}": made_up(of_patches) for name in ("small_vit", "small_mixer")}
    return zoo.Zoo(reports, comparison())


def test_claims_on_made_up_scores():
    low = {"Early": 0.2, "Middle": 0.2, "Late": 0.2, "Final": 0.9}
    high = {"Early": 0.8, "Middle": 0.8, "Late": 0.8, "Final": 0.9}
    as_told = {claim.sentence: claim.verdict for claim in zoo.claims(the_zoo(high, low))}
    assert list(as_told.values())[:3] == [Verdict.HOLDS] * 3
    assert as_told["ViT and MLP-Mixer are less rotation equivariant before pooling."] is Verdict.HOLDS
    denied = {claim.sentence: claim.verdict for claim in zoo.claims(the_zoo(low, {**high, "Final": 0.5}))}
    assert list(denied.values())[:2] == [Verdict.DOES_NOT] * 2
    unrelated = list(as_told.values())[-3:]
    assert unrelated == [Verdict.UNDECIDED] * 3  # -0.5 within -0.9 and 0.2


def test_what_comes_before_pooling_is_related_to_what_comes_after():
    def report(before: float, final: float) -> Report:
        return made_up({"Early": before, "Middle": before, "Late": before, "Final": final})

    pairs = [(0.1, 0.9), (0.2, 0.8), (0.3, 0.6), (0.4, 0.7), (0.5, 0.2), (0.6, 0.3), (0.7, 0.1)]
    models = zoo.Zoo({f"model{index}": report(*pair) for index, pair in enumerate(pairs)}, comparison())
    found = zoo.before_and_after(models, "rotation")
    assert found.value == pytest.approx(stats.spearmanr(*zip(*pairs, strict=True)).statistic)
    assert found.interval[1] < 0
    few = zoo.Zoo({"a": report(0.1, 0.2), "b": report(0.2, 0.1)}, comparison())
    assert zoo.before_and_after(few, "rotation").reason == "fewer than 4 models"
    same = zoo.Zoo({str(index): report(0.5, 0.2 + 0.1 * index) for index in range(5)}, comparison())
    assert zoo.before_and_after(same, "rotation").reason == "all models score the same"
