"""Shift consistency: windows recomputed by hand, known answers, and what is published of a report's weights."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from timm.models import get_arch_pretrained_cfgs
from torch import Tensor

from worker.measure.forward import Receive
from worker.measure.groups import GROUPS, group_of
from worker.measure.jackknife import half_width
from worker.measure.probes.consistency import PUBLISHED, Consistency, ConsistencySums, published
from worker.measure.probes.statistic import NOT_FINITE, Statistic
from worker.measure.transforms import Views

SIZE, SIDE = 10, 17
SEED = 5

Network = Callable[[Tensor], Tensor]
"""A view (N, 3, SIZE, SIZE) to its logits (N, K)."""


def measured(network: Network, canvas: Tensor, draws: int = 5, batch_size: int = 8) -> Statistic:
    def forward(view: Tensor, receive: Receive) -> Tensor:
        assert view.shape[1:] == (3, SIZE, SIZE)
        receive(0, view)
        return network(view)

    sums = ConsistencySums(Consistency(draws), Views(SIZE, 0), SEED, torch.device("cpu"))
    with torch.inference_mode():
        for places in torch.arange(len(canvas)).split(batch_size):
            members = (torch.arange(GROUPS)[:, None] == group_of(places, len(canvas))).float()
            sums.see(canvas[places], places, members, forward)
    ((name, (found,)),) = sums.statistics(images_of_groups(len(canvas))).items()
    assert name == "consistency"
    return found


def images_of_groups(images: int) -> list[int]:
    return torch.bincount(group_of(torch.arange(images), images), minlength=GROUPS).tolist()


def noise(images: int) -> Tensor:
    return torch.randn(images, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def quarters(view: Tensor) -> Tensor:
    """Four classes, which depend on every pixel of the view and on where it lies."""
    weights = torch.randn(4, view[0].numel(), generator=torch.Generator().manual_seed(1))
    return view.flatten(1) @ weights.T


def by_hand(network: Network, canvas: Tensor, draws: int) -> np.ndarray:
    """Whether the top-1 class of both windows is the same, (images, draws)."""
    same = np.zeros((len(canvas), draws))
    for place, image in enumerate(canvas):
        for draw in range(draws):
            row1, column1, row2, column2 = np.random.default_rng([SEED, place, draw]).integers(
                0, SIDE - SIZE + 1, size=4
            )
            first = network(image[None, :, row1 : row1 + SIZE, column1 : column1 + SIZE])[0].argmax()
            second = network(image[None, :, row2 : row2 + SIZE, column2 : column2 + SIZE])[0].argmax()
            same[place, draw] = first == second
    return same


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_it_is_what_windows_cut_by_hand_say(batch_size: int) -> None:
    canvas, draws = noise(100), 4
    same = by_hand(quarters, canvas, draws)
    groups = group_of(torch.arange(100), 100).numpy()
    without = np.array([same[groups != group].mean() for group in range(GROUPS)])
    found = measured(quarters, canvas, draws, batch_size)
    assert found.value == pytest.approx(same.mean(), abs=1e-12)
    np.testing.assert_allclose(found.deviations, without - same.mean(), atol=1e-12)
    assert 0.2 < same.mean() < 0.4


def test_an_invariant_network_is_consistent() -> None:
    """Each image has one colour, so all its windows are alike."""
    canvas = torch.randn(50, 3, 1, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, SIDE, SIDE)
    found = measured(lambda view: view.mean((2, 3)), canvas)
    assert found.value == 1.0
    assert half_width(found.deviations, images_of_groups(50)) == 0.0


def test_a_network_that_reads_one_pixel_is_as_consistent_as_chance_says() -> None:
    """Two pixels of noise have the same sign with probability 1/2, and are one pixel with probability 1/64."""
    images, draws = 800, 5

    def corner(view: Tensor) -> Tensor:
        pixel = view[:, 0, 0, 0]
        return torch.stack([pixel, -pixel], 1)

    found = measured(corner, noise(images), draws, 100)
    expected = 0.5 + 0.5 / (SIDE - SIZE + 1) ** 2
    half = half_width(found.deviations, images_of_groups(images))
    assert found.value is not None
    assert half is not None
    assert abs(found.value - expected) < 1.5 * half < 0.04


def test_the_offsets_are_uniform_up_to_the_border() -> None:
    """The network's logits are those of where its window begins: the canvas tells rows and columns."""
    rows = torch.arange(SIDE).float()[:, None].expand(SIDE, SIDE)
    canvas = torch.stack([rows, rows.T, torch.zeros(SIDE, SIDE)]).expand(400, -1, -1, -1)
    starts = []

    def note_start(view: Tensor) -> Tensor:
        torch.testing.assert_close(view[:, 0, -1, -1], view[:, 0, 0, 0] + SIZE - 1)
        starts.append(view[:, :2, 0, 0])
        return view[:, :2, 0, 0]

    measured(note_start, canvas)
    seen = torch.cat(starts).long()
    for axis in (0, 1):
        often = torch.bincount(seen[:, axis], minlength=SIDE - SIZE + 1)
        assert len(often) == SIDE - SIZE + 1
        assert (often - len(seen) / len(often)).abs().max() < 5 * (len(seen) / len(often)) ** 0.5
    assert abs(torch.corrcoef(seen.T.double())[0, 1]) < 0.1


def test_only_groups_with_images_have_deviations() -> None:
    found = measured(quarters, noise(6))
    assert found.deviations is not None
    assert found.deviations.shape == (6,)
    assert half_width(found.deviations, [1] * 6) is not None


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (lambda view: view[:, :1, 0, 0], "the model's output has fewer than 2 classes"),
        (lambda view: torch.tensor([[0.5, 0.1]]).expand(len(view), -1), "no class varies over the images"),
        (lambda view: view[:, :, 0, 0] / 0, NOT_FINITE),
    ],
)
def test_a_model_that_decides_nothing_has_none(network: Network, reason: str) -> None:
    assert measured(network, noise(9)) == Statistic(None, reason)


def test_only_torchvisions_first_weights_are_published() -> None:
    """The names and origins are those that the zoos give to reports."""
    found = {}
    for architecture in [*PUBLISHED, "resnet34"]:
        for weights in torchvision.models.get_model_weights(architecture):
            found[str(weights)] = published(f"torchvision/{architecture}", f"{weights}: {weights.url}")
        for name, config in get_arch_pretrained_cfgs(architecture).items():
            found[name] = published(f"timm/{name}", f"hf-hub:{config.hf_hub_id}/model.safetensors")
    assert {name: figure for name, figure in found.items() if figure is not None} == {
        "ResNet18_Weights.IMAGENET1K_V1": 0.8511,
        "resnet18.tv_in1k": 0.8511,
        "ResNet50_Weights.IMAGENET1K_V1": 0.8920,
        "resnet50.tv_in1k": 0.8920,
        "ResNet101_Weights.IMAGENET1K_V1": 0.8981,
        "resnet101.tv_in1k": 0.8981,
        "DenseNet121_Weights.IMAGENET1K_V1": 0.8881,
        "densenet121.tv_in1k": 0.8881,
        "ResNeXt101_32X8D_Weights.IMAGENET1K_V1": 0.9133,
        "resnext101_32x8d.tv_in1k": 0.9133,
        "MobileNet_V2_Weights.IMAGENET1K_V1": 0.8650,
    }
    assert published("torchvision/resnet18", "torch.manual_seed(0)") is None
    assert published("timm/resnet18.tv_in1k", "mine") is None
    assert published("module/resnet18", "module/resnet18") is None
