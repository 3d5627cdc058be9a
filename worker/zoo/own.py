"""Audit a module of the user's own: the user, or one forward pass, supplies what a zoo knows about its models."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from zooaudit.contract import Layout, Weights

from worker.depth import find_depth
from worker.errors import AuditError, explaining, own_words
from worker.images import Preprocessing
from worker.zoo.loading import LoadedModel
from worker.zoo.weights import parameter_count, tensors_sha256

Triple = tuple[float, float, float]

ADVICE = "Correct the module, or give it another --input-size."


def load_factory(factory_path: str) -> nn.Module:
    """Call the user's function ``package.module:function`` and return the module that it returns.

    Python looks for the package in the current folder first. Raises AuditError if there is no such function,
    or if it returns no module.
    """
    package, _, name = factory_path.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        factory = getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise _unsuitable(f"{factory_path!r} is not package.module:function: {error}.") from error
    except Exception as error:  # The user's code can raise anything.
        raise _unsuitable(f"{package} cannot be imported: {own_words(error)}.") from error
    try:
        module = factory()
    except Exception as error:
        raise _unsuitable(f"{factory_path} raises {own_words(error)}.") from error
    if not isinstance(module, nn.Module):
        raise _unsuitable(f"{factory_path} gives no torch module, but {type(module).__name__!r}.")
    return module


def from_module(
    module: nn.Module,
    name: str,
    input_size: int,
    blocks: Sequence[str] = (),
    *,
    layout: Layout | None = None,
    classifier: str | None = None,
    mean: Triple = (0.485, 0.456, 0.406),
    std: Triple = (0.229, 0.224, 0.225),
) -> LoadedModel:
    """Wrap a user's own module as the model module/``name``; anything not given is inferred from one forward pass.

    ``blocks`` are the dotted paths of the modules whose outputs are measured, in the order in which they run;
    ``layout`` is the layout of all these outputs, and ``classifier`` the path of the classifier. Images are resized and
    cropped to ``input_size`` pixels and normalised by ``mean`` and ``std``. What torch.compile or a parallel wrapper is
    around is measured without it, and weights of other types as float32. Raises AuditError if the module
    does not run on such an image, or lacks one of these parts.
    """
    with explaining("unsuitable-module", "The module cannot be brought to eval mode and float32", ADVICE):
        module = _unwrapped(module).eval().float()
    _refuse_without_tensors(module)
    paths = {path for path, _ in module.named_modules()}
    if missing := [path for path in (*blocks, *([classifier] if classifier else [])) if path not in paths]:
        raise _unsuitable(
            f"The module has no part {', '.join(missing)}; it has {', '.join(sorted(paths - {''})[:20])}."
        )
    try:
        depth = find_depth(module, input_size, blocks, layout, classifier)
    except AuditError:
        raise
    except Exception as error:  # The user's code can raise anything.
        detail = f"It does not run on an image of {input_size} px ({own_words(error)}). {ADVICE}"
        raise _unsuitable(detail) from error
    return LoadedModel(
        name=f"module/{name}",
        source="module",
        family="module",
        architecture=name,
        module=module,
        depth=depth,
        preprocessing=Preprocessing(input_size, input_size, Image.Resampling.BICUBIC, mean, std),
        weights=Weights(kind="own", origin=name, sha256=tensors_sha256(module)),
        imagenet_top1=None,
        parameters=parameter_count(module),
    )


def _unwrapped(module: nn.Module) -> nn.Module:
    """Return the module without what torch.compile, DataParallel and their like have put around it, or parts of it."""
    while (inner := _inside(module)) is not module:
        module = inner
    for part in module.modules():
        part._compiled_call_impl = None  # what nn.Module.compile leaves, which would run no hooks of its own
        for name, child in part.named_children():
            if (inner := _inside(child)) is not child:
                setattr(part, name, _unwrapped(inner))
    return module


def _inside(module: nn.Module) -> nn.Module:
    if type(module).__name__ == "OptimizedModule":  # Importing torch's compiler for its class takes seconds.
        return module.get_submodule("_orig_mod")
    return module.module if isinstance(module, DataParallel | DistributedDataParallel) else module


def _refuse_without_tensors(module: nn.Module) -> None:
    """Raise AuditError for a module whose parts cannot be watched, or whose weights are no plain tensors."""
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            where = f"Its part {path}" if path else "It"
            raise _unsuitable(f"{where} is TorchScript, whose parts cannot be watched: return the nn.Module itself.")
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor) or value.is_quantized:
            raise _unsuitable(f"Its weights are quantised ({name}): return the module from before the quantisation.")
        if value.is_meta:
            raise _unsuitable(f"Its weights have no values ({name} is on the device meta): load them.")


def _unsuitable(detail: str) -> AuditError:
    return AuditError("unsuitable-module", detail)
