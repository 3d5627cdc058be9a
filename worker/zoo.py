"""From a name to a model: the module, its preprocessing, and where its weights come from."""

import difflib
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import timm
import torchvision
from PIL import Image
from timm.data.config import resolve_model_data_config
from timm.models import get_arch_pretrained_cfgs, get_deprecated_models, is_model, model_entrypoint
from torch import nn
from zooaudit.contract import CatalogueEntry, Progress, Source, Weights, problem

from worker import weights as checkpoints
from worker.errors import AuditError
from worker.images import Preprocessing

SUPPORTED = {
    "timm": frozenset({"resnet", "inception_v3", "efficientnet", "vision_transformer", "mlp_mixer"}),
    "torchvision": frozenset({"resnet", "inception", "efficientnet", "vision_transformer"}),
}
"""The families, by the module of the zoo that builds them, whose depth we know how to split."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode on the CPU, and all that a report says of it."""

    name: str
    source: Source
    family: str
    architecture: str
    module: nn.Module
    preprocessing: Preprocessing
    weights: Weights
    imagenet_top1: float | None
    parameters: int


def load(name: str, weights: str, on_progress: Callable[[Progress], None]) -> LoadedModel:
    """The model of that name with the weights asked for: "pretrained" or "untrained".

    Raises AuditError, saying what to do, when anything else would be measured than what was asked for.
    """
    source, architecture, tag = resolve(name)
    entry = _entry(source, architecture)
    if not entry.supported:
        raise AuditError(problem("unsupported-model", "Model not supported", 422, f"{entry.name}: {entry.reason}."))
    full = architecture + (f".{tag}" if tag else "")
    if weights.startswith("checkpoint:"):
        raise AuditError(
            problem(
                "unsupported-weights",
                "Checkpoints not supported",
                422,
                f'{weights}: own checkpoints are not supported yet. Ask for "pretrained" or "untrained".',
            )
        )
    on_progress(Progress(phase="loading"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision announces that its default initialisation will change.
        module, provenance = _build(source, full, entry, tag, weights, on_progress)
    return LoadedModel(
        name=f"{source}/{full}",
        source=source,
        family=entry.family,
        architecture=architecture,
        module=module.eval(),
        preprocessing=_preprocessing(source, architecture, module),
        weights=provenance,
        imagenet_top1=_top1(architecture) if source == "torchvision" and weights == "pretrained" else None,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
    )


def resolve(name: str) -> tuple[Source, str, str | None]:
    """(source, architecture, tag) of a name: timm/NAME[.TAG], torchvision/NAME, or bare (timm first).

    timm's default tag is filled in. The tag is None in torchvision, and in timm for an architecture without any
    published weights.
    """
    source, _, rest = name.rpartition("/")
    if source not in ("", "timm", "torchvision"):
        raise _unknown(name)
    architecture, _, tag = rest.partition(".")
    if source in ("", "timm") and is_model(architecture):
        return "timm", *_resolve_timm(architecture, tag)
    if source in ("", "torchvision") and architecture in _torchvision_models():
        if tag:
            raise _unknown(name, f"torchvision names have no tags: ask for torchvision/{architecture}.")
        return "torchvision", architecture, None
    raise _unknown(name)


def catalogue() -> tuple[CatalogueEntry, ...]:
    """Every architecture of timm and every classification model of torchvision. Builds no model."""
    return tuple(
        [_entry("timm", architecture) for architecture in timm.list_models()]
        + [_entry("torchvision", architecture) for architecture in _torchvision_models()]
    )


def _build(
    source: Source,
    full: str,
    entry: CatalogueEntry,
    tag: str | None,
    weights: str,
    on_progress: Callable[[Progress], None],
) -> tuple[nn.Module, Weights]:
    if weights == "untrained":
        if source == "timm":
            return checkpoints.untrained(partial(timm.create_model, full, pretrained=False))
        return checkpoints.untrained(partial(torchvision.models.get_model, full, weights=None))
    if not entry.pretrained or (source == "timm" and tag not in entry.tags):
        raise _no_weights(f"{source}/{full}", entry)
    if source == "timm":
        return checkpoints.pretrained_timm(full, on_progress)
    return checkpoints.pretrained_torchvision(full, on_progress)


def _resolve_timm(architecture: str, tag: str) -> tuple[str, str | None]:
    deprecated = get_deprecated_models()
    if architecture in deprecated:
        current = deprecated[architecture]
        if current is None:
            raise _unknown(f"timm/{architecture}", "timm has removed it.")
        architecture, _, current_tag = current.partition(".")
        tag = tag or current_tag
    tags = [name.partition(".")[2] for name in get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in tags:
        published = ", ".join(_published_tags(architecture)) or "none"
        raise _unknown(f"timm/{architecture}.{tag}", f"timm/{architecture} has no such tag; its tags are: {published}.")
    tag = tag or next(iter(tags), "")
    # "untrained" and the like stand for no weights at all where they are the default: the plain name says the same.
    return architecture, tag if tag and (tag != tags[0] or timm.is_model_pretrained(f"{architecture}.{tag}")) else None


def _entry(source: Source, architecture: str) -> CatalogueEntry:
    if source == "timm":
        family = model_entrypoint(architecture).__module__.rpartition(".")[2]
        tags = _published_tags(architecture)
        cfg = timm.get_pretrained_cfg(architecture)
        pretrained = bool(tags)
        input_size = cfg.input_size[-1] if cfg else None
    else:
        family = torchvision.models.get_model_builder(architecture).__module__.rpartition(".")[2]
        tags = ()
        pretrained = True
        input_size = _torchvision_transforms(architecture).crop_size[0]
    supported = family in SUPPORTED[source]
    return CatalogueEntry(
        name=f"{source}/{architecture}",
        source=source,
        family=family,
        architecture=architecture,
        tags=tags,
        pretrained=pretrained,
        input_size=input_size,
        supported=supported,
        reason=None if supported else f"family {family} is not supported yet",
    )


def _published_tags(architecture: str) -> tuple[str, ...]:
    """timm's tags with published weights, the default first."""
    return tuple(
        name.partition(".")[2] for name, cfg in get_arch_pretrained_cfgs(architecture).items() if cfg.has_weights
    )


def _torchvision_models() -> list[str]:
    return list(torchvision.models.list_models(module=torchvision.models))


def _torchvision_transforms(architecture: str) -> Any:
    return torchvision.models.get_model_weights(architecture).DEFAULT.transforms()


def _preprocessing(source: Source, architecture: str, module: nn.Module) -> Preprocessing:
    if source == "torchvision":
        return torchvision_preprocessing(architecture)
    return timm_preprocessing(resolve_model_data_config(module))  # type: ignore[no-untyped-call]


def timm_preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """From timm's data configuration of a model. Raises AuditError for what no canvas can be made of."""
    channels, height, width = config["input_size"]
    if channels != 3 or height != width or config["crop_mode"] not in ("center", "squash"):
        raise AuditError(
            problem(
                "unsupported-model",
                "Model not supported",
                422,
                f"Its preprocessing (input {config['input_size']}, crop mode {config['crop_mode']}) is not supported: "
                "square RGB input, with crop mode center or squash, is.",
            )
        )
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
    transforms = _torchvision_transforms(architecture)
    return Preprocessing(
        input_size=transforms.crop_size[0],
        resize=transforms.resize_size[0],
        interpolation=Image.Resampling[transforms.interpolation.name],
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )


def _top1(architecture: str) -> float | None:
    metrics = torchvision.models.get_model_weights(architecture).DEFAULT.meta.get("_metrics", {})
    value = metrics.get("ImageNet-1K", {}).get("acc@1")
    return None if value is None else float(value)


def _unknown(name: str, why: str = "") -> AuditError:
    known = [f"timm/{model}" for model in timm.list_models(include_tags=True)]
    known += [f"timm/{model}" for model in timm.list_models()]
    known += [f"torchvision/{model}" for model in _torchvision_models()]
    wanted = name if "/" in name else f"timm/{name}"
    close = tuple(difflib.get_close_matches(wanted, known, n=5, cutoff=0.6))
    did_you_mean = f" Did you mean {', '.join(close)}?" if close else ""
    return AuditError(
        problem(
            "unknown-model",
            "Unknown model",
            422,
            f"{name} is neither in timm {timm.__version__} nor in torchvision {torchvision.__version__}."
            f"{' ' + why if why else ''}{did_you_mean}",
            suggestions=close or None,
        )
    )


def _no_weights(name: str, entry: CatalogueEntry) -> AuditError:
    relatives = _relatives(entry)
    near = f" Published relatives: {', '.join(relatives)}." if relatives else ""
    return AuditError(
        problem(
            "weights-not-published",
            "No published weights",
            422,
            f'No weights are published for {name}. Ask for weights "untrained", or for another model.{near}',
            suggestions=relatives or None,
        )
    )


def _relatives(entry: CatalogueEntry) -> tuple[str, ...]:
    """Nearest names with published weights: other tags of the architecture, then names that contain or resemble it."""
    own = [f"{entry.name}.{tag}" for tag in entry.tags]
    published = [name for name in timm.list_pretrained() if name.partition(".")[0] != entry.architecture]
    containing = [name for name in published if entry.architecture in name.partition(".")[0]]
    similar = difflib.get_close_matches(entry.architecture, published, n=5, cutoff=0.5)
    return tuple(dict.fromkeys(own + [f"timm/{name}" for name in containing + similar]))[:5]
