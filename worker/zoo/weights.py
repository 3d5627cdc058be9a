"""Let a zoo's own code load its published weights: completely or not at all, and without ever executing a pickle."""

import hashlib
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from zooaudit.contract import Weights

from worker.errors import FAULTS, AuditError
from worker.zoo.download import CachedFile, OnProgress, corrupt, fetch_url, replaced

# torchvision would unpickle: it loads with weights_only=False unless the environment forbids it.
os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"

_UNREADABLE = (SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError)


def build_from_url(
    build: Callable[[], nn.Module], name: str, url: str, on_progress: OnProgress
) -> tuple[nn.Module, Weights]:
    """Fetch and check the file of ``url``, then call ``build``, which finds it in torch.hub's cache."""
    file = fetch_url(url, on_progress)
    return build_completely(build, name, [file]), Weights(kind="pretrained", origin=url, sha256=file.sha256)


def build_completely(build: Callable[[], nn.Module], name: str, files: Sequence[CachedFile]) -> nn.Module:
    """Call ``build``, a zoo's own loading code, and refuse a model of which any weights are missing.

    ``files`` are those that ``build`` has read so far; if one cannot be read, they are removed from the cache.
    """
    load_state_dict = nn.Module.load_state_dict

    def load_completely(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        result = load_state_dict(module, *args, **kwargs)
        if result.missing_keys:  # Some families load with strict=False.
            raise RuntimeError(f"missing keys: {', '.join(result.missing_keys)}")
        return result

    try:
        with replaced(nn.Module, "load_state_dict", load_completely):
            return build()
    except (*FAULTS, *_UNREADABLE) as error:
        raise _explained(error, name, files) from error


def tensors_sha256(module: nn.Module) -> str:
    """Return the SHA-256 (hex) of all parameters and buffers: sorted names, each with its type, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _explained(error: Exception, name: str, files: Sequence[CachedFile]) -> Exception:
    """Turn the ``error`` that loading the files into a model raised into one that the user can act on."""
    why = " ".join(f"{type(error).__name__}: {error}".split())[:400]
    if "alloc" in why:  # This is how torch says that memory ran out.
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
