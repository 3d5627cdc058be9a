"""Real downloads, by the zoos' own code, from a hub and a file server on loopback: what works and every way to fail."""

import hashlib
import io
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
import torchvision
from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter
from safetensors.torch import save
from torch import nn
from zooaudit.contract import Progress

from tests.worker.zoo.hub import Hub, Zoo
from worker.errors import AuditError
from worker.zoo import download, weights

TINY = "timm/test_resnet.r160_in1k"


@pytest.fixture(scope="module")
def served() -> Iterator[Hub]:
    hub = Hub()
    hub.start()
    yield hub
    hub.stop()


@pytest.fixture(scope="module")
def process(served: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    zoo = Zoo(served, tmp_path_factory.mktemp("home"))
    yield zoo
    zoo.close()


@pytest.fixture
def hub(served: Hub) -> Hub:
    served.files.clear()
    served.requests.clear()
    return served


@pytest.fixture
def zoo(process: Zoo) -> Zoo:
    """The loading process, its caches empty."""
    for folder in process.home.iterdir():
        shutil.rmtree(folder)
    return process


def random_model(name: str, seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(name, pretrained=False)


def pickled(model: nn.Module | dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(model.state_dict() if isinstance(model, nn.Module) else model, buffer)
    return buffer.getvalue()


def detail(answer: dict[str, Any], slug: str) -> str:
    assert answer["problem"]["type"] == f"urn:zooaudit:problem:{slug}"
    return str(answer["problem"]["detail"])


@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet", "test_vit"])
def test_timm_loads_what_the_hub_publishes(hub: Hub, zoo: Zoo, architecture: str) -> None:
    model = random_model(architecture)
    body = save(model.state_dict())
    hub.publish(f"timm/{architecture}.r160_in1k", body)

    answer = zoo.load(f"timm/{architecture}")

    assert answer["loaded"] == {
        "name": f"timm/{architecture}.r160_in1k",
        "weights": {
            "kind": "pretrained",
            "origin": f"hf-hub:timm/{architecture}.r160_in1k/model.safetensors",
            "sha256": hashlib.sha256(body).hexdigest(),
        },
        "top1": None,
    }
    assert answer["tensors"] == weights.tensors_sha256(model)
    assert not answer["training"]


def test_the_download_is_reported_in_bytes(hub: Hub, zoo: Zoo) -> None:
    body = save(random_model("test_resnet").state_dict())
    hub.publish("timm/test_resnet.r160_in1k", body)

    steps = [step for step in zoo.load(TINY)["progress"] if step["phase"] == "downloading"]

    assert steps[-1]["done"] == steps[-1]["total"] == len(body)
    assert {step["unit"] for step in steps} == {"bytes"}


def test_downloads_from_xet_storage_are_reported_too() -> None:
    steps: list[Progress] = []
    reporter = XetDownloadProgressReporter(
        reconstruction_desc="file",
        transfer_desc="network",
        name="hub",
        log_level=30,
        total=100,
        tqdm_class=download._bar(steps.append),
    )
    with reporter:
        for done in (10, 50, 100):
            rates = {"total_bytes_completion_rate": 1.0, "total_transfer_bytes_completion_rate": 1.0}
            counts = {"total_bytes_completed": done, "total_transfer_bytes_completed": done // 2, "total_bytes": 100}
            reporter.update_progress(SimpleNamespace(**rates, **counts))
    assert [(step.done, step.total) for step in steps] == [(10, 100), (50, 100), (100, 100)]


def test_a_second_load_comes_from_the_cache_even_when_the_hub_is_down(hub: Hub, zoo: Zoo) -> None:
    hub.publish("timm/test_resnet.r160_in1k", save(random_model("test_resnet").state_dict()))
    first = zoo.load(TINY)
    with hub.down():
        second = zoo.load(TINY)
    assert second["loaded"] == first["loaded"]
    assert second["tensors"] == first["tensors"]
    assert [request for request in hub.requests if request.startswith("GET")] == [
        "GET /timm/test_resnet.r160_in1k/resolve/main/model.safetensors"
    ]


def test_timm_falls_back_to_the_older_file_name_as_it_does_by_itself(hub: Hub, zoo: Zoo) -> None:
    model = random_model("test_resnet")
    hub.publish("timm/test_resnet.r160_in1k", pickled(model), "pytorch_model.bin")
    answer = zoo.load(TINY)
    assert answer["loaded"]["weights"]["origin"] == "hf-hub:timm/test_resnet.r160_in1k/pytorch_model.bin"
    assert answer["tensors"] == weights.tensors_sha256(model)


def test_an_unreachable_hub(hub: Hub, zoo: Zoo) -> None:
    with hub.down():
        text = detail(zoo.load(TINY), "hub-unreachable")
    assert "HF_ENDPOINT" in text
    assert 'weights "untrained"' in text


def test_a_silent_hub_is_not_waited_for(hub: Hub, zoo: Zoo) -> None:
    hub.publish("timm/test_resnet.r160_in1k", b"never").delay_s = 20.0
    started = time.monotonic()
    assert "Timeout" in detail(zoo.load(TINY, timeout_s=0.3), "hub-unreachable")
    assert time.monotonic() - started < 5


def test_offline_mode_says_so_and_serves_the_cache(hub: Hub, zoo: Zoo) -> None:
    offline = Zoo(hub, zoo.home, HF_HUB_OFFLINE="1")
    try:
        text = detail(offline.load(TINY), "hub-unreachable")
        hub.publish("timm/test_resnet.r160_in1k", save(random_model("test_resnet").state_dict()))
        online = zoo.load(TINY)
        hub.requests.clear()
        cached = offline.load(TINY)
    finally:
        offline.close()
    assert "HF_HUB_OFFLINE" in text
    assert cached["loaded"] == online["loaded"]
    assert hub.requests == []


def test_a_repository_that_does_not_exist(hub: Hub, zoo: Zoo) -> None:
    assert hub.files == {}
    text = detail(zoo.load(TINY), "weights-not-published")
    assert "test_resnet.r160_in1k" in text
    assert "HF_TOKEN" in text


def test_a_repository_without_weights(hub: Hub, zoo: Zoo) -> None:
    hub.publish("timm/test_resnet.r160_in1k", b"{}", "config.json")
    assert "timm/test_resnet.r160_in1k" in detail(zoo.load(TINY), "weights-not-published")


def test_a_hub_that_speaks_another_protocol(hub: Hub, zoo: Zoo) -> None:
    hub.publish("timm/test_resnet.r160_in1k", b"<html>", etag="")
    assert "HF_ENDPOINT" in detail(zoo.load(TINY), "hub-unreachable")


def test_a_file_with_another_hash_is_removed_and_the_next_try_works(hub: Hub, zoo: Zoo) -> None:
    body = save(random_model("test_resnet").state_dict())
    published = hub.publish("timm/test_resnet.r160_in1k", body)
    published.body = body[:-1] + bytes([body[-1] ^ 1])

    text = detail(zoo.load(TINY), "weights-corrupt")
    published.body = body
    again = zoo.load(TINY)

    assert published.etag in text
    assert "submit the audit again" in text
    assert again["loaded"]["weights"]["sha256"] == published.etag


def test_a_cached_file_that_rotted_is_removed_and_the_next_try_works(hub: Hub, zoo: Zoo) -> None:
    published = hub.publish("timm/test_resnet.r160_in1k", save(random_model("test_resnet").state_dict()))
    zoo.load(TINY)
    (blob,) = zoo.home.glob("hf/hub/models--*/blobs/*")
    blob.write_bytes(published.body[:1000])

    detail(zoo.load(TINY), "weights-corrupt")

    assert zoo.load(TINY)["loaded"]["weights"]["sha256"] == published.etag


def test_a_truncated_file_of_a_hub_without_hashes_is_removed(hub: Hub, zoo: Zoo) -> None:
    body = save(random_model("test_resnet").state_dict())
    hub.publish("timm/test_resnet.r160_in1k", body[: len(body) // 2], etag="first")
    detail(zoo.load(TINY), "weights-corrupt")
    assert list(zoo.home.glob("hf/hub/models--*/blobs/*")) == []
    hub.publish("timm/test_resnet.r160_in1k", body, etag="first")
    assert "loaded" in zoo.load(TINY)


def test_a_connection_that_is_always_cut_ends_in_an_error(hub: Hub, zoo: Zoo) -> None:
    body = save(random_model("test_resnet").state_dict())
    hub.publish("timm/test_resnet.r160_in1k", body).sent = len(body) // 2
    assert "submit the audit again" in detail(zoo.load(TINY), "hub-unreachable")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state | {"fc.weight": torch.zeros(10, 320), "fc.bias": torch.zeros(10)}, "size mismatch for fc"),
        (lambda state: {key: value for key, value in state.items() if not key.startswith("fc.")}, "Missing key"),
        (lambda state: state | {"another.weight": torch.zeros(3)}, "Unexpected key"),
        (lambda _: {"features.0.weight": torch.zeros(3)}, "Missing key"),
    ],
    ids=["classifier of another size", "no classifier", "one key too many", "another model"],
)
def test_weights_of_another_model_are_not_measured(hub: Hub, zoo: Zoo, change: Any, said: str) -> None:
    hub.publish("timm/test_resnet.r160_in1k", save(change(random_model("test_resnet").state_dict())))
    text = detail(zoo.load(TINY), "weights-mismatch")
    assert said in text
    assert "Check that the hub" in text


def test_weights_are_never_loaded_in_part_even_where_the_zoo_would() -> None:
    model = nn.Linear(2, 2)

    def zoo_code() -> nn.Module:
        model.load_state_dict({"weight": torch.zeros(2, 2)}, strict=False)
        return model

    with pytest.raises(AuditError, match="missing keys: bias"):
        weights.build_completely(zoo_code, "linear", [])


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("source", ["timm", "torchvision"])
def test_pickles_are_not_executed(hub: Hub, zoo: Zoo, tmp_path: Path, source: str) -> None:
    body = pickled({"fc.weight": Bomb(tmp_path / "executed")})
    hub.publish("timm/test_resnet.r160_in1k", body, "pytorch_model.bin")
    hub.serve("/resnet18.pth", body)
    answer = zoo.load(TINY if source == "timm" else "torchvision/resnet18", url=f"{hub.url}/resnet18.pth")
    detail(answer, "weights-unsafe")
    assert not (tmp_path / "executed").exists()


def resnet18(hub: Hub, classes: int = 1000) -> tuple[nn.Module, str]:
    """A random torchvision checkpoint on the file server, named by its hash as the real ones are, and its URL."""
    torch.manual_seed(2)
    model = torchvision.models.resnet18(num_classes=classes)
    body = pickled(model)
    path = f"/models/resnet18-{hashlib.sha256(body).hexdigest()[:8]}.pth"
    hub.serve(path, body)
    return model, hub.url + path


def test_torchvision_loads_what_it_publishes(hub: Hub, zoo: Zoo) -> None:
    model, url = resnet18(hub)
    answer = zoo.load("torchvision/resnet18", url=url)
    body = hub.files[url.removeprefix(hub.url)].body
    assert answer["loaded"]["weights"] == {
        "kind": "pretrained",
        "origin": f"ResNet18_Weights.IMAGENET1K_V1: {url}",
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    assert answer["loaded"]["top1"] == 69.758
    assert answer["tensors"] == weights.tensors_sha256(model)
    assert [step["done"] for step in answer["progress"] if step["phase"] == "downloading"][-1] == len(body)


def test_torchvision_caches_and_checks_the_cache(hub: Hub, zoo: Zoo) -> None:
    _, url = resnet18(hub)
    first = zoo.load("torchvision/resnet18", url=url)
    second = zoo.load("torchvision/resnet18", url=url)
    (file,) = zoo.home.glob("torch/hub/checkpoints/*.pth")
    file.write_bytes(file.read_bytes()[:-10])
    third = zoo.load("torchvision/resnet18", url=url)
    assert first["loaded"] == second["loaded"]
    assert len(hub.requests) == 1
    assert "submit the audit again" in detail(third, "weights-corrupt")
    assert not file.exists()


def test_torchvision_refuses_another_hash_and_a_cut_connection(hub: Hub, zoo: Zoo) -> None:
    _, url = resnet18(hub)
    served = hub.files[url.removeprefix(hub.url)]
    served.sent = len(served.body) // 2
    assert f"of {len(served.body)} bytes" in detail(zoo.load("torchvision/resnet18", url=url), "weights-corrupt")
    served.sent, body = len(served.body), served.body
    served.body = body[:-1] + b"?"
    assert "SHA-256" in detail(zoo.load("torchvision/resnet18", url=url), "weights-corrupt")
    served.body = body
    assert "loaded" in zoo.load("torchvision/resnet18", url=url)


def test_torchvision_refuses_a_classifier_of_another_size(hub: Hub, zoo: Zoo) -> None:
    _, url = resnet18(hub, classes=10)
    assert "size mismatch for fc" in detail(zoo.load("torchvision/resnet18", url=url), "weights-mismatch")


def test_torchvision_unreachable_missing_and_silent(hub: Hub, zoo: Zoo) -> None:
    url = f"{hub.url}/resnet18.pth"
    assert "404" in detail(zoo.load("torchvision/resnet18", url=url), "hub-unreachable")
    hub.serve("/resnet18.pth", b"never").delay_s = 20.0
    answer = zoo.load("torchvision/resnet18", url=url, timeout_s=0.3)
    assert "timed out" in detail(answer, "hub-unreachable")
    with hub.down():
        assert "refused" in detail(zoo.load("torchvision/resnet18", url=url), "hub-unreachable")


def test_timm_weights_that_are_only_at_a_url(hub: Hub, zoo: Zoo) -> None:
    model = random_model("test_resnet")
    hub.serve("/weights/tiny.pth.tar", pickled(model))
    answer = zoo.load(TINY, url=f"{hub.url}/weights/tiny.pth.tar")
    assert answer["loaded"]["weights"]["origin"] == f"{hub.url}/weights/tiny.pth.tar"
    assert answer["tensors"] == weights.tensors_sha256(model)


def test_a_broken_archive_at_a_url_is_removed(hub: Hub, zoo: Zoo) -> None:
    body = pickled(random_model("test_resnet"))
    hub.serve("/weights/tiny.pth", body[: len(body) // 2])
    detail(zoo.load(TINY, url=f"{hub.url}/weights/tiny.pth"), "weights-corrupt")
    hub.serve("/weights/tiny.pth", body)
    assert "loaded" in zoo.load(TINY, url=f"{hub.url}/weights/tiny.pth")


def test_untrained_weights_need_no_hub_and_name_their_tensors(hub: Hub, zoo: Zoo) -> None:
    with hub.down():
        answer = zoo.load(TINY, "untrained")
    expected = weights.tensors_sha256(random_model("test_resnet.r160_in1k", seed=0))
    assert answer["tensors"] == expected
    assert answer["loaded"]["weights"] == {
        "kind": "untrained",
        "origin": "torch.manual_seed(0)",
        "sha256": expected,
    }


@pytest.mark.parametrize("name", [TINY, "torchvision/resnet18"])
def test_a_cancelled_download_ends_as_such_and_leaves_nothing_behind(hub: Hub, zoo: Zoo, name: str) -> None:
    hub.publish("timm/test_resnet.r160_in1k", save(random_model("test_resnet").state_dict()))
    _, url = resnet18(hub)
    options = {"url": url} if name.startswith("torchvision") else {}
    assert zoo.load(name, cancel=True, **options)["raised"] == "Cancelled"
    assert [file for file in zoo.home.rglob("*") if file.is_file() and file.stat().st_size > 10_000] == []
    assert "loaded" in zoo.load(name, **options)


def test_tensors_sha256_sees_names_types_shapes_and_values() -> None:
    def hashed(**buffers: torch.Tensor) -> str:
        module = nn.Module()
        for name, value in buffers.items():
            module.register_buffer(name, value)
        return weights.tensors_sha256(module)

    zeros = torch.zeros(4)
    different = [
        hashed(a=zeros),
        hashed(b=zeros),
        hashed(a=zeros.to(torch.int32)),
        hashed(a=zeros.reshape(2, 2)),
        hashed(a=zeros + 1),
    ]
    assert len(set(different)) == len(different)
    assert hashed(a=zeros, b=zeros + 1) == hashed(b=zeros + 1, a=zeros)
