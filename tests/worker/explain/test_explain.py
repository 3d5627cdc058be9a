"""Explanations on networks whose maps are known, and against a computation with numpy alone."""

import base64
import random
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from zooaudit.contract import (
    AuditRequest,
    ChannelMaps,
    Explanation,
    ExplanationQuestion,
    ExplanationRequest,
    LeastEquivariant,
    LeastEquivariantRequest,
    Report,
)

from tests.worker import reference
from tests.worker.zoo import nets
from worker import zoo
from worker.audit import Prepared, prepare_audit, run
from worker.errors import AuditError
from worker.explain import explain
from worker.explain.least import find_least, lowest, similarities
from worker.explain.maps import show_maps, strongest_channels
from worker.known import NETWORKS, SIZE
from worker.measure.transforms import Reflection, Rotation, Shift, Transform
from worker.measure.warps import Warp
from worker.zoo.own import from_module

LEVELS: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images that differ in every pixel."""
    folder = tmp_path_factory.mktemp("noise")
    generator = np.random.default_rng(0)
    for number in range(6):
        blots = Image.fromarray(generator.integers(0, 256, (24, 24, 3), np.uint8)).resize((96, 96))
        blots.save(folder / f"{number}.png")
    return folder


def audited(module: nn.Module, folder: Path, blocks: tuple[str, ...], **request: Any) -> tuple[Report, Prepared]:
    model = from_module(module, "net", SIZE, blocks, layout="NCHW", **LEVELS)
    asked = AuditRequest(
        model=model.name, weights="checkpoint:net", dataset="noise", num_images=len(list(folder.iterdir())), **request
    )
    how: dict[str, Any] = {"model": model, "datasets": {"noise": folder}, "decode_processes": 0, "device": "cpu"}
    return run(asked, **how), prepare_audit(asked, **how)


def cells(encoded: str, like: Explanation) -> NDArray[np.uint8]:
    values = np.frombuffer(base64.b64decode(encoded), np.uint8)
    return values.reshape(like.shown_height, like.shown_width)


def values(one: ChannelMaps, like: Explanation) -> tuple[NDArray[np.float64], ...]:
    """The maps of x and of T(x), and the difference, as numbers."""
    step = (one.high - one.low) / 255
    difference = (cells(one.difference, like).astype(float) - 128) * (one.high - one.low) / 127
    return one.low + step * cells(one.reference, like), one.low + step * cells(one.transformed, like), difference


def known(name: str) -> nn.Module:
    torch.manual_seed(0)
    return next(network.build() for network in NETWORKS if network.name == name)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_isotropic_kernels_turn_with_the_image(noise: Path, angle: int) -> None:
    report, prepared = audited(
        known("gaussian-kernels"), noise, ("0", "1", "2"), translations_px=[], rotations_deg=[angle]
    )
    asked = ExplanationRequest(block="1", image=2, angle_deg=angle)
    shown = show_maps(prepared, report, asked, Rotation(angle), pictures=True)
    assert shown.audit_channel == pytest.approx(1.0, abs=1e-5)
    assert 1 <= len(shown.channels) <= 8
    for one in shown.channels:
        assert one.correlation == pytest.approx(1.0, abs=1e-6)
        assert one.largest_difference < 1e-5 * (one.high - one.low)
        # Rounding, which differs with the number of threads, may move a level by one.
        reference, transformed = (
            np.frombuffer(base64.b64decode(maps), np.uint8) for maps in (one.reference, one.transformed)
        )
        np.testing.assert_allclose(reference.astype(int), transformed.astype(int), rtol=0, atol=1)
        assert {*cells(one.difference, shown).ravel()} == {128}  # rounding is not blown up
    assert [one.strength for one in shown.channels] == sorted((one.strength for one in shown.channels), reverse=True)
    least = find_least(prepared, report, LeastEquivariantRequest(angle_deg=angle), Rotation(angle), pictures=False)
    assert (least.images, least.changed) == (6, 0)
    for image in least.least:
        assert image.picture is None
        assert (image.pool, image.final) == (pytest.approx(1.0, abs=1e-4), pytest.approx(1.0, abs=1e-4))


def test_features_that_ignore_the_place_do_not_move(noise: Path) -> None:
    report, prepared = audited(known("blind-to-place"), noise, ("0",), translations_px=[8], rotations_deg=[])
    shown = show_maps(prepared, report, ExplanationRequest(block="0", image=0, shift_px=8), Shift(8), pictures=False)
    assert shown.views is None
    assert max(abs(one.correlation or 0.0) for one in shown.channels) < 0.5


def test_maps_are_what_numpy_computes_and_lays_upon_each_other(noise: Path) -> None:
    """A convolution of stride 2 whose maps have 32 cells a side: a shift of 5 px is 2 cells, rounded down."""
    torch.manual_seed(3)
    convolution = nn.Conv2d(3, 12, 3, padding=1, stride=2)
    module = nn.Sequential(
        nn.Sequential(convolution, nn.ReLU()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)
    )
    report, prepared = audited(
        module, noise, ("0",), translations_px=[5], rotations_deg=[90], reflections=["vertical"], direction="right"
    )
    names = [path.name for path in sorted(noise.iterdir())]
    name = random.Random(0).sample(names, len(names))[4]
    canvas = prepared_canvas(noise / name, SIZE + 5)

    def maps(view: NDArray[np.float64]) -> NDArray[np.float64]:
        return strided(view, convolution)

    x = canvas[5 : 5 + SIZE, 5 : 5 + SIZE]
    expected: dict[Transform, tuple[NDArray[np.float64], NDArray[np.float64]]] = {
        Shift(5): (maps(x)[:-2, :-2], maps(canvas[:SIZE, :SIZE])[2:, 2:]),
        Rotation(90): (maps(x), np.rot90(maps(np.rot90(x)), -1)),
        Shift(5, direction="right"): (maps(x)[:, :-2], maps(canvas[5 : 5 + SIZE, :SIZE])[:, 2:]),
        Reflection("vertical"): (maps(x), maps(x[::-1])[::-1]),
    }
    asked: dict[type, dict[str, Any]] = {
        Shift: {"shift_px": 5},
        Rotation: {"angle_deg": 90},
        Reflection: {"axis": "vertical"},
    }
    for transform, (a, b) in expected.items():
        question = ExplanationRequest(block="0", image=name, **asked[type(transform)])
        shown = show_maps(prepared, report, question, transform, pictures=False)
        assert shown.audit_channel is not None
        assert (shown.place, shown.image) == (4, name)
        assert (shown.height, shown.width) == (shown.shown_height, shown.shown_width) == a.shape[:2]
        strongest = np.argsort(-a.std((0, 1)), kind="stable")[:8]
        assert [one.channel for one in shown.channels] == strongest.tolist()
        for one in shown.channels:
            of_x, of_tx = a[..., one.channel], b[..., one.channel]
            assert one.strength == pytest.approx(of_x.std(), rel=1e-4)
            assert one.correlation == pytest.approx(np.corrcoef(of_x.ravel(), of_tx.ravel())[0, 1], abs=1e-5)
            half_step = 0.51 * (one.high - one.low) / 255
            seen_x, seen_tx, difference = values(one, shown)
            assert np.abs(seen_x - of_x).max() < half_step
            assert np.abs(seen_tx - of_tx).max() < half_step
            assert np.abs(difference - (of_tx - of_x)).max() < 2.1 * half_step
            assert one.largest_difference == pytest.approx(np.abs(of_tx - of_x).max(), rel=1e-4)


def test_under_a_warp_the_maps_of_x_are_warped_and_shown_where_they_are_compared(noise: Path) -> None:
    torch.manual_seed(3)
    convolution = nn.Conv2d(3, 12, 3, padding=1, stride=2)
    module = nn.Sequential(
        nn.Sequential(convolution, nn.ReLU()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)
    )
    warp, warps = ("rotation", 20.0), [{"kind": "rotation", "amounts": [20]}]
    report, prepared = audited(module, noise, ("0",), translations_px=[], rotations_deg=[], warps=warps)
    asked = ExplanationRequest(block="0", image=4, warp="rotation", amount=20)
    shown = show_maps(prepared, report, asked, Warp("rotation", 20.0), pictures=True)
    room = reference.overhang([warp], SIZE)
    canvas = prepared_canvas(noise / shown.image, SIZE + 2 * room)
    from_x, from_tx = (
        [each + room for each in places]
        for places in (
            reference.middles(SIZE, SIZE, SIZE),
            reference.before(*warp, *reference.middles(SIZE, SIZE, SIZE), SIZE),
        )
    )
    x, tx = (reference.sampled(canvas.transpose(2, 0, 1), *places).transpose(1, 2, 0) for places in (from_x, from_tx))
    there = [each / 2 for each in reference.before(*warp, *reference.middles(32, 32, SIZE), SIZE)]
    compared = np.all([(each > 0.5) & (each < 31.5) for each in there], axis=0)
    a = reference.sampled(strided(x, convolution).transpose(2, 0, 1), *there)[:, compared]
    b = strided(tx, convolution).transpose(2, 0, 1)[:, compared]
    assert shown.audit_channel is not None
    assert (shown.cells, shown.height, shown.width) == (compared.sum(), 32, 32)
    assert [one.channel for one in shown.channels] == np.argsort(-a.std(1), kind="stable")[:8].tolist()
    for one in shown.channels:
        of_x, of_tx = a[one.channel], b[one.channel]
        assert one.correlation == pytest.approx(np.corrcoef(of_x, of_tx)[0, 1], abs=1e-5)
        assert one.largest_difference == pytest.approx(np.abs(of_tx - of_x).max(), rel=1e-4)
        half_step = 0.51 * (one.high - one.low) / 255
        seen_x, seen_tx, difference = values(one, shown)
        assert np.abs(seen_x[compared] - of_x).max() < half_step
        assert np.abs(seen_tx[compared] - of_tx).max() < half_step
        for neutral in (seen_x[~compared], seen_tx[~compared]):
            assert np.abs(neutral - of_x.mean()).max() < half_step
        assert not difference[~compared].any()
    least = find_least(
        prepared, report, LeastEquivariantRequest(warp="rotation", amount=20), Warp("rotation", 20.0), pictures=False
    )
    assert (least.warp, least.amount, least.images) == ("rotation", 20.0, 6)


def strided(view: NDArray[np.float64], convolution: nn.Conv2d) -> NDArray[np.float64]:
    """The maps (32, 32, K) of a view (64, 64, 3) behind a convolution of 3 x 3 with stride 2 and a ReLU."""
    assert convolution.bias is not None
    weight, bias = (each.detach().double().numpy() for each in (convolution.weight, convolution.bias))
    windows = sliding_window_view(np.pad(view, ((1, 1), (1, 1), (0, 0))), (3, 3), (0, 1))[::2, ::2]
    return np.maximum(np.einsum("ywcij,kcij->ywk", windows, weight) + bias, 0.0)


def prepared_canvas(path: Path, side: int) -> NDArray[np.float64]:
    """The canvas of ``side`` px of an image of 96 px, from 0 to 1."""
    image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float64) / 255


def everywhere(maps: torch.Tensor) -> torch.Tensor:
    return torch.ones(maps.shape[:2], dtype=torch.bool)


def test_large_maps_are_shown_by_their_means() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 112, 112, 3, generator=generator)
    (one, *_) = strongest_channels(a, b, everywhere(a))
    assert len(base64.b64decode(one.reference)) == 56 * 56
    means = a[..., one.channel].double().reshape(56, 2, 56, 2).mean((1, 3)).numpy()
    seen = np.frombuffer(base64.b64decode(one.reference), np.uint8).reshape(56, 56)
    assert np.abs(one.low + seen * (one.high - one.low) / 255 - means).max() < 0.51 * (one.high - one.low) / 255
    assert one.correlation == pytest.approx(
        np.corrcoef(a[..., one.channel].flatten(), b[..., one.channel].flatten())[0, 1], abs=1e-6
    )


def test_channels_that_do_not_vary_or_are_no_numbers_are_left_out() -> None:
    maps = torch.zeros(4, 4, 4)
    maps[..., 1] = torch.arange(16.0).view(4, 4)
    maps[..., 2] = torch.nan
    maps[..., 3] = 7.0
    assert [one.channel for one in strongest_channels(maps, maps, everywhere(maps))] == [1]
    assert strongest_channels(maps, torch.zeros(4, 4, 4), everywhere(maps))[0].correlation is None
    assert strongest_channels(torch.zeros(4, 4, 2), torch.ones(4, 4, 2), everywhere(maps)) == ()
    single = torch.tensor([-3.0, 2.0, 0.0]).view(1, 1, 3)  # one cell: the magnitude decides
    assert [(one.channel, one.correlation) for one in strongest_channels(single, single, everywhere(single))] == [
        (0, None),
        (1, None),
    ]


def test_similarity_is_of_what_sets_an_image_apart() -> None:
    generator = np.random.default_rng(1)
    a = generator.normal(size=(50, 20)) * generator.uniform(0.1, 10, 20) + 100
    b = a.copy()
    b[7] = a.mean(0)  # nothing is left of what set it apart
    b[8] = a[9]
    b[10] = 2 * a.mean(0) - a[10]
    found = similarities(np.hstack([a, np.full((50, 1), 3.0)]), np.hstack([b, np.full((50, 1), 5.0)]))
    assert found is not None
    scaled_a, scaled_b = ((each - a.mean(0)) / a.std(0) for each in (a, b))
    expected = scaled_a[8] @ scaled_b[8] / np.linalg.norm(scaled_a[8]) / np.linalg.norm(scaled_b[8])
    assert found[8] == pytest.approx(expected, abs=1e-5)
    assert found[10] == -1.0
    assert np.isnan(found[7])
    assert np.delete(found, [7, 8, 10]).tolist() == [1.0] * 47
    assert lowest(found, None)[:2] == [10, 8]
    assert similarities(np.ones((3, 4)), np.ones((3, 4))) is None


@pytest.fixture
def own(tmp_path: Path, noise: Path) -> Iterator[dict[str, Any]]:
    """What explains an own architecture with a checkpoint, on images that a test may change."""
    zoo.register({"small": "tests.worker.zoo.nets:small"})
    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(5)
    save_file(nets.small(6).state_dict(), tmp_path / "checkpoints" / "mine.safetensors")
    images = tmp_path / "images"
    images.mkdir()
    for path in noise.iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    yield {"datasets": {"noise": images}, "checkpoints": str(tmp_path / "checkpoints")}
    zoo.register({})


def own_report(own: dict[str, Any], **changes: Any) -> Report:
    asked = {"model": "own/small", "weights": "checkpoint:mine", "dataset": "noise", "num_images": 6}
    return run(AuditRequest(**(asked | {"translations_px": [4], "rotations_deg": [90]} | changes)), device="cpu", **own)


def maps_question(report: Report, **changes: Any) -> ExplanationQuestion:
    asked = {"block": "block1.2", "image": 1, "angle_deg": 90} | changes
    return ExplanationQuestion(audit=report.id, maps=ExplanationRequest(**asked))


def test_an_audit_of_a_checkpoint_is_explained_from_its_report_alone(own: dict[str, Any]) -> None:
    report = own_report(own)
    shown = explain(maps_question(report), report, **own)
    assert isinstance(shown, Explanation)
    assert (shown.block, shown.part, shown.precision, shown.channels_of_block) == ("block1.2", "Middle", "float32", 8)
    assert shown.prediction is not None
    assert (shown.prediction.before.name, shown.prediction.before.index < 6) == (None, True)
    assert shown.views is not None
    x, tx = (
        np.asarray(Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"), float)
        for url in (shown.views.reference, shown.views.transformed)
    )
    assert x.shape == (32, 32, 3)
    assert np.abs(np.rot90(x) - tx).mean() < 12  # but for the JPEG's losses
    least = explain(ExplanationQuestion(audit=report.id, least=LeastEquivariantRequest(shift_px=4)), report, **own)
    assert isinstance(least, LeastEquivariant)
    assert (least.images, len(least.least)) == (6, 6)
    lower = [min(one.pool or 0, one.final or 0) for one in least.least]
    assert lower == sorted(lower)
    assert sorted(one.image for one in least.least) == [f"{number}.png" for number in range(6)]
    assert len({one.picture for one in least.least}) == 6
    assert {shown.image: shown.place}.items() <= {one.image: one.place for one in least.least}.items()


def test_what_is_no_longer_what_was_measured_is_refused(own: dict[str, Any]) -> None:
    report = own_report(own)

    def problem_of(report: Report) -> str:
        with pytest.raises(AuditError) as raised:
            explain(maps_question(report), report, **own)
        return raised.value.problem.type.rpartition(":")[2]

    weights = report.model.weights.model_copy(update={"sha256": "0" * 64})
    assert problem_of(report.model_copy(update={"model": report.model.model_copy(update={"weights": weights})})) == (
        "model-changed"
    )
    assert report.model.code is not None
    code = report.model.code.model_copy(update={"sha256": "0" * 64})
    assert problem_of(report.model_copy(update={"model": report.model.model_copy(update={"code": code})})) == (
        "model-changed"
    )
    extra = own["datasets"]["noise"] / "new.png"
    Image.new("RGB", (96, 96)).save(extra)
    assert problem_of(report) == "dataset-changed"
    extra.unlink()
    torch.manual_seed(6)
    save_file(nets.small(6).state_dict(), Path(own["checkpoints"]) / "mine.safetensors")
    assert problem_of(report) == "checkpoint-replaced"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"block": "block1.3"}, "has no block 'block1.3'"),
        ({"block": "fc"}, "gives one vector for an image"),
        ({"image": "7.png"}, "has no image '7.png'. Give a place from 0 to 5"),
        ({"image": 6}, "has no place 6. Give one from 0 to 5"),
        ({"image": "broken.png"}, "broken.png cannot be decoded"),
    ],
)
def test_what_there_is_not_to_see_is_told(own: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    report = own_report(own)
    if changes.get("image") == "broken.png":
        renamed = own["datasets"]["noise"] / "0.png"
        renamed.rename(renamed.with_name("broken.png"))
        report = own_report(own)
        renamed.with_name("broken.png").write_text("no image")
    with pytest.raises(AuditError, match=said) as raised:
        explain(maps_question(report, **changes), report, **own)
    assert raised.value.problem.type.endswith("not-explainable")
