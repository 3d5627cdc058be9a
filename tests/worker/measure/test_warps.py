"""Warps against the exact transforms, and against a loop over sixteen neighbours in float64."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from zooaudit.contract import AuditRequest

from tests.worker import reference
from worker.depth import Representation
from worker.measure.experiment import views_of
from worker.measure.representation_sums import RepresentationSums
from worker.measure.transforms import Alignment, Rotation, Shift, Transform, Views, WarpAlignment, align
from worker.measure.warps import Warp, margin

SIZE = 24
WARPS = [
    Warp("translation", 0.5),
    Warp("translation", -3.7),
    Warp("rotation", 15.0),
    Warp("rotation", -160.0),
    Warp("scale", 0.8),
    Warp("scale", 1.25),
    Warp("shear", 0.3),
    Warp("shear", -0.1),
]
CPU = torch.device("cpu")


def canvas_for(views: Views) -> Tensor:
    return torch.randn(2, 3, views.side, views.side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("warp", "exact"),
    [
        (Warp("translation", 5.0), Shift(5)),
        (Warp("rotation", 90.0), Rotation(90)),
        (Warp("rotation", 180.0), Rotation(180)),
        (Warp("rotation", -90.0), Rotation(270)),
        (Warp("scale", 1.0), Rotation(0)),
        (Warp("shear", 0.0), Rotation(0)),
    ],
    ids=str,
)
def test_warps_that_need_no_interpolation_are_the_exact_transforms(warp: Warp, exact: Transform) -> None:
    views = Views(SIZE, 8, margin([warp], SIZE))
    canvas = canvas_for(views)
    torch.testing.assert_close(
        views.transformed(canvas, warp), views.transformed(canvas, exact).contiguous(), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("warp", WARPS, ids=str)
def test_every_pixel_of_a_warped_view_is_a_real_one(warp: Warp) -> None:
    """Beyond the canvas, the reference repeats its border; here so much is beyond it that it would show."""
    overhang = margin([warp], SIZE)
    views = Views(SIZE, overhang + 3, overhang)
    canvas = canvas_for(views)
    larger = np.pad(canvas.double().numpy(), ((0, 0), (0, 0), (9, 9), (9, 9)), constant_values=1e6)
    rows, columns = reference.before(warp.kind, warp.amount, *reference.middles(SIZE, SIZE, SIZE), SIZE)
    room = 9 + views.room
    expected = reference.sampled(larger, rows + room, columns + room)
    np.testing.assert_allclose(views.transformed(canvas, warp).numpy(), expected, atol=1e-5)


def test_the_margin_is_as_small_as_the_kernel_allows() -> None:
    assert [margin([warp], 100) for warp in (Warp("translation", -5.0), Warp("scale", 0.8), Warp("scale", 1.25))] == [
        7,
        15,
        2,
    ]
    assert margin(WARPS, SIZE) == max(margin([warp], SIZE) for warp in WARPS)
    assert all(margin([warp], SIZE) == reference.overhang([(warp.kind, warp.amount)], SIZE) for warp in WARPS)


def test_a_canvas_has_room_for_shifts_and_warps() -> None:
    asked = {"model": "m", "translations_px": [3, 9]}
    assert views_of(AuditRequest(**asked), 100) == Views(100, 9)
    for amount, room, overhang in ((2.5, 9, 5), (20.0, 22, 22)):
        warps = [{"kind": "translation", "amounts": [amount]}]
        views = views_of(AuditRequest(**asked, warps=warps), 100)
        assert (views, views.side) == (Views(100, room, overhang), 100 + room + overhang)


def test_tables_of_views_are_computed_once() -> None:
    views = Views(SIZE, 8, 8)
    table = views._table(WARPS[0], CPU)
    assert views._table(Warp("translation", 0.5), CPU) is table
    assert views._table(WARPS[1], CPU) is not table


@pytest.mark.parametrize(("height", "width"), [(6, 6), (12, 5), (24, 24)])
@pytest.mark.parametrize("warp", WARPS, ids=str)
def test_maps_are_compared_over_the_cells_that_the_definition_says(warp: Warp, height: int, width: int) -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 3, height, width, 4))
    expected, interpolation = reference.warped(
        a.transpose(0, 3, 1, 2), b.transpose(0, 3, 1, 2), SIZE, (warp.kind, warp.amount)
    )
    assert expected is not None
    alignment = align(warp, height, width, SIZE)
    assert isinstance(alignment, WarpAlignment)
    mine = alignment.of_reference(torch.tensor(a)), alignment.of_transformed(torch.tensor(b))
    for maps, rows in zip(mine, expected, strict=True):
        assert maps.shape == (3, alignment.height, alignment.width, 4)
        assert maps.is_contiguous()
        np.testing.assert_allclose(maps.flatten(0, 2).T.numpy(), rows, atol=1e-6)
    assert round_trip(warp, a) == (None if interpolation is None else pytest.approx(interpolation, abs=1e-5))


def round_trip(warp: Warp, maps: NDArray[np.float64]) -> float | None:
    """What the engine says of interpolation, of maps (N, h, w, K) seen in two batches."""
    images, height, width, channels = maps.shape
    representation = Representation("r", "Early", "NHWC", height, width, channels)
    sums = RepresentationSums(representation, {warp: align(warp, height, width, SIZE)}, [], 1, CPU)
    for batch in torch.tensor(maps).float().split(2):
        sums.see_reference(batch, torch.ones(32, len(batch)))
        sums.compare(warp, batch, torch.empty(6, len(batch), channels))
    return sums.interpolation(warp, images)


def test_channels_that_do_not_vary_say_nothing_of_interpolation() -> None:
    maps = np.random.default_rng(2).normal(size=(3, 8, 8, 3))
    dead = maps.copy()
    dead[..., 1] = 5.0
    live = round_trip(WARPS[2], maps[..., [0, 2]])
    assert live is not None
    assert 0.3 < live < 0.95
    assert round_trip(WARPS[2], dead) == pytest.approx(live, abs=1e-6)
    assert round_trip(WARPS[2], np.ones((3, 8, 8, 2))) is None


def test_where_no_cell_comes_back_interpolation_is_unknown() -> None:
    warp = Warp("translation", 12.5)
    assert isinstance(align(warp, 8, 8, SIZE), WarpAlignment)
    assert round_trip(warp, np.random.default_rng(3).normal(size=(3, 8, 8, 2))) is None


def test_maps_of_too_few_cells_are_not_compared() -> None:
    few = align(Warp("translation", 15.0), 4, 4, SIZE)
    assert (
        few == "1 of the 4 x 4 cells of the map have a place in it before the warp by 15 px, and it takes 4 to compare"
    )
    assert isinstance(align(Warp("translation", 12.0), 4, 4, SIZE), WarpAlignment)
    assert isinstance(align(Warp("rotation", 45.0), 2, 2, SIZE), str)


@pytest.mark.parametrize("warp", WARPS, ids=str)
def test_on_a_single_cell_a_warp_is_the_identity(warp: Warp) -> None:
    assert align(warp, 1, 1, SIZE) == Alignment(1, 1)
    representation = Representation("r", "Pool", "NC", 1, 1, 5)
    sums = RepresentationSums(representation, {warp: align(warp, 1, 1, SIZE)}, [], 1, CPU)
    assert sums.interpolation(warp, 7) == 1.0
    assert sums.interpolation(Shift(3), 7) is None
