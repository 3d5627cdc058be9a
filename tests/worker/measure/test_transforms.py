"""What the views show, and that laying maps upon each other is what the definition says."""

import numpy as np
import pytest
import torch

from worker.measure.transforms import Alignment, Reflection, Rotation, Shift, Transform, Views, align, is_whole

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


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("direction", "down", "right"), [("right", 0, 5), ("down", 5, 0)])
def test_a_shift_along_one_axis_moves_along_that_axis_only(
    canvas: torch.Tensor, border: str, direction: str, down: int, right: int
) -> None:
    views = Views(32, 8)
    x0, moved = views.reference(canvas), views.transformed(canvas, Shift(5, border, direction))
    assert torch.equal(moved[:, :, down:, right:], x0[:, :, : 32 - down, : 32 - right])
    entered = moved[:, :, :, :5] if right else moved[:, :, :5]
    expected = {
        "crop": canvas[:, :, 8 - down : 40 - down, 8 - right : 40 - right],
        "zero": torch.zeros_like(x0),
        "circular": torch.roll(x0, (down, right), (2, 3)),
    }[border]
    assert torch.equal(entered, expected[:, :, :, :5] if right else expected[:, :, :5])


def test_a_reflection_swaps_left_and_right_or_top_and_bottom() -> None:
    picture = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(1, 3, 2, 2)
    views = Views(2, 0)
    assert views.transformed(picture, Reflection("horizontal"))[0, 0].tolist() == [[2, 1], [4, 3]]
    assert views.transformed(picture, Reflection("vertical"))[0, 0].tolist() == [[3, 4], [1, 2]]


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
    [
        *(
            Shift(px, border, direction)
            for px in (9, 32)
            for border in BORDERS
            for direction in ("diagonal", "right", "down")
        ),
        *(Rotation(angle) for angle in (90, 180, 270)),
        *(Reflection(axis) for axis in ("horizontal", "vertical")),
    ],
    ids=str,
)
def test_aligned_cells_are_the_ones_the_definition_compares(transform: Transform) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 14, 14, 5))
    alignment = align(transform, 14, 14, 224)
    assert isinstance(alignment, Alignment)
    mine = [alignment.of_reference(torch.tensor(a)).numpy(), alignment.of_transformed(torch.tensor(b)).numpy()]
    if isinstance(transform, Rotation):
        theirs = [np.rot90(a, transform.quarters, (1, 2)), b]
    elif isinstance(transform, Reflection):
        theirs = [a[:, :, ::-1] if transform.axis == "horizontal" else a[:, ::-1], b]
    else:
        cells = int(transform.shift_px * 14 / 224)
        down, right = cells * (transform.direction != "right"), cells * (transform.direction != "down")
        if transform.border == "circular":
            theirs = [np.roll(a, (down, right), (1, 2)), b]
        else:
            theirs = [a[:, : 14 - down, : 14 - right], b[:, down:, right:]]
    # The same pairs of cells, in whatever order.
    pairs = [np.concatenate(both, -1).reshape(-1, 10) for both in (mine, theirs)]
    np.testing.assert_array_equal(*(rows[np.lexsort(rows.T)] for rows in pairs))


@pytest.mark.parametrize(
    ("shift", "cells", "side"), [(1, 0, 7), (31, 0, 7), (32, 1, 6), (5, 0, 7), (64, 2, 5)], ids=str
)
def test_the_shift_in_cells_is_rounded_down(shift: int, cells: int, side: int) -> None:
    assert align(Shift(shift), 7, 7, 224) == Alignment(side, side, (cells, cells))


def test_on_a_single_cell_every_transform_is_the_identity() -> None:
    for transform in (*(Shift(32, border) for border in BORDERS), Rotation(90), Reflection("vertical")):
        assert align(transform, 1, 1, 224) == Alignment(1, 1)


def test_a_map_that_is_not_square_cannot_be_turned_but_can_be_shifted() -> None:
    assert "does not fit" in align(Rotation(180), 8, 4, 224)
    assert align(Shift(64), 8, 4, 224) == Alignment(6, 3, (2, 1))


def test_a_map_that_is_not_square_can_be_reflected() -> None:
    assert align(Reflection("horizontal"), 8, 4, 224) == Alignment(8, 4, mirrored=2)
    assert align(Reflection("vertical"), 8, 4, 224) == Alignment(8, 4, mirrored=1)


def test_whether_a_shift_is_whole_cells_depends_on_the_axes_along_which_it_goes() -> None:
    whole = {direction: is_whole(Shift(28, direction=direction), 8, 4, 224) for direction in ("down", "right")}
    assert whole == {"down": True, "right": False}
    assert not is_whole(Shift(28), 8, 4, 224)
    assert is_whole(Shift(56), 8, 4, 224)
