"""Training: what a batch is, and that a killed training goes on."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from experiments.data import digits, mnist6, rotated
from experiments.networks import TABLE_1, TABLE_2, Network
from experiments.training import (
    TrainingError,
    _Augmented,
    _collate,
    _loss,
    _transform,
    epochs_done,
    normalised,
    trained,
)

CPU = torch.device("cpu")
ONE_EPOCH = TABLE_1.shortened(1, 32)


@pytest.fixture(scope="module")
def data():
    return mnist6(digits(28)).limited(64, 32)


def test_the_recipes_are_the_tables_of_the_thesis():
    assert dataclasses.astuple(TABLE_1) == ("adam", 0.01, 0.0005, 100, (25, 50), 128, "none")
    assert dataclasses.astuple(TABLE_2) == ("sgd", 0.1, 0.0001, 200, (100, 150), 128, "none")
    assert TABLE_2.shortened(10, 32).drops == (5, 8)


def test_training_learns(tmp_path):
    data = mnist6(digits(28))
    network = trained(Network("z2cnn", data, TABLE_1.shortened(3, 32), 0), tmp_path, CPU)
    assert network.accuracy > 0.8  # chance is 1/6
    logits = network.module(normalised(data.validation.pixels, data))
    right = (logits.argmax(1) == data.validation.labels[:, 0]).float().mean()
    assert float(right) == pytest.approx(network.accuracy)


def test_a_trained_network_is_kept_and_not_trained_again(tmp_path, data):
    epochs = []
    network = Network("z2cnn", data, ONE_EPOCH, 0)
    first = trained(network, tmp_path, CPU, epochs.append)
    again = trained(network, tmp_path, CPU, epochs.append)
    assert epochs == [0]
    assert all(map(torch.equal, first.module.parameters(), again.module.parameters()))
    assert not list(tmp_path.glob("*.unfinished"))


def test_what_makes_a_network_is_its_name(data):
    network = Network("z2cnn", data, ONE_EPOCH, 0)
    others = [
        dataclasses.replace(network, seed=1),
        dataclasses.replace(network, recipe=TABLE_1),
        dataclasses.replace(network, data=rotated(data, 0, predicted=False)),
        dataclasses.replace(network, model="small_vit"),
        dataclasses.replace(network, arguments={"width": 2}),
    ]
    assert len({network.name, *(other.name for other in others)}) == 6
    assert network.name == Network("z2cnn", mnist6(digits(28)).limited(64, 32), ONE_EPOCH, 0).name


def test_a_training_that_was_interrupted_leads_to_the_same_network(tmp_path, data):
    network = Network("z2cnn", data, dataclasses.replace(ONE_EPOCH, epochs=3, drops=(1, 2)), 0)
    whole = trained(network, tmp_path / "whole", CPU)

    def stop(epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(network, tmp_path / "interrupted", CPU, stop)
    assert epochs_done(network, tmp_path / "interrupted") == 2
    epochs = []
    resumed = trained(network, tmp_path / "interrupted", CPU, epochs.append)
    assert epochs == [2]
    assert all(map(torch.equal, whole.module.state_dict().values(), resumed.module.state_dict().values()))


def test_a_training_without_end_is_told(tmp_path, data):
    recipe = dataclasses.replace(TABLE_2.shortened(1, 32), learning_rate=1e30)
    with pytest.raises(TrainingError, match="lower its learning rate"):
        trained(Network("resnet", data, recipe, 0, {"depth": 8, "base_width": 4}), tmp_path, CPU)


def test_crops_shift_an_image_by_at_most_4_px():
    data = digits(32).limited(20, 2)
    shifts = set()
    torch.manual_seed(0)
    for pixels, _ in _Augmented(data.training, _transform("crops", data)):
        assert pixels.shape == (3, 32, 32)
        index = len(shifts)
        padded = torch.nn.functional.pad(data.training.pixels[index], (4, 4, 4, 4), value=round(255 * data.mean[0]))
        found = [(y, x) for y in range(9) for x in range(9) if torch.equal(padded[:, y : y + 32, x : x + 32], pixels)]
        assert found
        shifts.add((index, found[0]))
        if index == 19:
            break
    assert len({shift for _, shift in shifts}) > 5


def test_flips_turn_half_of_the_images_round():
    data = digits(32).limited(100, 2)
    torch.manual_seed(0)
    flip = _transform("flips", data)
    flipped = sum(torch.equal(flip(pixels), pixels.flip(2)) for pixels in data.training.pixels)
    assert 30 < flipped < 70


def test_randaugment_changes_images_and_leaves_their_size():
    data = digits(32).limited(30, 2)
    torch.manual_seed(0)
    change = _transform("randaugment", data)
    changed = [change(pixels) for pixels in data.training.pixels]
    assert {image.shape for image in changed} == {(3, 32, 32)}
    assert sum(not torch.equal(image, pixels) for image, pixels in zip(changed, data.training.pixels, strict=True)) > 20


def test_cutmix_mixes_the_labels_as_it_mixes_the_pixels():
    torch.manual_seed(0)
    pixels = [torch.full((3, 32, 32), 10 * label, dtype=torch.uint8) for label in range(4)]
    batch = [(image, torch.tensor([label])) for label, image in enumerate(pixels)]
    mixed, shares = _collate("cutmix", (4,))(batch)
    assert shares.shape == (4, 4)
    for image, share in zip(mixed, shares, strict=True):
        for label in range(4):
            assert float((image == 10 * label).float().mean()) == pytest.approx(float(share[label]), abs=1e-6)


def test_the_loss_adds_both_questions():
    logits = torch.tensor([[2.0, 0.0, 0.0, 1.0, 0.0]])
    digit = -torch.log(torch.softmax(logits[:, :3], 1)[0, 1])
    turn = -torch.log(torch.softmax(logits[:, 3:], 1)[0, 0])
    assert float(_loss(logits, torch.tensor([[1, 0]]), (3, 2))) == pytest.approx(float(digit + turn))


KILLED = """
import sys, torch
from pathlib import Path
from experiments.data import digits, mnist6
from experiments.networks import TABLE_1, Network
from experiments.training import trained
network = Network("z2cnn", mnist6(digits(28)).limited(64, 32), TABLE_1.shortened(500, 32), 0)
print(network.name, flush=True)
trained(network, Path(sys.argv[1]), torch.device("cpu"), lambda epoch: print(epoch, flush=True))
"""


def test_a_training_that_was_killed_goes_on(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    while process.stdout.readline() != "2\n":
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    network = Network("z2cnn", mnist6(digits(28)).limited(64, 32), TABLE_1.shortened(500, 32), 0)
    assert network.name == name
    assert epochs_done(network, tmp_path) >= 3
    assert not (tmp_path / f"{name}.safetensors").exists()
    epochs = []

    def stop(epoch: int) -> None:
        epochs.append(epoch)
        raise KeyboardInterrupt

    done = epochs_done(network, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        trained(network, tmp_path, CPU, stop)
    assert epochs == [done]
    assert torch.load(tmp_path / f"{name}.unfinished", weights_only=True)["epochs"] == done + 1


def test_a_kept_network_is_a_checkpoint_of_a_worker(tmp_path, data):
    from worker.zoo.checkpoints import open_checkpoint

    network = Network("z2cnn", data, ONE_EPOCH, 0)
    kept = trained(network, tmp_path, CPU)
    checkpoint = open_checkpoint(network.name, tmp_path, lambda _progress: None)
    module = network.build()
    module.load_state_dict(dict(checkpoint.state))
    assert all(map(torch.equal, kept.module.state_dict().values(), module.state_dict().values()))
    assert checkpoint.options.input_size == 28
    assert checkpoint.options.mean == data.mean
    assert load_file(Path(tmp_path, f"{network.name}.safetensors")).keys() == module.state_dict().keys()


@pytest.mark.parametrize("kind", ["safetensors", "unfinished"])
def test_a_broken_file_is_named(tmp_path, data, kind):
    network = Network("z2cnn", data, ONE_EPOCH, 0)
    (tmp_path / f"{network.name}.{kind}").write_bytes(b"")
    with pytest.raises(TrainingError, match=rf"{network.name}.{kind} is broken .*: delete it"):
        trained(network, tmp_path, CPU)
