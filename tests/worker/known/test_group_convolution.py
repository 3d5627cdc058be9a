"""A group convolution commutes with the motions of its group and with no others."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from worker.known.group_convolution import P4, P4M, GroupConvolution, Motion

TURNS = [(quarters, False) for quarters in range(4)]
MIRRORINGS = [(quarters, True) for quarters in range(4)]
FEATURES = 2


def moved(maps: Tensor, motion: tuple[int, bool]) -> Tensor:
    """Mirror left and right or not, then turn by quarters."""
    quarters, mirrored = motion
    return torch.rot90(torch.flip(maps, (-1,)) if mirrored else maps, quarters, (-2, -1))


def after(second: tuple[int, bool], first: tuple[int, bool]) -> tuple[int, bool]:
    """Find which motion two motions make, by what they do to a square whose cells are all different."""
    square = torch.arange(9).view(3, 3)
    both = moved(moved(square, first), second)
    [found] = [motion for motion in TURNS + MIRRORINGS if torch.equal(moved(square, motion), both)]
    return found


def with_orientations(maps: Tensor, motion: tuple[int, bool], group: Sequence[tuple[int, bool]]) -> Tensor:
    """Move each map; the feature that had the orientation k has the orientation "motion after k" then."""
    by_orientation = moved(maps, motion).unflatten(1, (FEATURES, len(group)))
    result = torch.empty_like(by_orientation)
    for index, orientation in enumerate(group):
        result[:, :, group.index(after(motion, orientation))] = by_orientation[:, :, index]
    return result.flatten(1, 2)


def three_outputs(group: Sequence[Motion]) -> list[nn.Module]:
    """Make a network of random weights. Return it up to its first, second and third layer."""
    torch.manual_seed(0)
    first = GroupConvolution(3, FEATURES, group, first=True)
    layers = [first, *(GroupConvolution(FEATURES, FEATURES, group) for _ in range(2))]
    units = [nn.Sequential(layer, nn.ReLU()).double() for layer in layers]
    return [nn.Sequential(*units[:depth]) for depth in (1, 2, 3)]


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 3, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("motions", "group"), [(P4, TURNS), (P4M, TURNS + MIRRORINGS)], ids=["p4", "p4m"])
def test_any_two_motions_move_the_maps_and_permute_the_orientations(
    motions: Sequence[Motion], group: list[tuple[int, bool]], image: Tensor
) -> None:
    for network in three_outputs(motions):
        maps = network(image)
        for first in group:
            for second in group:
                expected = with_orientations(with_orientations(maps, first, group), second, group)
                output = network(moved(moved(image, first), second))
                torch.testing.assert_close(output, expected, rtol=0, atol=1e-10)


def distances(network: nn.Module, image: Tensor, motion: tuple[int, bool]) -> Tensor:
    """How far each channel of the moved image is from the nearest channel of all, moved, as a share of its size."""
    of_moved = network(moved(image, motion)).transpose(0, 1).flatten(1)
    moved_after = moved(network(image), motion).transpose(0, 1).flatten(1)
    return torch.cdist(of_moved, moved_after).amin(1) / of_moved.norm(dim=1)


def test_turns_alone_do_not_make_a_network_equivariant_under_mirroring(image: Tensor) -> None:
    for network in three_outputs(P4):
        for motion in TURNS:
            assert distances(network, image, motion).max() < 1e-10
        for motion in MIRRORINGS:
            assert distances(network, image, motion).min() > 0.3


def test_no_channel_by_itself_is_equivariant(image: Tensor) -> None:
    for network in three_outputs(P4M):
        for motion in (TURNS + MIRRORINGS)[1:]:
            moved_before, moved_after = network(moved(image, motion)), moved(network(image), motion)
            size = moved_before.transpose(0, 1).flatten(1).norm(dim=1)
            assert ((moved_before - moved_after).transpose(0, 1).flatten(1).norm(dim=1) / size).min() > 0.3
