"""What a report adds to the scores: other borders, the cosine, the baseline; and what is shown while an audit runs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from zooaudit.contract import BORDERS, AuditRequest, Progress, Report, request_of

from tests.worker.small_audits import SMALL, audit
from worker import zoo
from worker.audit import run
from worker.measure import passes


def test_all_borders_are_what_each_gives_alone(whole: Report) -> None:
    assert whole.borders is not None
    assert tuple(whole.borders) == BORDERS
    assert whole.parts == whole.borders["crop"]
    for border in BORDERS:
        alone = audit({"border": border})
        for name, part in alone.parts.items():
            mine = whole.borders[border][name]
            assert mine.translation.channel == pytest.approx(part.translation.channel, abs=1e-9)
            assert mine.translation.layer_interval == pytest.approx(part.translation.layer_interval, abs=1e-9)
            # More windows of the reference view at once may be summed in another order on some processors.
            assert leaves(mine.rotation.model_dump()) == pytest.approx(leaves(part.rotation.model_dump()), abs=1e-8)
    assert request_of(whole).border == "all"


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return all that is in a record and neither a record nor a sequence, by its path."""
    if not isinstance(value, dict | tuple):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {place: leaf for key, item in items for place, leaf in leaves(item, f"{path}.{key}").items()}


def test_both_similarities_are_what_each_gives_alone(whole: Report) -> None:
    cosine = audit({"similarity": "cosine"})
    assert whole.cosine is not None
    for name, part in cosine.parts.items():
        for kind in ("translation", "rotation"):
            mine, theirs = getattr(whole.cosine.parts[name], kind), getattr(part, kind)
            assert (mine.channel, mine.layer) == pytest.approx((theirs.channel, theirs.layer), abs=1e-9)
            assert mine.channel_interval == pytest.approx(theirs.channel_interval, abs=1e-9)
    assert cosine.cosine is None
    assert audit().parts["Late"].rotation.channel == pytest.approx(whole.parts["Late"].rotation.channel, abs=1e-9)


def test_activation_is_a_rank_correlation_with_the_channels(whole: Report) -> None:
    checks = [block.activation for block in whole.blocks]
    assert all(check is not None for check in checks)
    assert any(check.rotation.correlation != check.rotation.cosine for check in checks if check)
    assert whole.cosine is not None
    blocks = [block for block in whole.blocks if block.part not in ("Pool", "Final")]
    scored = [block.rotation.channel for block in blocks]
    model = zoo.load(SMALL["model"], "untrained", lambda _progress: None)
    from tests.worker import reference
    from worker.images.synthetic import dead_leaves

    canvas = reference.canvases([dead_leaves(0, i) for i in range(24)], model.preprocessing, whole.method.canvas_size)
    maps = reference.feature_maps(
        model.module.double(),
        whole.model_dump(mode="json")["blocks"],
        "fc",
        reference.transformed(canvas, whole.model.input_size, "crop"),
    )
    magnitude = [np.abs(maps[f"{block.part}:{block.name}"].mean((0, 2, 3))).mean() for block in blocks]
    assert whole.cosine.activation.rotation.correlation == pytest.approx(spearmanr(magnitude, scored).statistic)


def test_the_baseline_is_the_untrained_architecture_on_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    load = zoo.load

    def stand_in(name: str, _weights: str, on_progress: Any, **_more: Any) -> zoo.LoadedModel:
        # No checkpoint can be had here: another initialisation stands for what was trained.
        other = load(name, "untrained", on_progress)
        return replace(
            other, module=other.initialised(99), weights=other.weights.model_copy(update={"kind": "pretrained"})
        )

    monkeypatch.setattr(zoo, "load", stand_in)
    report = audit({"weights": "pretrained", "baseline": True, "baseline_seeds": 2})
    assert report.baseline is not None
    assert report.baseline.seeds == (0, 1)
    monkeypatch.undo()
    alone = [run(AuditRequest(**SMALL)), None]
    late = report.baseline.parts["Late"].rotation.layer
    assert late.pretrained.value == report.parts["Late"].rotation.layer
    assert late.pretrained.interval == report.parts["Late"].rotation.layer_interval
    assert late.by_seed[0] == pytest.approx(alone[0].parts["Late"].rotation.layer, abs=1e-9)
    assert late.untrained.value == pytest.approx(np.mean(late.by_seed))
    assert late.difference.value == pytest.approx(late.pretrained.value - late.untrained.value)
    assert late.difference.interval is not None
    low, high = late.difference.interval
    assert -1 <= low < late.difference.value < high <= 1
    asked = {**SMALL, "weights": "pretrained", "baseline": True, "baseline_seeds": 2}
    assert request_of(report) == AuditRequest(**asked)


def test_a_model_against_itself_has_learned_nothing_for_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    load = zoo.load
    monkeypatch.setattr(zoo, "load", lambda name, _weights, on_progress, **_: load(name, "untrained", on_progress))
    report = audit({"weights": "pretrained", "baseline": True})
    assert report.baseline is not None
    for part in report.baseline.parts.values():
        assert part.rotation.channel.difference.value == 0
        assert part.rotation.channel.difference.interval == pytest.approx((0, 0), abs=1e-9)


def test_provisional_scores_come_while_it_runs_and_end_near_the_final_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "SHOW_AFTER_S", 0.0)
    seen: list[Progress] = []
    report = audit({"num_images": 40}, batch_size=8, on_progress=seen.append)
    provisional = [progress.provisional for progress in seen if progress.provisional]
    # After the batch with the last of five groups (7 images), and each time that the images have doubled. Batches end
    # at a quarter and at a half of the images.
    assert {one.images for one in provisional} == {8, 18, 36}
    last = provisional[-1].parts["Early"].translation
    assert last.channel == pytest.approx(report.parts["Early"].translation.channel, abs=0.05)
    assert last.channel_interval is not None
