"""Whether a checkpoint fits is found without weights, and is what loading it would say."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from tests.worker.zoo.test_checkpoints import AS_TRAINING_SCRIPTS_SAVE, WRONG, network
from worker import zoo
from worker.errors import AuditError
from worker.zoo import fitting
from worker.zoo.checkpoints import open_outline


def loading(folder: Path, model: str) -> str | None:
    try:
        zoo.load(model, "checkpoint:mine", lambda _progress: None, checkpoints=folder)
    except AuditError as error:
        return error.problem.model_dump_json()
    return None


def checking(folder: Path, model: str) -> str | None:
    try:
        fitting.check_fit(model, open_outline("mine", folder))
    except AuditError as error:
        return error.problem.model_dump_json()
    return None


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_a_wrong_file_is_refused_in_the_words_of_loading(tmp_path: Path, case: int) -> None:
    (tmp_path / "mine.pth").write_bytes(WRONG[case][0](dict(network().state_dict())))
    refusal = checking(tmp_path, "timm/test_resnet")
    assert refusal is not None
    assert refusal == loading(tmp_path, "timm/test_resnet")


@pytest.mark.parametrize("case", AS_TRAINING_SCRIPTS_SAVE)
def test_what_loads_fits(tmp_path: Path, case: str) -> None:
    save, _ = AS_TRAINING_SCRIPTS_SAVE[case]
    for new_format in (True, False):
        torch.save(save(network().state_dict()), tmp_path / "mine.pth", _use_new_zipfile_serialization=new_format)
        assert checking(tmp_path, "timm/test_resnet") is None


@pytest.mark.parametrize(
    ("saved", "options", "asked", "fits"),
    [
        ("test_vit", {}, "timm/test_vit", True),
        ("test_vit", {}, "timm/test_resnet", False),
        ("test_vit", {"input_size": 192}, "timm/test_vit", False),
        ("test_vit", {"num_classes": 9}, "timm/test_vit", False),
        ("test_vit", {"num_classes": 7, "mean": [0.1, 0.2, 0.3]}, "timm/test_vit", True),
        ("test_vit", {"inputsize": 192}, "timm/test_vit", False),
        ("test_vit", {"container": "ema"}, "timm/test_vit", False),
        ("deit_tiny_distilled_patch16_224", {}, "timm/deit_tiny_distilled_patch16_224", True),  # two classifiers
    ],
)
def test_options_are_heeded(tmp_path: Path, saved: str, options: dict[str, Any], asked: str, fits: bool) -> None:
    save_file(network(name=saved).state_dict(), tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text(json.dumps(options))
    refusal = checking(tmp_path, asked)
    assert (refusal is None) == fits
    assert refusal == loading(tmp_path, asked)


def test_an_auxiliary_head_may_be_missing_or_of_another_shape_and_nothing_else(tmp_path: Path) -> None:
    torch.manual_seed(0)
    mine = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False, num_classes=10).state_dict()
    heads = torchvision.models.googlenet(weights=None, init_weights=False).state_dict()
    heads = {key: value for key, value in heads.items() if key.startswith("aux")}
    incomplete = {key: value for key, value in mine.items() if key != "conv1.conv.weight"}
    for content, fits in ((mine, True), ({**mine, **heads}, True), (incomplete, False)):
        torch.save(content, tmp_path / "mine.pth")
        assert (checking(tmp_path, "torchvision/googlenet") is None) == fits


def test_a_module_that_needs_numbers_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    forward = timm.models.ResNet.forward

    def looks_at_numbers(self: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
        assert image.sum().item() == 0
        return forward(self, image)

    monkeypatch.setattr(timm.models.ResNet, "forward", looks_at_numbers)
    assert checking(tmp_path, "timm/test_resnet") is None
    save_file(dict(list(network().state_dict().items())[1:]), tmp_path / "mine.safetensors")
    assert "missing keys 1" in (checking(tmp_path, "timm/test_resnet") or "")
