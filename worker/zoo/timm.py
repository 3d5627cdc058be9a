"""timm's models. ``import timm`` is the library: this module's own name is worker.zoo.timm."""

import math
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import timm
import timm.models._hub as timm_hub
import torch
from PIL import Image
from timm.data.config import resolve_model_data_config
from timm.models import get_arch_pretrained_cfgs, get_deprecated_models, is_model, model_entrypoint
from timm.models._pretrained import PretrainedCfg
from torch import nn
from zooaudit.contract import CatalogueEntry, Code, ModelName, Weights, close_names

from worker.errors import AuditError
from worker.images import Preprocessing
from worker.zoo.download import HubFiles, OnProgress, not_published, replaced, reraising_progress_errors, unreachable
from worker.zoo.weights import build_completely, build_from_url, parameter_count

VERSION = timm.__version__


def names() -> list[str]:
    return list(timm.list_models())


def resolve(asked: ModelName) -> ModelName | None:
    """Return the full name of the model that ``asked`` means; None if timm has no such architecture.

    Fills in the default tag, unless it names no weights, as "untrained" does, and replaces deprecated names by present
    ones.
    """
    architecture, tag = asked.architecture, asked.tag
    if not is_model(architecture):
        return None
    deprecated = get_deprecated_models()
    if architecture in deprecated:
        present = deprecated[architecture]
        if present is None:
            raise _unknown(asked, "timm has removed it", *map(entry, names()))
        _, architecture, present_tag = ModelName.parse(present)
        tag = tag or present_tag
    tags = [ModelName.parse(name).tag for name in get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in tags:
        published = ", ".join(_published_tags(architecture)) or "none"
        why = f"timm/{architecture} has no such tag; its tags are: {published}"
        raise _unknown(ModelName("timm", architecture, tag), why, entry(architecture))
    default = tags[0] if tags else None
    name = ModelName("timm", architecture, tag or default)
    means_no_weights = name.tag == default and not timm.is_model_pretrained(name.in_zoo)
    return name._replace(tag=None) if means_no_weights else name


def entry(architecture: str) -> CatalogueEntry:
    tags = _published_tags(architecture)
    config = _config(architecture)
    reason = unsupported(vars(config))
    return CatalogueEntry(
        name=str(ModelName("timm", architecture)),
        source="timm",
        family=model_entrypoint(architecture).__module__.rpartition(".")[2],
        architecture=architecture,
        tags=tags,
        pretrained=bool(tags),
        default_weights=tags[0] if tags else None,
        input_size=config.input_size[-1],
        supported=reason is None,
        reason=reason,
    )


def preprocessing(_name: ModelName, module: nn.Module) -> Preprocessing:
    # timm builds some names as another variant (vitamin_xlarge_336), and that variant's configuration counts.
    return preprocessing_of(resolve_model_data_config(module))  # type: ignore[no-untyped-call]


def preprocessing_of(config: Mapping[str, Any]) -> Preprocessing:
    """Read timm's data configuration of a model. Raises AuditError if no canvas can be made according to it."""
    if reason := unsupported(config):
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


def build(name: ModelName, input_size: int | None = None, num_classes: int | None = None) -> nn.Module:
    options = {**_size_option(name.architecture, input_size), "num_classes": num_classes}
    return timm.create_model(name.in_zoo, pretrained=False, **options)


def _size_option(architecture: str, input_size: int | None) -> dict[str, Any]:
    if input_size and _config(architecture).fixed_input_size:
        return {"img_size": input_size}
    return {}


@reraising_progress_errors()
def fetch(name: ModelName, on_progress: OnProgress) -> tuple[nn.Module, Weights]:
    config = _config(name.in_zoo)
    build = partial(timm.create_model, name.in_zoo, pretrained=True)
    hub_id = config.hf_hub_id
    if not hub_id:
        return build_from_url(build, name.in_zoo, str(config.url), on_progress)
    if not timm_hub.has_hf_hub():
        raise unreachable(hub_id, ImportError("huggingface_hub cannot be imported on this worker"))
    from huggingface_hub.errors import EntryNotFoundError

    hub = HubFiles(vars(timm_hub)["hf_hub_download"], on_progress)
    try:
        with replaced(timm_hub, "hf_hub_download", hub.download):
            module = build_completely(build, name.in_zoo, hub.files)
    except EntryNotFoundError as error:
        raise not_published(f"weights in {hub_id}") from error
    file = hub.files[-1]
    return module, Weights(kind="pretrained", origin=f"hf-hub:{hub_id}/{file.path.name}", sha256=file.sha256)


def code(_name: ModelName, _module: nn.Module) -> Code | None:
    return None


def parameters(architecture: str) -> int:
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        return parameter_count(timm.create_model(architecture))


def _config(name: str) -> PretrainedCfg:
    return timm.get_pretrained_cfg(name) or PretrainedCfg()


def _published_tags(architecture: str) -> tuple[str, ...]:
    """List the tags with published weights, the default first."""
    configs = get_arch_pretrained_cfgs(architecture)
    return tuple(ModelName.parse(name).tag or "" for name, config in configs.items() if config.has_weights)


def unsupported(config: Mapping[str, Any]) -> str | None:
    """Say why no canvas can be made for a model with this data configuration; None if it can."""
    channels, height, width = config["input_size"]
    if channels != 3:
        return f"its input has {channels} channels: RGB images have 3"
    if height != width:
        return f"it needs a non-square input, {height} x {width} pixels"
    if config["crop_mode"] not in ("center", "squash"):
        return f"its preprocessing has the crop mode {config['crop_mode']}; center and squash are supported"
    return None


def _unknown(name: ModelName, why: str, *candidates: CatalogueEntry) -> AuditError:
    suggestions = close_names(str(name), candidates)
    return AuditError("unknown-model", f"{name}: {why}.", suggestions=suggestions or None)
