"""What the zoos have: every architecture, its published weights, and the nearest names to one that is not there."""

import difflib
from collections.abc import Mapping
from typing import Any

import timm
import torchvision
from timm.models import get_arch_pretrained_cfgs, model_entrypoint
from zooaudit.contract import CatalogueEntry, Source

from worker.errors import AuditError


def catalogue() -> tuple[CatalogueEntry, ...]:
    """Every architecture of timm and every classification model of torchvision. Builds no model."""
    return tuple(
        [catalogue_entry("timm", architecture) for architecture in timm.list_models()]
        + [catalogue_entry("torchvision", architecture) for architecture in torchvision_models()]
    )


def catalogue_entry(source: Source, architecture: str) -> CatalogueEntry:
    if source == "timm":
        family = model_entrypoint(architecture).__module__.rpartition(".")[2]
        tags = published_tags(architecture)
        cfg = timm.get_pretrained_cfg(architecture)
        pretrained = bool(tags)
        default_weights = tags[0] if tags else None
        input_size = cfg.input_size[-1] if cfg else None
        reason = unsupported_input(vars(cfg)) if cfg else None
        parameters = imagenet_top1 = None
    else:
        family = torchvision.models.get_model_builder(architecture).__module__.rpartition(".")[2]
        tags = ()
        pretrained = True
        default_weights = torchvision.models.get_model_weights(architecture).DEFAULT.name
        input_size = torchvision_transforms(architecture).crop_size[0]
        reason = None
        meta = torchvision.models.get_model_weights(architecture).DEFAULT.meta
        parameters, imagenet_top1 = meta["num_params"], meta["_metrics"].get("ImageNet-1K", {}).get("acc@1")
    return CatalogueEntry(
        name=f"{source}/{architecture}",
        source=source,
        family=family,
        architecture=architecture,
        tags=tags,
        pretrained=pretrained,
        default_weights=default_weights,
        input_size=input_size,
        parameters=parameters,
        imagenet_top1=imagenet_top1,
        supported=reason is None,
        reason=reason,
    )


def unsupported_input(config: Mapping[str, Any]) -> str | None:
    """Why no canvas can be made for a model with this data configuration of timm's, or None."""
    channels, height, width = config["input_size"]
    if channels != 3:
        return f"its input has {channels} channels: RGB images have 3"
    if height != width:
        return f"it needs a non-square input, {height} x {width} pixels"
    if config["crop_mode"] not in ("center", "squash"):
        return f"its preprocessing has the crop mode {config['crop_mode']}; center and squash are supported"
    return None


def published_tags(architecture: str) -> tuple[str, ...]:
    """timm's tags with published weights, the default first."""
    return tuple(
        name.partition(".")[2] for name, cfg in get_arch_pretrained_cfgs(architecture).items() if cfg.has_weights
    )


def torchvision_models() -> list[str]:
    return list(torchvision.models.list_models(module=torchvision.models))


def torchvision_transforms(architecture: str) -> Any:
    return torchvision.models.get_model_weights(architecture).DEFAULT.transforms()


def unknown_model(name: str, why: str = "") -> AuditError:
    known = [f"timm/{model}" for model in timm.list_models(include_tags=True)]
    known += [f"timm/{model}" for model in timm.list_models()]
    known += [f"torchvision/{model}" for model in torchvision_models()]
    wanted = name if "/" in name else f"timm/{name}"
    close = tuple(difflib.get_close_matches(wanted, known, n=5, cutoff=0.6))
    did_you_mean = f" Did you mean {', '.join(close)}?" if close else ""
    return AuditError(
        "unknown-model",
        f"{name} is neither in timm {timm.__version__} nor in torchvision {torchvision.__version__}."
        f"{' ' + why if why else ''}{did_you_mean}",
        suggestions=close or None,
    )


def no_weights(name: str, entry: CatalogueEntry) -> AuditError:
    relatives = _relatives(entry)
    near = f" Published relatives: {', '.join(relatives)}." if relatives else ""
    return AuditError(
        "weights-not-published",
        f'No weights are published for {name}. Ask for weights "untrained", or for another model.{near}',
        suggestions=relatives or None,
    )


def _relatives(entry: CatalogueEntry) -> tuple[str, ...]:
    """Nearest names with published weights: other tags of the architecture, then names that contain or resemble it."""
    own = [f"{entry.name}.{tag}" for tag in entry.tags]
    published = [name for name in timm.list_pretrained() if name.partition(".")[0] != entry.architecture]
    containing = [name for name in published if entry.architecture in name.partition(".")[0]]
    similar = difflib.get_close_matches(entry.architecture, published, n=5, cutoff=0.5)
    return tuple(dict.fromkeys(own + [f"timm/{name}" for name in containing + similar]))[:5]
