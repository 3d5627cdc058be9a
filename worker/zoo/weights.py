"""Weights: made by the architecture, or published and loaded by the zoos' own code; identified by their SHA-256.

Nothing is ever loaded in part, no pickle is ever executed, and one kind never stands in for another.
"""

import hashlib
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import timm
import timm.models._hub as timm_hub
import torch
import torchvision
from safetensors import SafetensorError
from torch import nn
from zooaudit.contract import Weights

from worker.errors import AuditError
from worker.zoo.download import (
    File,
    HubFiles,
    OnProgress,
    corrupt,
    fetch_url,
    interruptible,
    not_published,
    replaced,
    unreachable,
)

# torchvision would unpickle: it loads with weights_only=False unless the environment forbids it.
os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"

_UNREADABLE = (SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError)


def untrained(build: Callable[[], nn.Module], seed: int = 0) -> tuple[nn.Module, Weights]:
    """The model as its architecture initialises it, under ``seed``, on the CPU, with the SHA-256 of its tensors."""
    torch.manual_seed(seed)
    model = build()
    return model, Weights(kind="untrained", origin=f"torch.manual_seed({seed})", sha256=tensors_sha256(model))


@interruptible()
def pretrained_timm(name: str, on_progress: OnProgress) -> tuple[nn.Module, Weights]:
    """``timm.create_model(name, pretrained=True)``; ``name`` is ``arch.tag`` and has published weights."""
    cfg: Any = timm.get_pretrained_cfg(name)
    build = partial(timm.create_model, name, pretrained=True)
    if not cfg.hf_hub_id:
        return _pretrained_url(name, cfg.url, build, on_progress)
    if not timm_hub.has_hf_hub():
        raise unreachable(cfg.hf_hub_id, ImportError("huggingface_hub cannot be imported on this worker"))
    from huggingface_hub.errors import EntryNotFoundError

    hub = HubFiles(vars(timm_hub)["hf_hub_download"], on_progress)
    try:
        with replaced(timm_hub, "hf_hub_download", hub.download):
            model = _built(build, name, hub.files)
    except EntryNotFoundError as error:
        raise not_published(f"weights in {cfg.hf_hub_id}") from error
    file = hub.files[-1]
    origin = f"hf-hub:{cfg.hf_hub_id}/{file.path.name}"
    return model, Weights(kind="pretrained", origin=origin, sha256=file.sha256)


@interruptible()
def pretrained_torchvision(name: str, on_progress: OnProgress) -> tuple[nn.Module, Weights]:
    """``torchvision.models.get_model(name, weights="DEFAULT")``."""
    published = torchvision.models.get_model_weights(name).DEFAULT
    build = partial(torchvision.models.get_model, name, weights=published)
    model, weights = _pretrained_url(name, published.url, build, on_progress)
    return model, weights.model_copy(update={"origin": f"{published}: {published.url}"})


def tensors_sha256(model: nn.Module) -> str:
    """SHA-256 (hex) of all parameters and buffers: sorted names, each with its type, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _pretrained_url(
    name: str, url: str, build: Callable[[], nn.Module], on_progress: OnProgress
) -> tuple[nn.Module, Weights]:
    """``build`` finds in torch.hub's cache the file that was fetched and checked before."""
    file = fetch_url(url, on_progress)
    return _built(build, name, [file]), Weights(kind="pretrained", origin=url, sha256=file.sha256)


def _built(build: Callable[[], nn.Module], name: str, files: Sequence[File]) -> nn.Module:
    """``build()``, a zoo's own loading code, with its ways to fail named. ``files`` is what it has read so far."""
    load_state_dict = nn.Module.load_state_dict

    def load_completely(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        result = load_state_dict(module, *args, **kwargs)
        if result.missing_keys:  # Some families load with strict=False.
            raise RuntimeError(f"missing keys: {', '.join(result.missing_keys)}")
        return result

    try:
        with replaced(nn.Module, "load_state_dict", load_completely):
            return build()
    except (AuditError, MemoryError, OSError):
        raise
    except Exception as error:
        raise _failure(name, error, files) from error


def _failure(name: str, error: Exception, files: Sequence[File]) -> Exception:
    """What ``error``, raised while the files were loaded into the model, means to the user."""
    why = " ".join(f"{type(error).__name__}: {error}".split())[:400]
    if "alloc" in why:  # Out of memory, as torch says it.
        return error
    if re.search("weights.only", why, re.IGNORECASE):
        return AuditError(
            "weights-unsafe",
            f"The checkpoint of {name} holds more than tensors, and none of it was executed ({why}). "
            "Have its publisher offer it as safetensors, or audit another model.",
        )
    if isinstance(error, _UNREADABLE) or "PytorchStreamReader" in why:
        for file in files:
            file.remove()
        return corrupt(name, why)
    return AuditError(
        "weights-mismatch",
        f"The checkpoint of {name} does not fit its architecture ({why}). Nothing was measured. Check that the hub "
        "or mirror serves the file that the zoo published, and that timm and torchvision are recent enough for it.",
    )
