"""A whole service as in production: the real worker measures real networks."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import numpy
import psutil
import pytest
import timm
import torch
from PIL import Image
from redis import Redis
from safetensors.torch import save_file
from zooaudit.contract import IDLE_KEY, PARTS, audit_id, request_of

from service.stack import Stack, running
from tests.e2e.harness import Audits, alive, eventually


@pytest.fixture(scope="module")
def real_stack(tmp_path_factory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("real")
    photos = directory / "photos"
    photos.mkdir()
    noise = numpy.random.default_rng(0)
    for n in range(3):
        Image.fromarray(noise.integers(0, 256, (200, 240, 3), dtype=numpy.uint8)).save(photos / f"{n}.png")
    (directory / "checkpoints").mkdir()
    env = {
        "ZOOAUDIT_CHECKPOINTS": str(directory / "checkpoints"),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "ZOOAUDIT_API_KEYS": "",
        "ZOOAUDIT_DATASETS": f"photos={photos}",
        "HF_ENDPOINT": "http://127.0.0.1:1",
        "HF_HOME": str(directory / "hub"),
        "XDG_CACHE_HOME": str(directory / "caches"),
    }
    with running(directory, env=env) as stack:
        yield stack


@pytest.fixture
def audits(real_stack) -> Iterator[Audits]:
    with httpx.Client(base_url=real_stack.url, timeout=30) as http:
        yield Audits(http, real_stack.directory / "runs", itertools.count())


def test_the_worker_publishes_both_zoos_and_the_data_sets_it_can_read(audits):
    assert audits.http.get("/health").json()["datasets"] == {"synthetic": None, "photos": 3}
    models = audits.http.get("/models", params={"q": "resnext101_32x8d"}).json()["models"]
    assert {model["name"] for model in models} >= {"timm/resnext101_32x8d", "torchvision/resnext101_32x8d"}
    assert audits.http.get("/models", params={"limit": 1}).json()["total"] > 1000
    answer = audits.http.post("/audit", json={"model": "efficientnet_b7", "dataset": "synthetic"})
    assert answer.status_code == 422
    assert "timm/tf_efficientnet_b7" in answer.json()["suggestions"]


@pytest.mark.parametrize("model", ["test_vit", "torchvision/resnet18"])
def test_the_depth_of_a_model_is_that_of_its_report(audits, model):
    detail = eventually(
        lambda: (answer := audits.http.get(f"/models/{model}").json())["blocks"] and answer, within_s=60.0
    )
    body = audits.request_body(model, num_images=2, translations_px=[1], rotations_deg=[])
    identifier = audits.http.post("/audit", json=body).json()["id"]
    assert audits.ended(identifier, within_s=120.0).status == "succeeded"
    report = audits.report(identifier)
    same = {"name", "part", "channels", "height", "width", "layout"}
    assert detail["blocks"] == [block.model_dump(mode="json", include=same) for block in report.blocks]
    assert detail["full_name"] == report.model.name
    assert (detail["parameters"], detail["input_size"]) == (report.model.parameters, report.model.input_size)


@pytest.mark.parametrize(
    ("model", "full", "dataset"),
    [("test_vit", "timm/test_vit.r160_in1k", "synthetic"), ("torchvision/resnet18", "torchvision/resnet18", "photos")],
)
def test_a_network_is_measured_and_measured_the_same_again(real_stack, audits, model, full, dataset):
    body = audits.request_body(
        model, dataset=dataset, num_images=3, seed=0, translations_px=[1, 8], rotations_deg=[180]
    )
    identifier = audits.http.post("/audit", json=body).json()["id"]
    audit = audits.ended(identifier, within_s=120.0)
    assert audit.status == "succeeded", audit.error
    first = audits.report(identifier)
    assert first.model.name == full
    assert identifier == first.id == audit_id(request_of(first)) == audit_id(audit.request)
    assert set(first.parts) == set(PARTS)
    assert 0 < first.parts["Early"].translation.channel <= first.parts["Early"].translation.layer <= 1
    assert [row.shift_px for row in first.parts["Final"].translation.by_transform] == [1, 8]
    assert first.parts["Final"].rotation.by_transform[0].top1_agreement is not None
    (real_stack.directory / "store" / "reports" / f"{identifier}.json").unlink()
    assert audits.http.post("/audit", json=body).status_code == 202
    assert audits.ended(identifier, within_s=120.0).status == "succeeded"
    again = audits.report(identifier)
    assert again.model_copy(update={"environment": first.environment, "timing": first.timing}) == first
    kept = (real_stack.directory / "caches" / "zooaudit" / "canvases").glob("*.npy")
    assert 3 in [len(numpy.load(file)) for file in kept]


def test_a_replay_measures_again_and_finds_the_same(real_stack, audits, tmp_path):
    body = audits.request_body(
        "timm/test_vit", dataset="photos", num_images=3, seed=5, translations_px=[8], rotations_deg=[]
    )
    identifier = audits.http.post("/audit", json=body).json()["id"]
    assert audits.ended(identifier, within_s=120.0).status == "succeeded"
    report = audits.http.get(f"/audit/{identifier}/report").json()
    file = tmp_path / "report.json"
    for expected, code in (("Identical", 0), ("DIFFERENT: parts.Late.translation.channel", 6)):
        file.write_text(json.dumps(report))
        command = [sys.executable, "-m", "zooaudit", "replay", str(file), "--url", real_stack.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stderr
        assert done.stdout.startswith(expected)
        report["parts"]["Late"]["translation"]["channel"] = 0.123
    again = audits.http.get("/audit", params={"model": "timm/test_vit.r160_in1k", "limit": 10}).json()["audits"]
    assert {1, 2} <= {audit["request"]["repetition"] for audit in again}


def test_a_hub_that_does_not_answer_fails_the_audit_and_says_what_to_do(audits):
    identifier = audits.submit("test_resnet", weights="pretrained", num_images=1)
    audit = audits.ended(identifier, within_s=120.0)
    assert audit.status == "failed"
    assert audit.error.type == "urn:zooaudit:problem:hub-unreachable"
    assert audit.error.detail


def test_a_checkpoint_that_is_replaced_is_audited_anew(real_stack, audits):
    file = real_stack.directory / "checkpoints" / "mine.safetensors"
    body = audits.request_body(
        "test_resnet", weights="checkpoint:mine", num_images=2, translations_px=[8], rotations_deg=[]
    )
    reports = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        save_file(timm.create_model("test_resnet", num_classes=5).state_dict(), file)
        identifier = audits.http.post("/audit", json=body).json()["id"]
        assert audits.ended(identifier, within_s=120.0).status == "succeeded"
        reports.append(audits.report(identifier))
    first, same, second = reports
    assert (first, first.id) == (same, audit_id(request_of(first)))
    assert (second.id == first.id, second.model.weights == first.model.weights) == (False, False)
    assert second.model.weights.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    compared = audits.http.get("/comparison", params={"audits": f"{first.id},{second.id}"}).json()["audits"]
    assert [one["weights"] for one in compared] == [one.model.weights.label for one in (first, second)]
    file.unlink()
    answer = audits.http.post("/audit", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:zooaudit:problem:unknown-checkpoint")


def test_a_checkpoint_of_another_model_is_refused_when_it_is_asked_for(real_stack, audits):
    folder = real_stack.directory / "checkpoints"
    save_file(timm.create_model("test_resnet", num_classes=5).state_dict(), folder / "other.safetensors")
    os.mkfifo(folder / "pipe.pth")
    asked = audits.request_body("test_vit", weights="checkpoint:other", num_images=2, rotations_deg=[])
    for body, slug in ((asked, "weights-mismatch"), (asked | {"weights": "checkpoint:pipe"}, "unknown-checkpoint")):
        answer = eventually(
            lambda body=body: (said := audits.http.post("/audit", json=body)).status_code != 503 and said, 120.0
        )
        assert (answer.status_code, answer.json()["type"]) == (422, f"urn:zooaudit:problem:{slug}")


def test_a_checkpoint_is_found_again_after_its_helper_has_died(real_stack, audits):
    file = real_stack.directory / "checkpoints" / "found.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=5).state_dict(), file)
    worker = psutil.Process(real_stack.workers[-1].pid)
    helpers = worker.children()
    for helper in helpers:
        helper.kill()
    eventually(lambda: audits.http.get("/health").json()["status"] == "degraded", 60.0)
    assert "was started again" in " ".join(audits.http.get("/health").json()["reasons"])
    body = audits.request_body("test_resnet", weights="checkpoint:found", num_images=2, rotations_deg=[])
    answer = eventually(lambda: (said := audits.http.post("/audit", json=body)).status_code != 503 and said, 120.0)
    assert answer.status_code == 202
    assert audits.ended(answer.json()["id"], within_s=120.0).status == "succeeded"
    eventually(lambda: sum(alive(child.pid) for child in worker.children()) == len(helpers), 20.0)


def test_a_real_audit_is_canceled_within_seconds(audits):
    identifier = audits.submit("timm/resnet18", num_images=5000)
    audits.measuring(identifier)
    assert audits.http.delete(f"/audit/{identifier}").status_code == 202
    audits.until(identifier, "canceled", within_s=5.0)
    again = audits.submit("test_vit", num_images=1, translations_px=[1], rotations_deg=[])
    assert audits.ended(again, within_s=60.0).status == "succeeded"


def test_two_workers_measure_what_one_measures_to_the_last_digit(real_stack, audits):
    # Enough images that the first worker is at its share of the transforms when the second one has loaded the model.
    images = 100
    body = audits.request_body("timm/test_vit", num_images=images, seed=9)
    other = real_stack.start_worker()
    with Redis.from_url(real_stack.redis_url) as redis:
        eventually(lambda: redis.zcount(IDLE_KEY, time.time(), "+inf") == 2, 60.0)
    identifier = audits.http.post("/audit", json=body).json()["id"]
    assert audits.ended(identifier, within_s=120.0).status == "succeeded"
    shared = audits.report(identifier)
    assert shared.timing.workers == 2
    assert shared.timing.forward_images == images * (35 + 2)
    real_stack.workers.remove(other)
    other.terminate()
    other.wait(20)
    (real_stack.directory / "store" / "reports" / f"{identifier}.json").unlink()
    assert audits.http.post("/audit", json=body).status_code == 202
    assert audits.ended(identifier, within_s=120.0).status == "succeeded"
    alone = audits.report(identifier)
    assert alone.timing.workers == 1
    assert shared.model_copy(update={"environment": alone.environment, "timing": alone.timing}) == alone
