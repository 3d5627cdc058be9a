"""Names, catalogue, preprocessing and untrained weights, in both zoos."""

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from PIL import Image
from zooaudit.contract import CatalogueEntry, ModelName, Progress, Weights

from worker import zoo
from worker.errors import AuditError
from worker.images.canvas import Preprocessing
from worker.zoo import loading
from worker.zoo import timm as timm_zoo
from worker.zoo import torchvision as torchvision_zoo


def ignore(_: Progress) -> None:
    pass


def refusal(name: str, weights: str = "untrained") -> AuditError:
    with pytest.raises(AuditError) as raised:
        zoo.load(name, weights, ignore)
    return raised.value


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        ("timm/resnext101_32x8d.tv_in1k", ("timm", "resnext101_32x8d", "tv_in1k")),
        ("timm/resnet50", ("timm", "resnet50", "a1_in1k")),
        ("resnet50", ("timm", "resnet50", "a1_in1k")),
        ("resnet50.tv_in1k", ("timm", "resnet50", "tv_in1k")),
        ("torchvision/resnet50", ("torchvision", "resnet50", None)),
        ("vit_b_16", ("torchvision", "vit_b_16", None)),
        ("timm/efficientnet_b7", ("timm", "efficientnet_b7", None)),
        ("timm/efficientnet_b7.untrained", ("timm", "efficientnet_b7", None)),
        ("timm/tf_efficientnet_b7_ns", ("timm", "tf_efficientnet_b7", "ns_jft_in1k")),
    ],
)
def test_names_are_resolved(name: str, resolved: tuple[str, str, str | None]) -> None:
    assert zoo.resolve(name) == resolved


@pytest.mark.parametrize(
    ("name", "said", "suggested"),
    [
        ("timm/resnet51", "neither in timm", "timm/resnet50"),
        ("torchvision/vit_b_61", "neither in timm", "torchvision/vit_b_16"),
        ("mixer_b16_242", "neither in timm", "timm/mixer_b16_224"),
        ("timm/resnet50.tv1_in1k", "has no such tag; its tags are: a1_in1k,", "timm/resnet50.tv_in1k"),
        ("torchvision/resnet18.tv_in1k", "ask for torchvision/resnet18.", "torchvision/resnet18"),
        ("keras/resnet50", "neither in timm", "timm/resnet50"),
        ("torchvision/mixer_b16_224", "neither in timm", "timm/mixer_b16_224"),
    ],
)
def test_unknown_names_get_close_matches(name: str, said: str, suggested: str) -> None:
    problem = refusal(name).problem
    assert problem.type == "urn:zooaudit:problem:unknown-model"
    assert problem.status == 422
    assert said in problem.detail
    assert suggested in (problem.suggestions or ())


def test_an_architecture_without_published_weights_names_its_relatives() -> None:
    problem = refusal("timm/efficientnet_b7", "pretrained").problem
    assert problem.type == "urn:zooaudit:problem:weights-not-published"
    assert 'Ask for weights "untrained"' in problem.detail
    assert "timm/tf_efficientnet_b7.ns_jft_in1k" in (problem.suggestions or ())


def test_models_and_weights_that_are_not_supported_are_refused() -> None:
    assert "non-square input, 1024 x 768" in refusal("timm/vit_base_patch16_sapiens2").problem.detail
    assert "No checkpoint is called so" in refusal("timm/resnet18", "checkpoint:mine").problem.detail


def test_the_catalogue_has_all_of_both_zoos_and_is_quick() -> None:
    started = time.monotonic()
    entries = zoo.catalogue()
    assert time.monotonic() - started < 2
    names = [entry.name for entry in entries]
    assert len(set(names)) == len(names)
    assert sum(entry.source == "timm" for entry in entries) == len(timm.list_models())
    assert {entry.architecture for entry in entries if entry.source == "torchvision"} >= {
        "resnet18",
        "vit_b_16",
        "swin_t",
    }


def test_catalogue_entries_tell_what_can_be_audited() -> None:
    by_name = {entry.name: entry for entry in zoo.catalogue()}
    assert by_name["torchvision/inception_v3"] == CatalogueEntry(
        name="torchvision/inception_v3",
        source="torchvision",
        family="inception",
        architecture="inception_v3",
        tags=(),
        pretrained=True,
        default_weights="IMAGENET1K_V1",
        input_size=299,
        parameters=27161264,
        imagenet_top1=77.294,
        supported=True,
    )
    assert by_name["timm/mixer_b16_224"].tags[0] == "goog_in21k_ft_in1k"
    assert by_name["timm/tf_efficientnet_b7"].input_size == 600
    assert not by_name["timm/efficientnet_b7"].pretrained
    assert by_name["timm/efficientnet_b7"].tags == ()
    assert by_name["timm/convnext_tiny"].supported
    assert "quantized" not in " ".join(by_name)
    for entry in by_name.values():
        assert entry.supported == (entry.reason is None)
        assert all(timm.is_model_pretrained(f"{entry.architecture}.{tag}") for tag in entry.tags)


def test_the_default_weights_are_those_that_the_zoo_gives_by_default() -> None:
    known = {(entry.source, entry.architecture): entry.default_weights for entry in zoo.catalogue()}
    assert known["timm", "resnet50"] == timm.get_pretrained_cfg("resnet50").tag == "a1_in1k"
    assert known["torchvision", "resnet50"] == torchvision.models.ResNet50_Weights.DEFAULT.name == "IMAGENET1K_V2"
    assert known["timm", "efficientnet_b7"] is None


def test_every_supported_name_resolves_to_the_tag_that_the_catalogue_gives_first() -> None:
    for entry in zoo.catalogue():
        if entry.supported:
            tag = entry.tags[0] if entry.tags else None
            assert zoo.resolve(entry.name) == (entry.source, entry.architecture, tag)


UNTRAINED = {
    "timm/resnet18": ("resnet", 11_689_512, 224),
    "timm/inception_v3": ("inception_v3", 23_834_568, 299),
    "timm/test_efficientnet": ("efficientnet", 356_196, 160),
    "timm/test_vit": ("vision_transformer", 371_240, 160),
    "timm/gmixer_24_224": ("mlp_mixer", 24_721_096, 224),
    "torchvision/resnet18": ("resnet", 11_689_512, 224),
    "torchvision/inception_v3": ("inception", 27_161_264, 299),
    "torchvision/efficientnet_b0": ("efficientnet", 5_288_548, 224),
}


@pytest.mark.parametrize("name", UNTRAINED)
def test_untrained_is_the_architecture_under_seed_0(name: str) -> None:
    family, parameters, input_size = UNTRAINED[name]
    steps: list[Progress] = []

    torch.rand(3)  # What was drawn before must not matter.
    model = zoo.load(name, "untrained", steps.append)

    source, architecture = name.split("/")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = timm.create_model(architecture) if source == "timm" else torchvision.models.get_model(architecture)
    assert model.module.state_dict().keys() == expected.state_dict().keys()
    for key, value in expected.state_dict().items():
        assert torch.equal(model.module.state_dict()[key], value), key
    assert not model.module.training
    assert (model.family, model.parameters, model.preprocessing.input_size) == (family, parameters, input_size)
    assert model.name.split(".")[0] == name
    assert model.weights.kind == "untrained"
    assert model.imagenet_top1 is None
    assert [step.phase for step in steps] == ["loading"]


@pytest.mark.parametrize(
    ("weights", "builds", "hashes"), [("untrained", 1, 1), ("pretrained", 2, 0), ("checkpoint:mine", 2, 0)]
)
def test_loading_builds_a_model_at_most_twice_and_hashes_what_it_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str, builds: int, hashes: int
) -> None:
    create, known, tensors_sha256 = timm.create_model, timm.get_pretrained_cfg, loading.tensors_sha256
    torch.save(create("test_vit", num_classes=7).state_dict(), tmp_path / "mine.pth")
    calls: list[str] = []

    def counted(name: str, **options: Any) -> torch.nn.Module:
        calls.append(name)
        return create(name, **{**options, "pretrained": False})

    def counted_sha256(module: torch.nn.Module) -> str:
        calls.append("hash")
        return tensors_sha256(module)

    def build_from_nowhere(build: Callable[[], torch.nn.Module], *_: Any) -> tuple[torch.nn.Module, Weights]:
        return build(), Weights(kind="pretrained", origin="nowhere", sha256="0" * 64)

    monkeypatch.setattr(timm, "create_model", counted)
    monkeypatch.setattr(loading, "tensors_sha256", counted_sha256)
    monkeypatch.setattr(timm_zoo, "build_from_url", build_from_nowhere)
    monkeypatch.setattr(timm_zoo, "_config", lambda name: replace(known(name), hf_hub_id=None, url="nowhere"))
    zoo.load("timm/test_vit", weights, ignore, checkpoints=tmp_path)
    assert calls.count("test_vit.r160_in1k") == len(calls) - hashes == builds
    assert calls.count("hash") == hashes


def test_preprocessing_is_the_zoos_own() -> None:
    assert zoo.load("timm/resnet18.tv_in1k", "untrained", ignore).preprocessing == Preprocessing(
        input_size=224,
        resize=256,
        interpolation=Image.Resampling.BILINEAR,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    assert torchvision_zoo.preprocessing(
        ModelName("torchvision", "resnext101_32x8d"), torch.nn.Module()
    ) == Preprocessing(
        input_size=224,
        resize=232,
        interpolation=Image.Resampling.BILINEAR,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"input_size": (3, 224, 192)}, "a non-square input, 224 x 192 pixels"),
        ({"input_size": (1, 32, 32)}, "RGB images have 3"),
        ({"crop_mode": "border"}, "the crop mode border"),
    ],
)
def test_preprocessing_that_no_canvas_can_be_made_of_is_refused(change: dict[str, object], complaint: str) -> None:
    config = {"input_size": (3, 224, 224), "crop_pct": 0.875, "crop_mode": "center", "interpolation": "bicubic"}
    with pytest.raises(AuditError, match=complaint):
        timm_zoo.preprocessing_of(config | {"mean": (0.5,) * 3, "std": (0.5,) * 3} | change)


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"httpx", "httpx2", "httpcore", "redis", "rq", "fastapi", "huggingface_hub"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
from worker import zoo
from worker.errors import AuditError
print(zoo.load("timm/test_resnet", "untrained", lambda _: None).name)
try:
    zoo.load("timm/test_resnet", "pretrained", lambda _: None)
except AuditError as error:
    print(error.problem.detail)
"""


def test_untrained_models_load_without_any_http_library_and_pretrained_ones_say_what_is_missing() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True)
    name, detail = done.stdout.splitlines()
    assert name == "timm/test_resnet.r160_in1k"
    assert "huggingface_hub cannot be imported" in detail


def test_loading_prints_nothing_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    zoo.load("timm/test_vit", "untrained", ignore)
    assert capfd.readouterr().out == ""


def test_an_architecture_for_one_input_size_is_built_for_that_of_its_preprocessing() -> None:
    # torchvision builds ViT-H/14 for 224 pixels unless it is told that its default weights take 518.
    assert torchvision_zoo._size_option("vit_h_14", None) == {"image_size": 518}
    assert torchvision_zoo._size_option("vit_b_16", 96) == {"image_size": 96}
    assert torchvision_zoo._size_option("resnet18", 96) == {}
    assert timm_zoo._size_option("test_vit", None) == {}


@pytest.mark.parametrize("size", [17, 230, 250])
def test_a_size_that_an_architecture_cannot_take_is_refused_with_the_zoos_own_words(size: int) -> None:
    with pytest.raises(AuditError, match=rf"cannot take images of {size} px; its own are of 160 px \(") as raised:
        zoo.load("timm/test_vit", "untrained", lambda _progress: None, input_size=size)
    assert raised.value.problem.type.endswith("unsuitable-model")


def test_maxvit_is_built_for_the_size_that_is_asked_for() -> None:
    name = ModelName("torchvision", "maxvit_t", None)
    with torch.device("meta"):
        assert torchvision_zoo.build(name, input_size=448) is not None
        with pytest.raises(ValueError, match="partition size 7"):
            torchvision_zoo.build(name, input_size=230)
