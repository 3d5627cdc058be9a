"""Whole audits: every row against an independent float64 recomputation, and what scores must not depend on."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from zooaudit.contract import ALL_TRANSFORMS, AuditRequest, Report, WarpRow, audit_id, request_of

from tests.worker import reference
from worker import cli, zoo
from worker.audit import run
from worker.errors import AuditError
from worker.images import dataset
from worker.images.synthetic import dead_leaves
from worker.measure.plan import Plan
from worker.measure.shards import OwnShards

SMALL = {"weights": "untrained", "dataset": "synthetic", "num_images": 3, "translations_px": [3, 32]}

FAMILIES = [
    "timm/resnet18.a1_in1k",
    "torchvision/resnet18",
    "timm/inception_v3.tv_in1k",
    "torchvision/inception_v3",
    "timm/test_efficientnet.r160_in1k",
    "torchvision/efficientnet_b0",
    "timm/test_vit.r160_in1k",
    "timm/test_vit3.r160_in1k",
    "torchvision/vit_b_16",
    "timm/mixer_s16_224",
    "timm/test_convnext.r160_in1k",
    "timm/test_mambaout",
    "timm/pvt_v2_b0.in1k",
    "timm/pit_ti_224.in1k",
    "torchvision/swin_t",
]


def audit(**request: Any) -> Report:
    return run(AuditRequest(**{**SMALL, **request}))


def rows(report: Report) -> dict[str, list[tuple[float | None, ...]]]:
    return {
        f"{block.part}:{block.name}": [
            (row.channel, row.layer, row.interpolation) if isinstance(row, WarpRow) else (row.channel, row.layer)
            for name in ALL_TRANSFORMS
            if (score := getattr(block, name)) is not None
            for row in score.by_transform
        ]
        for block in report.blocks
    }


def difference(mine: Report, theirs: Report) -> float:
    mine_rows, their_rows = (
        np.array([value for of_block in rows(r).values() for row in of_block for value in row], float)
        for r in (mine, theirs)
    )
    assert np.array_equal(np.isnan(mine_rows), np.isnan(their_rows))
    return float(np.nanmax(np.abs(mine_rows - their_rows)))


def assert_recomputes(report: Report, pictures: list[Any]) -> None:
    model = zoo.load(report.model.name, "untrained", lambda _progress: None)
    (classifier,) = model.depth.classifiers
    expected = reference.recompute(
        report.model_dump(mode="json"), model.module, model.preprocessing, classifier, pictures
    )
    measured = rows(report)
    assert measured.keys() == expected.keys()
    for name, pairs in expected.items():
        for of_row, of_expected in zip(measured[name], pairs, strict=True):
            for mine, theirs in zip(of_row, of_expected, strict=True):
                assert (mine is None) == (theirs is None), name
                assert mine is None or mine == pytest.approx(theirs, abs=1e-5), name


@pytest.mark.parametrize("name", FAMILIES)
def test_every_row_is_what_the_definition_gives(name: str) -> None:
    report = audit(model=name, seed=5, num_images=2, translations_px=[25], rotations_deg=[90])
    assert_recomputes(report, [dead_leaves(5, index) for index in range(2)])


@pytest.mark.parametrize("border", ["zero", "circular"])
@pytest.mark.parametrize("similarity", ["correlation", "cosine"])
def test_every_border_and_similarity(border: str, similarity: str) -> None:
    report = audit(model="timm/test_resnet.r160_in1k", border=border, similarity=similarity)
    assert_recomputes(report, [dead_leaves(0, index) for index in range(3)])


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("border", ["crop", "zero", "circular"])
def test_every_direction_and_reflection(direction: str, border: str) -> None:
    model = "timm/test_vit.r160_in1k" if border == "crop" else "timm/test_resnet.r160_in1k"
    report = audit(model=model, border=border, direction=direction, reflections=["vertical", "horizontal"])
    assert_recomputes(report, [dead_leaves(0, index) for index in range(3)])
    assert [len(pairs) for pairs in rows(report).values()] == [2 + 3 + 2] * len(report.blocks)


def test_parts_are_the_means_of_their_blocks_and_blocks_of_their_transforms() -> None:
    report = audit(model="timm/test_efficientnet.r160_in1k")
    for name, part in report.parts.items():
        blocks = [block for block in report.blocks if block.part == name]
        assert part.blocks == len(blocks)
        for transform in ("translation", "rotation"):
            scores = [getattr(block, transform) for block in blocks]
            for score in scores:
                assert score.layer == pytest.approx(np.mean([row.layer for row in score.by_transform]))
            assert getattr(part, transform).channel == pytest.approx(np.mean([score.channel for score in scores]))
            for position, row in enumerate(getattr(part, transform).by_transform):
                assert row.layer == pytest.approx(np.mean([score.by_transform[position].layer for score in scores]))


def test_scores_do_not_depend_on_batch_size_passes_or_threads() -> None:
    request = AuditRequest(model="timm/test_resnet.r160_in1k", **{**SMALL, "num_images": 7})
    whole = run(request)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        single = run(request, batch_size=2, decode_processes=0)
    finally:
        torch.set_num_threads(threads)
    many_passes = run(request, memory_gib=0.01)
    assert many_passes.timing.forward_images > whole.timing.forward_images
    assert many_passes.environment.batch_size == 1
    assert difference(single, whole) < 1e-5
    assert difference(many_passes, whole) < 1e-5


def test_scores_do_not_depend_on_the_order_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    request = AuditRequest(model="timm/test_resnet.r160_in1k", **{**SMALL, "num_images": 7})
    forward = run(request, batch_size=2)

    def backwards(*arguments: Any) -> Any:
        sample = dataset.open_dataset(*arguments)
        return replace(sample, names=sample.names[::-1])

    monkeypatch.setattr("worker.audit.open_dataset", backwards)
    backward = run(request, batch_size=2)
    assert 0 < difference(backward, forward) < 1e-5
    assert backward.images.sha256 == forward.images.sha256


def test_two_runs_agree_to_the_last_digit() -> None:
    first, second = (audit(model="timm/test_vit.r160_in1k", num_images=5) for _ in range(2))
    same = {"environment", "timing"}
    assert first.model_dump_json(exclude=same) == second.model_dump_json(exclude=same)


def test_the_report_states_the_request_and_the_provenance() -> None:
    request = AuditRequest(model="timm/test_vit.r160_in1k", **SMALL)
    report = run(request)
    assert report.id == audit_id(request)
    assert request_of(report) == request
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert report.images.count == 3
    assert report.images.skipped == ()
    assert report.method.canvas_size == report.model.input_size + 32
    assert report.timing.forward_images == 3 * 6
    assert len(report.model.weights.sha256) == 64
    final = report.parts["Final"]
    assert all(row.top1_agreement is not None for row in final.translation.by_transform)
    for row in (final.translation, *final.translation.by_transform):
        low, high = row.top1_agreement_interval
        assert low <= row.top1_agreement <= high
        assert high - low > 0.1  # of so few images nobody can be sure, though all of them keep their class
    assert "top1_agreement" not in report.parts["Pool"].model_dump_json()


def test_shards_of_replaced_images_do_not_add_up(tmp_path: Path) -> None:
    class Planned(Exception):
        pass

    class Begun(OwnShards):
        def begin(self, plan: Plan) -> None:
            raise Planned(plan.fingerprint)

    def fingerprint(seed: int) -> str:
        for index in range(4):
            dead_leaves(seed, index).save(tmp_path / f"{index}.png")
        request = AuditRequest(**{**SMALL, "model": "timm/test_resnet.r160_in1k", "dataset": "photos"})
        with pytest.raises(Planned) as planned:
            run(request, shards=Begun(), datasets={"photos": tmp_path})
        return str(planned.value)

    first = fingerprint(0)
    assert fingerprint(0) == first  # the same images, written anew
    assert fingerprint(1) != first


def test_constant_logits_are_null_and_their_agreement_too() -> None:
    final = audit(model="timm/mixer_s16_224", translations_px=[32], rotations_deg=[]).parts["Final"]
    # An untrained mixer's classifier starts at zero.
    assert final.translation.channel is None
    assert "no channel varies" in final.translation.reason
    assert final.translation.by_transform[0].top1_agreement is None
    assert final.rotation.reason == "no rotation was asked for"


def test_one_image_has_no_score_where_there_is_one_position() -> None:
    final = audit(model="timm/test_resnet.r160_in1k", num_images=1, translations_px=[1], rotations_deg=[]).parts[
        "Final"
    ]
    assert final.translation.reason == "one image has a single position here, over which nothing varies"


def test_undecodable_images_are_named_and_more_than_one_in_a_hundred_fail(tmp_path: Path) -> None:
    for index in range(101):
        dead_leaves(0, index).resize((40, 30)).save(tmp_path / f"ILSVRC2012_val_{index:08d}.JPEG")
    broken = tmp_path / "ILSVRC2012_val_00000007.JPEG"
    broken.write_bytes(broken.read_bytes()[:400])
    request = AuditRequest(
        model="timm/test_resnet.r160_in1k",
        weights="untrained",
        dataset="photos",
        num_images=101,
        translations_px=[],
        rotations_deg=[180],
    )
    report = run(request, datasets={"photos": tmp_path})
    assert report.images.skipped == ("ILSVRC2012_val_00000007.JPEG",)
    assert report.images.count == 100
    assert request_of(report) == request
    (tmp_path / "ILSVRC2012_val_00000009.JPEG").write_bytes(b"not an image")
    with pytest.raises(AuditError, match="More than 1 in 100"):
        run(request, datasets={"photos": tmp_path})


@pytest.mark.parametrize(
    ("change", "slug"),
    [
        ({"model": "timm/no_such_model"}, "unknown-model"),
        ({"model": "timm/vit_base_patch16_sapiens2"}, "unsupported-model"),
        ({"model": "timm/test_vit.r160_in1k", "dataset": "absent"}, "unknown-dataset"),
        ({"model": "timm/test_vit.r160_in1k", "precision": "tf32"}, "unsupported-precision"),
    ],
)
def test_what_cannot_be_audited_says_so(change: dict[str, str], slug: str) -> None:
    with pytest.raises(AuditError) as refused:
        run(AuditRequest(**{**SMALL, **change}), device="cpu")
    assert refused.value.problem.type.endswith(slug)


def test_a_shift_that_leaves_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.load("timm/test_vit.r160_in1k", "untrained", lambda _progress: None)
    small = replace(model, preprocessing=replace(model.preprocessing, input_size=96))
    monkeypatch.setattr(zoo, "load", lambda *_arguments, **_more: small)
    with pytest.raises(AuditError, match="leaves nothing"):
        audit(model="timm/test_vit.r160_in1k", translations_px=[96])


def test_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.measure import measurement

    real = measurement.Measurement.see_reference
    refused: list[int] = []

    def small_device(self: Any, view: torch.Tensor) -> None:
        if len(view) > 2:
            refused.append(len(view))
            raise torch.OutOfMemoryError("CUDA out of memory")
        real(self, view)

    request = AuditRequest(model="timm/test_resnet.r160_in1k", **{**SMALL, "num_images": 9})
    whole = run(request)
    monkeypatch.setattr(measurement.Measurement, "see_reference", small_device)
    report = run(request)
    # The first batch ends at the third image, where partners are chosen, of at most 16, 8 or 4.
    assert refused == [3, 3, 3]
    assert report.environment.batch_size == 2
    assert difference(report, whole) < 1e-5


def test_bfloat16_forwards_are_close_and_named() -> None:
    wide = audit(model="timm/test_resnet.r160_in1k")
    narrow = audit(model="timm/test_resnet.r160_in1k", precision="bfloat16")
    assert narrow.method.precision == "bfloat16"
    assert 0 < difference(narrow, wide) < 0.05


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {'redis', 'rq', 'fastapi', 'httpx'}:
            raise ModuleNotFoundError(f'blocked: {name}', name=name)
sys.meta_path.insert(0, Blocked())
from worker.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_command_line_needs_neither_queue_nor_server_nor_client(tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps({**SMALL, "model": "timm/test_vit.r160_in1k"}))
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:worker", "-c", BLOCKED, str(request)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Report.model_validate_json(done.stdout).model.name == "timm/test_vit.r160_in1k"


def test_the_command_line_keeps_decoded_images_unless_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    request = tmp_path / "request.json"
    request.write_text(json.dumps({**SMALL, "model": "timm/test_vit.r160_in1k", "rotations_deg": []}))
    parts = []
    for arguments, files in ((["--cache-gib", "0"], 0), ([], 1), ([], 1)):
        assert cli.main([str(request), "--quiet", *arguments]) == 0
        assert len(list(tmp_path.glob("zooaudit/canvases/*.npy"))) == files
        parts.append(Report.model_validate_json(capsys.readouterr().out).parts)
    assert parts[0] == parts[1] == parts[2]


def test_the_command_line_says_what_is_wrong_with_a_request(tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text('{"model": "timm/test_vit", "num_images": 0, "colour": "red"}')
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", str(request)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "num_images" in done.stderr
    assert "colour" in done.stderr


@pytest.mark.parametrize("gib", ["-1", "nan", "inf", "much"])
def test_the_command_line_refuses_a_cache_of_no_size(gib: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["request.json", "--cache-gib", gib])
    assert left.value.code == 2
    assert f"{gib} is no size" in capsys.readouterr().err
