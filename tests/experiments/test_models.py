"""The networks of the experiments, against what their papers state."""

import pytest
import torch

from experiments import models
from worker.zoo.own import from_module


def parameters(network: torch.nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


@pytest.mark.parametrize(
    ("network", "millions"),
    [
        (models.resnet44(), 0.66),  # He et al. 2015, Table 6
        (models.resnet(20, 16), 0.27),
        (models.wide_resnet40(1), 0.6),  # Zagoruyko and Komodakis 2016, Table 4
        (models.wide_resnet40(2), 2.2),
        (models.wide_resnet40(4), 8.9),
        (models.wide_resnet(16, 8, 16), 11.0),
    ],
)
def test_networks_have_as_many_parameters_as_their_papers_say(network, millions):
    assert round(parameters(network) / 1e6, 2 if millions < 0.6 or millions == 0.66 else 1) == millions


def test_the_network_of_seven_convolutions():
    network = models.z2cnn()
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.kernel_size for layer in convolutions] == [(3, 3)] * 7
    assert {layer.out_channels for layer in convolutions} == {20}
    sides = [block.height for block in _blocks(network, 28)]
    assert sides == [26, 24, 10, 8, 6, 4, 2]  # no padding; max-pooling after the second


def test_the_stages_of_a_resnet_are_the_parts_of_its_depth():
    blocks = _blocks(models.resnet44(), 32)
    assert [block.height for block in blocks] == [32] * 8 + [16] * 7 + [8] * 7
    assert [block.part for block in blocks] == ["Early"] * 8 + ["Middle"] * 7 + ["Late"] * 7


@pytest.mark.parametrize("name", [name for name in vars(models) if name.startswith("small_")])
def test_the_small_networks_can_be_measured(name):
    network = getattr(models, name)()
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert len(_blocks(network, 32)) >= 4


def test_a_shortcut_without_weights_takes_every_second_pixel():
    block = models.Residual(2, 4, stride=2).eval()
    torch.nn.init.zeros_(block.norm2.weight)  # nothing but the shortcut is left
    x = torch.rand(1, 2, 8, 8)
    y = block(x)
    assert torch.equal(y[:, :2], x[:, :, ::2, ::2])
    assert not y[:, 2:].any()


def _blocks(network, side):
    from zooaudit import AuditRequest

    from worker.audit import choose_device, prepare
    from worker.measure.transforms import Views

    loaded = from_module(network, "network", side)
    request = AuditRequest(model=loaded.name, weights="checkpoint:network")
    _, representations = prepare(loaded, loaded.module, request, Views(side, 0), choose_device("cpu", "float32"))
    return [each for each in representations if each.part not in ("Pool", "Final")]
