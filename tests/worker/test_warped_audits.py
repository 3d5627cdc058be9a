"""Warps through the whole audit: every row against the definition, and networks whose answer is known."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from zooaudit.contract import WARPS, AuditRequest, Block, Report, WarpRow, request_of

from tests.worker.measure.test_shards import ScatteredShards
from tests.worker.small_audits import audit as small_audit
from tests.worker.test_audit import assert_recomputes, difference
from tests.worker.test_audit import audit as audit_of
from worker.audit import prepare_audit, run
from worker.errors import AuditError
from worker.images.synthetic import dead_leaves
from worker.measure.budget import plan_budget
from worker.measure.warps import table_bytes
from worker.zoo.own import from_module

SIZE = 64
ALL_KINDS = [
    {"kind": "rotation", "amounts": [-20, 45]},
    {"kind": "translation", "amounts": [-7.3, 2.5, 60]},
    {"kind": "scale", "amounts": [0.8, 1.1]},
    {"kind": "shear", "amounts": [-0.3]},
]
FEW = [{"kind": "rotation", "amounts": [30]}, {"kind": "translation", "amounts": [0.5]}]


def rows(block: Block) -> list[WarpRow]:
    found = (getattr(block, name) for name in WARPS.values())
    return [row for score in found if score is not None for row in score.by_transform]


@pytest.mark.parametrize("similarity", ["correlation", "cosine"])
@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "test_vit.r160_in1k", "test_efficientnet.r160_in1k"])
def test_every_row_is_what_the_definition_gives(name: str, similarity: str) -> None:
    report = audit_of(model=f"timm/{name}", warps=ALL_KINDS, similarity=similarity)
    assert_recomputes(report, [dead_leaves(0, index) for index in range(3)])
    assert {len(rows(block)) for block in report.blocks} == {8}


def test_shifts_and_warps_of_one_audit_share_a_canvas() -> None:
    """The largest shift needs more room above and left than the warps do, which need theirs below and right, too."""
    report = audit_of(model="timm/test_resnet.r160_in1k", border="circular", warps=FEW)
    assert report.method.canvas_size > 160 + 32
    assert_recomputes(report, [dead_leaves(0, index) for index in range(3)])


def test_warps_that_need_no_interpolation_score_as_the_exact_transforms() -> None:
    warps = [
        {"kind": "rotation", "amounts": [-90, 90, 180]},
        {"kind": "translation", "amounts": [16, 32]},
        {"kind": "scale", "amounts": [1]},
        {"kind": "shear", "amounts": [0]},
    ]
    report = small_audit({"translations_px": [16, 32], "rotations_deg": [90, 180, 270], "warps": warps})
    for block in report.blocks:
        turns = {row.angle_deg: row for row in block.rotation.by_transform}
        shifts = {row.shift_px: row for row in block.translation.by_transform}
        assert block.warp_rotation is not None
        assert block.warp_translation is not None
        for row in block.warp_rotation.by_transform:
            same(row, turns[int(row.amount) % 360])
        for row in block.warp_translation.by_transform:
            if 16 * block.height % 160 == 0 or block.height == 1:
                same(row, shifts[int(row.amount)])
        assert block.warp_scale is not None
        assert block.warp_shear is not None
        for row in (*block.warp_scale.by_transform, *block.warp_shear.by_transform):
            assert (row.channel, row.layer, row.interpolation) == (pytest.approx(1, abs=1e-5),) * 3


def same(warp: WarpRow, exact: Any) -> None:
    assert warp.channel == pytest.approx(exact.channel, abs=1e-5)
    assert warp.layer == pytest.approx(exact.layer, abs=1e-5)
    assert warp.interpolation == pytest.approx(1, abs=1e-5)
    assert warp.top1_agreement == exact.top1_agreement


def audit(module: nn.Module, blocks: Sequence[str], **request: Any) -> Report:
    model = from_module(module, "known", SIZE, blocks, layout="NCHW")
    asked = {"dataset": "synthetic", "num_images": 8, "translations_px": [], "rotations_deg": [], **request}
    return run(AuditRequest(model=model.name, weights="checkpoint:known", **asked), model=model, decode_processes=0)


def network(*blocks: nn.Module, channels: int) -> nn.Module:
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def gaussian(channels: int, into: int, sigma: float = 1.5, side: int = 9) -> nn.Module:
    """A convolution all of whose kernels are one isotropic Gaussian, of several signs and sizes: it leaves nothing of
    frequencies that a grid could not hold."""
    layer = nn.Conv2d(channels, into, side, padding=side // 2, padding_mode="replicate", bias=False)
    x = torch.arange(side) - (side - 1) / 2
    bell = torch.exp(-(x[:, None].square() + x.square()) / (2 * sigma**2))
    layer.weight.data = torch.randn(into, channels, 1, 1) * bell / bell.sum()
    return layer


def test_isotropic_kernels_of_limited_band_are_equivariant_under_every_angle_and_part_of_a_pixel() -> None:
    torch.manual_seed(3)
    module = network(gaussian(3, 6), gaussian(6, 6), gaussian(6, 6), channels=6)
    warps = [{"kind": "rotation", "amounts": [15, 30, 45]}, {"kind": "translation", "amounts": [-2.5, 0.5]}]
    report = audit(module, ["0", "1", "2"], warps=warps)
    for block in report.blocks[:3]:
        for row in rows(block):
            assert row.channel is not None
            assert row.channel >= 0.99
            assert row.interpolation is not None
            assert row.interpolation >= 0.999


class Blur(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        weights = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        channels = maps.shape[1]
        kernel = torch.outer(weights, weights).expand(channels, 1, 5, 5)
        return functional.conv2d(functional.pad(maps, (2, 2, 2, 2), mode="replicate"), kernel, groups=channels)


def strided(blurred: bool) -> nn.Module:
    """Three convolutions, after each of which every second cell is dropped; with a blur before, or without."""

    def block(channels: int) -> nn.Module:
        before = [Blur()] if blurred else []
        return nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), *before, nn.MaxPool2d(1, 2))

    torch.manual_seed(3)
    return network(block(3), block(8), block(8), channels=8)


def test_strides_without_a_blur_break_what_blurred_ones_keep() -> None:
    """A shift by half a pixel is seen here alone: it is no whole number of cells, and rounding down would hide it."""
    found = {}
    for blurred in (False, True):
        report = audit(strided(blurred), ["0", "1", "2"], warps=[{"kind": "translation", "amounts": [0.5]}])
        found[blurred] = [row.channel for block in report.blocks[:3] for row in rows(block)]
    assert found[False] == [pytest.approx(value, abs=0.05) for value in (0.86, 0.68, 0.74)]
    assert found[True] == [pytest.approx(value, abs=0.03) for value in (0.99, 0.97, 0.99)]


def test_batch_size_passes_and_threads_change_nothing() -> None:
    asked = AuditRequest(
        model="timm/test_resnet.r160_in1k",
        weights="untrained",
        dataset="synthetic",
        num_images=7,
        translations_px=[3],
        warps=ALL_KINDS,
        similarity="both",
    )
    whole = run(asked)
    for how in ({"batch_size": 2}, {"batch_size": 3, "memory_gib": 0.01}):
        again = run(asked, decode_processes=0, **how)  # type: ignore[arg-type]
        assert difference(whole, again) < 1e-5
    assert again.timing.forward_images > whole.timing.forward_images


def test_shards_add_up_to_the_report_of_one_worker() -> None:
    asked = {"num_images": 40, "warps": ALL_KINDS, "similarity": "both"}
    left_out = {"environment", "timing"}
    whole = small_audit(asked).model_dump_json(exclude=left_out)
    for seed in range(2):
        assert small_audit(asked, shards=ScatteredShards(seed)).model_dump_json(exclude=left_out) == whole


def test_the_report_answers_the_request_and_knows_what_was_asked() -> None:
    asked = {"warps": FEW, "translations_px": [], "rotations_deg": [], "similarity": "both", "num_images": 40}
    report = small_audit(asked)
    assert (report.protocol, request_of(report).warps) == ("2", report.method.warps)
    assert [(each.kind, each.amounts) for each in report.method.warps] == [("rotation", (30,)), ("translation", (0.5,))]
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert report.timing.forward_images == 40 * (1 + 2)
    assert report.cosine is not None
    assert report.cosine.activation.warp_rotation is not None
    assert report.deviations is not None
    for name, part in report.parts.items():
        blocks = [block for block in report.blocks if block.part == name]
        assert (part.warp_scale, part.warp_shear) == (None, None)
        for kind in ("warp_rotation", "warp_translation"):
            score = getattr(part, kind)
            means = [getattr(block, kind) for block in blocks]
            assert score.interpolation == pytest.approx(sum(mean.interpolation for mean in means) / len(means))
            assert score.channel == pytest.approx(sum(mean.channel for mean in means) / len(means))
            assert score.channel_interval is not None
            assert score.layer_held_out is not None
            assert (score.top1_agreement is not None) == (name == "Final")
            assert getattr(report.deviations.parts[name], kind) is not None


def test_a_baseline_has_what_was_learned_of_warps() -> None:
    model = from_module(strided(True), "known", SIZE, ["0"], layout="NCHW")
    model = replace(model, initialised=lambda _seed: strided(False))
    asked = {"dataset": "synthetic", "num_images": 8, "translations_px": [], "rotations_deg": [], "warps": FEW}
    request = AuditRequest(model=model.name, weights="checkpoint:known", baseline=True, **asked)
    report = run(request, model=model, decode_processes=0)
    assert report.baseline is not None
    learned = report.baseline.parts["Early"].warp_translation
    assert learned is not None
    assert learned.channel.difference.value is not None
    assert learned.channel.difference.value > 0.05


def test_a_tolerance_looks_at_warps_too() -> None:
    report = small_audit({"num_images": 200, "tolerance": 0.4, "warps": FEW})
    assert report.images.stopped == "tolerance"
    for part in report.parts.values():
        assert part.warp_rotation is not None
        assert part.warp_rotation.channel_interval is not None
        low, high = part.warp_rotation.channel_interval
        assert high - low <= 0.4


def test_what_is_not_asked_for_is_absent() -> None:
    content = small_audit().model_dump_json()
    assert "warp" not in content
    assert "interpolation" not in content


def test_a_translation_of_the_whole_view_is_refused() -> None:
    with pytest.raises(
        AuditError, match=r"A shift of 64\.5 px leaves nothing of the model's input of 64 px"
    ) as refused:
        audit(network(gaussian(3, 6), channels=6), ["0"], warps=[{"kind": "translation", "amounts": [-64.5]}])
    assert refused.value.problem.type.endswith("shift-too-large")


def test_the_budget_counts_what_warps_keep() -> None:
    warped = prepare_audit(
        AuditRequest(
            model="timm/test_resnet.r160_in1k",
            weights="untrained",
            dataset="synthetic",
            num_images=2,
            translations_px=[],
            rotations_deg=[],
            warps=[{"kind": "rotation", "amounts": list(range(1, 37))}],
        )
    )
    subject, experiment = warped.subject, warped.experiment
    representations, size = experiment.representations, experiment.views.size
    tables = 36 * (table_bytes(160**2) + 2 * sum(table_bytes(side**2) for side in (80, 40, 20, 10, 5, 1)))
    assert tables > 2e8
    gib = 1.6
    with_warps = plan_budget(subject, representations, size, experiment.transforms, gib, 1)
    free = plan_budget(subject, representations, size, experiment.transforms, gib + 1, 1)
    assert with_warps.transforms < free.transforms == 36
