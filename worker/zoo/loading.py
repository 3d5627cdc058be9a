"""From a name to a model: the module, its preprocessing, and where its weights come from."""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from PIL import Image
from timm.data.config import resolve_model_data_config
from timm.models import get_arch_pretrained_cfgs, get_deprecated_models, is_model
from torch import nn
from zooaudit.contract import CatalogueEntry, Progress, Source, Weights

from worker.depth import Depth, find_depth
from worker.errors import AuditError
from worker.images.canvas import Preprocessing
from worker.zoo import weights as zoo_weights
from worker.zoo.catalogue import catalogue as catalogue
from worker.zoo.catalogue import (
    catalogue_entry,
    no_weights,
    published_tags,
    torchvision_models,
    torchvision_transforms,
    unknown_model,
    unsupported_input,
)
from worker.zoo.checkpoints import open_checkpoint


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode on the CPU, and all that a report says of it. ``initialised(seed)`` is the same
    architecture as it is before training; None where nobody knows how to make it."""

    name: str
    source: Source
    family: str
    architecture: str
    module: nn.Module
    depth: Depth
    preprocessing: Preprocessing
    weights: Weights
    imagenet_top1: float | None
    parameters: int
    initialised: Callable[[int], nn.Module] | None = None


def load(
    name: str,
    weights: str,
    on_progress: Callable[[Progress], None],
    checkpoints: str | Path | None = None,
    input_size: int | None = None,
) -> LoadedModel:
    """The model of that name with the weights asked for: "pretrained", "untrained" (initialised from seed 0), or
    "checkpoint:NAME", a file in the folder or bucket ``checkpoints``. An untrained one may be built for another
    ``input_size`` than the zoo's.

    Raises AuditError, saying what to do, when anything else would be measured than what was asked for.
    """
    source, architecture, tag = resolve(name)
    entry = catalogue_entry(source, architecture)
    if not entry.supported:
        raise AuditError("unsupported-model", f"{entry.name}: {entry.reason}.")
    full = architecture + (f".{tag}" if tag else "")
    on_progress(Progress(phase="loading"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision announces that its default initialisation will change.
        own = None
        if weights.startswith("checkpoint:"):
            own = open_checkpoint(weights.removeprefix("checkpoint:"), checkpoints, on_progress)
            input_size = own.options.input_size
        options = _size_option(source, architecture, input_size)
        if weights == "pretrained":
            module, provenance = _pretrained(source, full, entry, tag, on_progress)
        else:
            module, provenance = _untrained(source, full, 0, **options)
        preprocessing = _preprocessing(source, architecture, module).changed(input_size)
        if own:
            preprocessing = preprocessing.changed(**own.options.model_dump(include={"mean", "std"}, exclude_none=True))
        # Attention that was trained moves what it sees; how outputs are laid out shows before.
        blank = _untrained(source, full, 0, **options)[0] if weights == "pretrained" else module
        depth = find_depth(blank.eval(), preprocessing.input_size)
        if own:
            if (classes := own.classes(depth.classifiers)) is not None:
                options["num_classes"] = classes
                module, _ = _untrained(source, full, 0, **options)
            own.load_into(module)
            provenance = own.weights
    return LoadedModel(
        name=f"{source}/{full}",
        source=source,
        family=entry.family,
        architecture=architecture,
        module=module.eval(),
        depth=depth,
        preprocessing=preprocessing,
        weights=provenance,
        imagenet_top1=entry.imagenet_top1 if weights == "pretrained" else None,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        initialised=lambda seed: _untrained(source, full, seed, **options)[0].eval(),
    )


def resolve(name: str) -> tuple[Source, str, str | None]:
    """(source, architecture, tag) of a name: timm/NAME[.TAG], torchvision/NAME, or bare (timm first).

    timm's default tag is filled in. The tag is None in torchvision, and in timm for an architecture without any
    published weights.
    """
    source, _, rest = name.rpartition("/")
    if source not in ("", "timm", "torchvision"):
        raise unknown_model(name)
    architecture, _, tag = rest.partition(".")
    if source in ("", "timm") and is_model(architecture):
        return "timm", *_resolve_timm(architecture, tag)
    if source in ("", "torchvision") and architecture in torchvision_models():
        if tag:
            raise unknown_model(name, f"torchvision names have no tags: ask for torchvision/{architecture}.")
        return "torchvision", architecture, None
    raise unknown_model(name)


def _pretrained(
    source: Source, full: str, entry: CatalogueEntry, tag: str | None, on_progress: Callable[[Progress], None]
) -> tuple[nn.Module, Weights]:
    if not entry.pretrained or (source == "timm" and tag not in entry.tags):
        raise no_weights(f"{source}/{full}", entry)
    if source == "timm":
        return zoo_weights.pretrained_timm(full, on_progress)
    return zoo_weights.pretrained_torchvision(full, on_progress)


def _untrained(source: Source, full: str, seed: int, **options: Any) -> tuple[nn.Module, Weights]:
    if source == "timm":
        return zoo_weights.untrained(partial(timm.create_model, full, pretrained=False, **options), seed)
    return zoo_weights.untrained(partial(torchvision.models.get_model, full, weights=None, **options), seed)


def parameters(source: Source, architecture: str) -> int:
    """How many parameters an architecture has. Takes no memory for them."""
    if source == "torchvision":
        count: int = torchvision.models.get_model_weights(architecture).DEFAULT.meta["num_params"]
        return count
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        module = timm.create_model(architecture)
    return sum(parameter.numel() for parameter in module.parameters())


def _size_option(source: Source, architecture: str, size: int | None) -> dict[str, Any]:
    """How an architecture that is built for one input size is told which: ``size``, or that of its default weights."""
    if source == "torchvision":
        own_size = torchvision_transforms(architecture).crop_size[0]
        return {"image_size": size or own_size} if architecture.startswith("vit_") else {}
    if size is None:
        return {}
    cfg = timm.get_pretrained_cfg(architecture)
    return {"img_size": size} if cfg and cfg.fixed_input_size else {}


def _resolve_timm(architecture: str, tag: str) -> tuple[str, str | None]:
    deprecated = get_deprecated_models()
    if architecture in deprecated:
        current = deprecated[architecture]
        if current is None:
            raise unknown_model(f"timm/{architecture}", "timm has removed it.")
        architecture, _, current_tag = current.partition(".")
        tag = tag or current_tag
    tags = [name.partition(".")[2] for name in get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in tags:
        published = ", ".join(published_tags(architecture)) or "none"
        why = f"timm/{architecture} has no such tag; its tags are: {published}."
        raise unknown_model(f"timm/{architecture}.{tag}", why)
    tag = tag or next(iter(tags), "")
    # "untrained" and the like stand for no weights at all where they are the default: the plain name says the same.
    return architecture, tag if tag and (tag != tags[0] or timm.is_model_pretrained(f"{architecture}.{tag}")) else None


def _preprocessing(source: Source, architecture: str, module: nn.Module) -> Preprocessing:
    if source == "torchvision":
        return torchvision_preprocessing(architecture)
    return timm_preprocessing(resolve_model_data_config(module))  # type: ignore[no-untyped-call]


def timm_preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """From timm's data configuration of a model. Raises AuditError for what no canvas can be made of."""
    if reason := unsupported_input(config):
        raise AuditError("unsupported-model", f"The model cannot be audited: {reason}.")
    height = config["input_size"][1]
    return Preprocessing(
        input_size=height,
        resize=math.floor(height / config["crop_pct"]),
        interpolation=Image.Resampling[config["interpolation"].upper()],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        squash=config["crop_mode"] == "squash",
    )


def torchvision_preprocessing(architecture: str) -> Preprocessing:
    """The evaluation preprocessing of the default weights, for untrained models too."""
    transforms = torchvision_transforms(architecture)
    return Preprocessing(
        input_size=transforms.crop_size[0],
        resize=transforms.resize_size[0],
        interpolation=Image.Resampling[transforms.interpolation.name],
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )
