"""What the views show, and that laying maps upon each other is what the definition says."""

import numpy as np
import pytest
import torch

from worker.measure.transforms import Alignment, Rotation, Shift, Views, align

BORDERS = ["crop", "zero", "circular"]


@pytest.fixture
def canvas() -> torch.Tensor:
    return torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("shift", [1, 5, 8])
def test_a_shift_moves_the_content_down_and_right(canvas: torch.Tensor, border: str, shift: int) -> None:
    views = Views(32, 8)
    x0, moved = views.reference(canvas), views.transformed(canvas, Shift(shift, border))
    assert moved.shape == x0.shape == (2, 3, 32, 32)
    assert torch.equal(moved[:, :, shift:, shift:], x0[:, :, :-shift, :-shift])


def test_borders_differ_in_what_enters(canvas: torch.Tensor) -> None:
    x0 = Views(32, 8).reference(canvas)
    entered = {border: Views(32, 8).transformed(canvas, Shift(4, border))[:, :, :4] for border in BORDERS}
    assert torch.equal(entered["crop"], canvas[:, :, 4:8, 4:36])
    assert not entered["zero"].any()
    assert torch.equal(entered["circular"], torch.roll(x0[:, :, -4:], 4, 3))


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotations_are_counter_clockwise(canvas: torch.Tensor, angle: int) -> None:
    views = Views(32, 8)
    expected = np.rot90(views.reference(canvas).numpy(), angle // 90, (2, 3))
    np.testing.assert_array_equal(views.transformed(canvas, Rotation(angle)).numpy(), expected)


@pytest.mark.parametrize(
    "transform",
    [*(Shift(px, border) for px in (9, 32) for border in BORDERS), Rotation(90), Rotation(180), Rotation(270)],
)
def test_aligned_cells_are_the_ones_the_definition_compares(transform: Shift | Rotation) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 14, 14, 5))
    alignment = align(transform, 14, 14, 224)
    assert isinstance(alignment, Alignment)
    mine = [alignment.of_reference(torch.tensor(a)).numpy(), alignment.of_transformed(torch.tensor(b)).numpy()]
    if isinstance(transform, Rotation):
        theirs = [np.rot90(a, transform.quarters, (1, 2)), b]
    else:
        cells = int(transform.shift_px * 14 / 224)
        if transform.border == "circular":
            theirs = [np.roll(a, (cells, cells), (1, 2)), b]
        else:
            theirs = [a[:, : 14 - cells, : 14 - cells], b[:, cells:, cells:]]
    # The same pairs of cells, in whatever order.
    pairs = [np.concatenate(both, -1).reshape(-1, 10) for both in (mine, theirs)]
    np.testing.assert_array_equal(*(rows[np.lexsort(rows.T)] for rows in pairs))


@pytest.mark.parametrize(
    ("shift", "cells", "side"), [(1, 0, 7), (31, 0, 7), (32, 1, 6), (5, 0, 7), (64, 2, 5)], ids=str
)
def test_the_shift_in_cells_is_rounded_down(shift: int, cells: int, side: int) -> None:
    assert align(Shift(shift), 7, 7, 224) == Alignment(side, side, (cells, cells))


def test_on_a_single_cell_every_transform_is_the_identity() -> None:
    for transform in (*(Shift(32, border) for border in BORDERS), Rotation(90)):
        assert align(transform, 1, 1, 224) == Alignment(1, 1)


def test_a_map_that_is_not_square_cannot_be_turned_but_can_be_shifted() -> None:
    assert "does not fit" in align(Rotation(180), 8, 4, 224)
    assert align(Shift(64), 8, 4, 224) == Alignment(6, 3, (2, 1))
