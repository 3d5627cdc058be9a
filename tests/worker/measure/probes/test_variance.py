"""The variance over transforms: a recomputation in float64, known answers, and what must not change it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from worker.depth import Representation
from worker.measure.forward import Receive
from worker.measure.groups import GROUPS, group_of
from worker.measure.jackknife import half_width
from worker.measure.probes.statistic import CONSTANT, NOT_FINITE, Statistic
from worker.measure.probes.variance import Variance, VarianceSums
from worker.measure.transforms import Reflection, Rotation, Shift, Transform, Views

SIZE, ROOM = 12, 4
VIEWS = Views(SIZE, ROOM)
SHIFTS = (Shift(1), Shift(2), Shift(4))
CIRCULAR = (Shift(1, "circular"), Shift(5, "circular"))

Network = Callable[[Tensor], list[Tensor]]
"""A view (N, 3, SIZE, SIZE) to the maps (N, h, w, K) of each representation."""


def canvases(images: int, seed: int = 0) -> Tensor:
    """Photographs, as far as this measure is concerned: smooth, and of unlike brightness."""
    noise = torch.randn(images, 3, SIZE + ROOM + 4, SIZE + ROOM + 4, generator=torch.Generator().manual_seed(seed))
    bright = torch.randn(images, 3, 1, 1, generator=torch.Generator().manual_seed(seed + 1))
    return functional.avg_pool2d(noise, 5, 1) * 5 + bright


def measured(network: Network, transforms: tuple[Transform, ...], canvas: Tensor, batch_size: int) -> list[Statistic]:
    shapes = [maps.shape[1:] for maps in network(VIEWS.reference(canvas[:1]))]
    representations = [Representation(str(shape), "Early", "NCHW", *shape) for shape in shapes]

    def forward(view: Tensor, receive: Receive) -> Tensor:
        for index, maps in enumerate(network(view)):
            receive(index, maps)
            maps.fill_(torch.nan)  # A model may compute in place.
        return view

    sums = VarianceSums(
        Variance("translation", len(transforms)), transforms, representations, VIEWS, torch.device("cpu")
    )
    with torch.inference_mode():
        for places in torch.arange(len(canvas)).split(batch_size):
            sums.see(canvas[places], places, memberships(places, len(canvas)), forward)
    (found,) = sums.statistics(images_of_groups(len(canvas))).values()
    return found


def memberships(places: Tensor, images: int) -> Tensor:
    return (torch.arange(GROUPS)[:, None] == group_of(places, images)).float()


def images_of_groups(images: int) -> list[int]:
    """How many images each group has, empty ones included."""
    return torch.bincount(group_of(torch.arange(images), images), minlength=GROUPS).tolist()


def convolutions(view: Tensor) -> list[Tensor]:
    """Two blocks and the average: the second block's channel 0 is dead, its channel 1 constant but for its border."""
    generator = torch.Generator().manual_seed(0)
    first = functional.conv2d(view, torch.randn(6, 3, 3, 3, generator=generator) / 5, padding=1).relu()
    kernels = torch.randn(8, 6, 3, 3, generator=generator) / 7
    kernels[:2] = 0
    bias = torch.tensor([0.0, 3.0, *[0.1] * 6])
    second = functional.conv2d(first, kernels, bias, stride=2, padding=1).relu()
    second[:, 1, 0] = 7.0
    maps = [each.permute(0, 2, 3, 1).clone() for each in (first, second)]
    return [*maps, second.mean((2, 3))[:, None, None].clone()]


def recomputed(views: list[NDArray[np.float64]]) -> float:
    """The definition: ``views`` are the maps (N, h, w, K) of the identity and of each transform."""
    maps = np.stack(views)
    over_transforms = maps.var(axis=0, ddof=1).mean(axis=(0, 1, 2))
    over_images = maps.var(axis=1, ddof=1).mean(axis=(0, 1, 2))
    varies = over_images > 1e-20
    return float((over_transforms[varies] / over_images[varies]).mean())


def all_maps(network: Network, transforms: tuple[Transform, ...], canvas: Tensor) -> list[list[NDArray[np.float64]]]:
    """The maps of each representation, by view."""
    views = [VIEWS.reference(canvas), *(VIEWS.transformed(canvas, transform) for transform in transforms)]
    of_views = [network(view) for view in views]
    return [[maps.double().numpy() for maps in of_one] for of_one in zip(*of_views, strict=True)]


@pytest.mark.parametrize("transforms", [SHIFTS, CIRCULAR, (Rotation(90), Rotation(180)), (Reflection("vertical"),)])
def test_it_is_what_its_definition_says(transforms: tuple[Transform, ...]) -> None:
    canvas = canvases(37)
    expected = [recomputed(views) for views in all_maps(convolutions, transforms, canvas)]
    found = [each.value for each in measured(convolutions, transforms, canvas, 8)]
    assert found == pytest.approx(expected, rel=1e-5)
    assert expected[0] > 0.1


def test_the_batch_size_changes_nothing() -> None:
    canvas = canvases(41)
    found = {size: measured(convolutions, SHIFTS, canvas, size) for size in (1, 3, 8, 41)}
    for one in zip(*found.values(), strict=True):
        for other in one[1:]:
            assert other.value == pytest.approx(one[0].value, rel=1e-5)
            np.testing.assert_allclose(other.deviations, one[0].deviations, atol=1e-5)


def test_a_large_mean_costs_no_digits() -> None:
    canvas = canvases(20)
    raised = measured(lambda view: [maps + 1000 for maps in convolutions(view)], SHIFTS, canvas, 8)
    for one, other in zip(measured(convolutions, SHIFTS, canvas, 8), raised, strict=True):
        assert other.value == pytest.approx(one.value, rel=1e-3)


def test_what_no_transform_changes_has_none() -> None:
    def average(view: Tensor) -> list[Tensor]:
        return [view.double().mean((2, 3))[:, None, None]]

    (found,) = measured(average, CIRCULAR, canvases(30), 8)
    assert found.value is not None
    assert found.value < 1e-12


def test_white_noise_under_shifts_is_as_another_image() -> None:
    canvas = torch.randn(200, 3, SIZE + ROOM, SIZE + ROOM, generator=torch.Generator().manual_seed(2))
    (found,) = measured(lambda view: [view.permute(0, 2, 3, 1).clone()], SHIFTS, canvas, 50)
    assert found.value == pytest.approx(1.0, abs=0.01)


def test_a_network_of_noise_changes_as_much_as_with_another_image() -> None:
    generator = torch.Generator().manual_seed(3)
    (found,) = measured(lambda view: [torch.randn(len(view), 5, 5, 8, generator=generator)], SHIFTS, canvases(100), 10)
    assert found.value == pytest.approx(1.0, abs=0.02)
    half = half_width(found.deviations, images_of_groups(100))
    assert half is not None
    assert abs(found.value - 1.0) < 1.5 * half


@pytest.mark.parametrize("images", [64, 333])
def test_the_deviations_are_those_of_the_images_left(images: int) -> None:
    canvas, groups = canvases(images), images_of_groups(images)
    of_image = group_of(torch.arange(images), images).numpy()
    for views, found in zip(
        all_maps(convolutions, SHIFTS, canvas), measured(convolutions, SHIFTS, canvas, 16), strict=True
    ):
        whole = recomputed(views)
        exact = np.array([recomputed([maps[of_image != group] for maps in views]) - whole for group in range(GROUPS)])
        assert half_width(found.deviations, groups) == pytest.approx(half_width(exact, groups), rel=0.08)
        # Those of V_s are approximate, above all in the first groups.
        assert np.corrcoef(found.deviations[4:], exact[4:])[0, 1] > 0.97


def test_the_deviations_of_the_variance_over_transforms_are_exact() -> None:
    """Every group has one image of each sign, and V_s is as good as the same without any."""
    images = 64
    signs = torch.tensor([100.0, -100.0]).repeat(images // 2)
    changes = torch.rand(images, generator=torch.Generator().manual_seed(0))
    # One image tells the shape of the maps, then come the two views of all.
    outputs = iter([signs[:1], signs, signs + changes])
    canvas = torch.zeros(images, 3, SIZE + ROOM, SIZE + ROOM)
    (found,) = measured(lambda _view: [next(outputs)[:, None, None, None].clone()], (Shift(1),), canvas, images)
    squares, groups = changes.double().square().numpy(), group_of(torch.arange(images), images).numpy()
    exact = np.array([squares[groups != group].mean() for group in range(GROUPS)]) / squares.mean() - 1
    assert exact.std() > 0.01
    np.testing.assert_allclose(found.deviations[1:] / found.value, exact[1:], atol=1e-3)


def test_only_groups_with_images_have_deviations() -> None:
    (found, *_) = measured(convolutions, SHIFTS, canvases(6), 4)
    assert found.deviations is not None
    assert found.deviations.shape == (6,)
    assert half_width(found.deviations, [1] * 6) is not None


@pytest.mark.parametrize(
    ("network", "images", "reason"),
    [
        (lambda view: [torch.full((len(view), 2, 2, 4), 0.1)], 9, CONSTANT),
        (lambda view: [view.permute(0, 2, 3, 1) / 0], 9, NOT_FINITE),
        (lambda view: [view.permute(0, 2, 3, 1).clone()], 1, "fewer than 2 images have no variance"),
    ],
)
def test_what_has_none_says_why(network: Network, images: int, reason: str) -> None:
    assert measured(network, SHIFTS, canvases(images), 4) == [Statistic(None, reason)]


def test_a_map_of_another_shape_has_none() -> None:
    turned = iter([False, *[False, True] * 3])

    def network(view: Tensor) -> list[Tensor]:
        rows = view.permute(0, 2, 3, 1)[:, :8].clone()
        return [rows.transpose(1, 2) if next(turned) else rows, view.permute(0, 2, 3, 1).clone()]

    odd, square = measured(network, (Rotation(90),), canvases(9), 3)
    assert odd == Statistic(None, "90° makes 12 x 8 cells of its 8 x 12")
    assert square.value is not None
