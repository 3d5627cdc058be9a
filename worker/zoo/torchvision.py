"""torchvision's models. ``import torchvision`` is the library: this module's own name is worker.zoo.torchvision."""

from functools import partial
from typing import Any

import torchvision
from PIL import Image
from torch import nn
from zooaudit.contract import CatalogueEntry, Code, ModelName, Weights

from worker.errors import AuditError
from worker.images import Preprocessing
from worker.zoo.download import OnProgress, reraising_progress_errors
from worker.zoo.weights import build_from_url

VERSION = torchvision.__version__


def names() -> list[str]:
    return list(torchvision.models.list_models(module=torchvision.models))


def resolve(asked: ModelName) -> ModelName | None:
    if asked.architecture not in names():
        return None
    name = ModelName("torchvision", asked.architecture)
    if asked.tag:
        detail = f"{name}.{asked.tag}: torchvision names have no tags: ask for {name}."
        raise AuditError("unknown-model", detail, suggestions=(str(name),))
    return name


def entry(architecture: str) -> CatalogueEntry:
    published = _default_weights(architecture)
    return CatalogueEntry(
        name=str(ModelName("torchvision", architecture)),
        source="torchvision",
        family=torchvision.models.get_model_builder(architecture).__module__.rpartition(".")[2],
        architecture=architecture,
        tags=(),
        pretrained=True,
        default_weights=published.name,
        input_size=published.transforms().crop_size[0],
        parameters=parameters(architecture),
        imagenet_top1=published.meta["_metrics"].get("ImageNet-1K", {}).get("acc@1"),
        supported=True,
    )


def preprocessing(name: ModelName, _module: nn.Module) -> Preprocessing:
    """Return the preprocessing of the default weights, also for untrained models."""
    transforms = _default_weights(name.architecture).transforms()
    return Preprocessing(
        input_size=transforms.crop_size[0],
        resize=transforms.resize_size[0],
        interpolation=Image.Resampling[transforms.interpolation.name],
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )


def build(name: ModelName, input_size: int | None = None, num_classes: int | None = None) -> nn.Module:
    options = _size_option(name.architecture, input_size)
    if num_classes is not None:
        options["num_classes"] = num_classes
    module: nn.Module = torchvision.models.get_model(name.architecture, weights=None, **options)
    return module


def _size_option(architecture: str, input_size: int | None) -> dict[str, Any]:
    # torchvision builds ViT-H/14 for 224 pixels unless it is told that its default weights take 518.
    if architecture.startswith("vit_"):
        return {"image_size": input_size or _default_weights(architecture).transforms().crop_size[0]}
    if input_size and architecture.startswith("maxvit_"):
        return {"input_size": (input_size, input_size)}
    return {}


@reraising_progress_errors()
def fetch(name: ModelName, on_progress: OnProgress) -> tuple[nn.Module, Weights]:
    published = _default_weights(name.architecture)
    build = partial(torchvision.models.get_model, name.architecture, weights=published)
    module, weights = build_from_url(build, name.in_zoo, published.url, on_progress)
    return module, weights.model_copy(update={"origin": f"{published}: {published.url}"})


def code(_name: ModelName, _module: nn.Module) -> Code | None:
    return None


def parameters(architecture: str) -> int:
    count: int = _default_weights(architecture).meta["num_params"]
    return count


def _default_weights(architecture: str) -> Any:
    return torchvision.models.get_model_weights(architecture).DEFAULT
