"""Depths found beside the audits: in a process of its own, whatever happens to it."""

import os
import signal

import pytest
from zooaudit.contract import CATALOGUE_KEY, TROUBLES_KEY, Catalogue, ModelDepth

from tests.fakes import entry
from worker.queue import model_depths


def test_the_depth_of_a_model() -> None:
    depth = model_depths.depth_of("timm/test_vit.r160_in1k")
    assert (depth.input_size, depth.blocks_reason) == (160, None)
    assert depth.blocks is not None
    assert [block.part for block in depth.blocks][-2:] == ["Pool", "Final"]
    assert {(block.height, block.layout) for block in depth.blocks[1:-2]} == {(10, "NLC")}
    assert depth.blocks[-1].channels == 1000


@pytest.mark.parametrize(
    ("name", "reason"),
    [("timm/no_such_model", "neither in timm"), ("timm/naflexvit_base_patch16_gap.untrained", "no such tag")],
)
def test_a_model_without_a_depth_has_the_reason(name: str, reason: str) -> None:
    depth = model_depths.depth_of(name)
    assert depth.blocks is None
    assert reason in (depth.blocks_reason or "")


def test_a_model_that_is_too_large_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_depths, "machine_memory_bytes", lambda: 4 * 4 * 1_000_000)
    depth = model_depths.depth_of("timm/resnet18.a1_in1k")
    assert depth.blocks is None
    assert depth.parameters == 11_689_512
    assert "too much" in (depth.blocks_reason or "")


def test_the_parameters_that_no_zoo_states_are_counted(redis) -> None:
    entries = (entry("timm/resnet18", "a1_in1k"), entry("timm/test_vit"))
    content = Catalogue(entries=entries, datasets={"synthetic": None}).model_dump_json()
    redis.hset(CATALOGUE_KEY, mapping={"version": "1", "json": content})
    model_depths.count_parameters(redis)
    catalogue = Catalogue.model_validate_json(redis.hget(CATALOGUE_KEY, "json"))
    assert [one.parameters for one in catalogue.entries] == [
        11_689_512,
        model_depths.zoo.parameters("timm", "test_vit"),
    ]
    assert catalogue.datasets == {"synthetic": None}
    assert redis.hget(CATALOGUE_KEY, "version") != b"1"


def test_a_process_that_dies_or_hangs_is_the_reason(redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_depths, "depth_of", lambda _name: os.kill(os.getpid(), signal.SIGKILL))
    assert "ended by signal 9" in (model_depths.depth_in_child("any", redis).blocks_reason or "")
    monkeypatch.setattr(model_depths, "depth_of", lambda _name: signal.pause())
    monkeypatch.setattr(model_depths, "DEPTH_LIMIT_S", 0.2)
    assert "took longer than 0.2 s" in (model_depths.depth_in_child("any", redis).blocks_reason or "")
    assert redis.zcard(TROUBLES_KEY) == 2
    monkeypatch.setattr(model_depths, "depth_of", lambda _name: ModelDepth(parameters=3, blocks=()))
    monkeypatch.setattr(model_depths, "DEPTH_LIMIT_S", 20)
    assert model_depths.depth_in_child("any", redis) == ModelDepth(parameters=3, blocks=())
