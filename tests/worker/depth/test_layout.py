"""Layouts are observed, not guessed: an output in an unexpected layout is never taken for another."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from worker.depth.depth import find_depth
from worker.depth.layout import Tap
from worker.errors import AuditError
from worker.zoo.own import from_module

SIDE = 8


class Mixing(nn.Module):
    """A residual block over tokens in rows, or over maps with the channels last; each token sees its neighbours."""

    def __init__(self, layout: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 12, 3, padding=1)
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        return self.layout(x + self.conv(x).relu())


class Net(nn.Module):
    def __init__(self, layout: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 12, 4, stride=4)
        self.block = Mixing(layout)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        self.block(self.stem(x))
        return self.head(self.stem(x).mean((2, 3)))


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def prefixed(x: Tensor) -> Tensor:
    return torch.cat([tokens(x)[:, :3] * 0, tokens(x)], 1)


def columns(x: Tensor) -> Tensor:
    return tokens(x.transpose(2, 3))


def windows(x: Tensor) -> Tensor:
    """2 x 2 windows, the cells of each in a row, all in one list of tokens."""
    n, channels, side, _ = x.shape
    cut = x.view(n, channels, side // 2, 2, side // 2, 2)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(n, side * side, channels)


def shuffled(x: Tensor) -> Tensor:
    return tokens(x)[:, torch.randperm(SIDE * SIDE, generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize(
    ("layout", "tap"),
    [
        (lambda x: x, Tap("block")),
        (lambda x: x.permute(0, 2, 3, 1), Tap("block", "NHWC")),
        (tokens, Tap("block", "NLC", (SIDE, SIDE))),
        (prefixed, Tap("block", "NLC", (SIDE, SIDE), 3)),
        (lambda x: (None, {"of no use": x.mean(), "map": x}), Tap("block", item=1)),
    ],
)
def test_a_map_that_moves_with_the_input_gets_its_layout(layout: Callable[[Tensor], Tensor], tap: Tap) -> None:
    # The stem runs twice, so it is no block.
    assert find_depth(Net(layout).eval(), 4 * SIDE).blocks == (tap,)


@pytest.mark.parametrize("layout", [columns, windows, shuffled, lambda x: x.transpose(2, 3), lambda x: x.flip(2)])
def test_an_output_that_does_not_move_with_the_input_is_refused_and_not_measured(
    layout: Callable[[Tensor], Tensor],
) -> None:
    with pytest.raises(AuditError, match="when a patch of the input moves"):
        find_depth(Net(layout).eval(), 4 * SIDE)


def test_a_layout_that_the_caller_names_is_believed_and_any_other_is_checked() -> None:
    transposed = Net(lambda x: x.transpose(2, 3))
    assert from_module(transposed, "own", 4 * SIDE, ["block"], layout="NCHW").depth.blocks == (Tap("block"),)
    with pytest.raises(AuditError, match="cannot be laid out"):
        from_module(transposed, "own", 4 * SIDE, ["block"])


@pytest.mark.parametrize("channels", [8, 12])
def test_as_many_channels_as_rows_confuse_nothing(channels: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, channels, 4, stride=4), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5)),
    )
    assert [tap.layout for tap in find_depth(net.eval(), 4 * SIDE).blocks] == ["NCHW", "NCHW"]
