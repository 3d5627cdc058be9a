"""Audit a module of the user's own: the user, or one forward pass, supplies what a zoo knows about its models."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import nn
from zooaudit.contract import Layout, Weights

from worker.depth import find_depth
from worker.errors import AuditError
from worker.images import Preprocessing
from worker.zoo.loading import LoadedModel
from worker.zoo.weights import parameter_count, tensors_sha256

Triple = tuple[float, float, float]


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
    module = factory()
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
    cropped to ``input_size`` pixels and normalised by ``mean`` and ``std``. Raises AuditError if the module does
    not run on such an image, or lacks one of these parts.
    """
    module.eval()
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
        raise _unsuitable(f"It does not run on an image of {input_size} px: {type(error).__name__}: {error}") from error
    return LoadedModel(
        name=f"module/{name}",
        source="module",
        family="module",
        architecture=name,
        module=module,
        depth=depth,
        preprocessing=Preprocessing(input_size, input_size, Image.Resampling.BICUBIC, mean, std),
        weights=Weights(kind="checkpoint", origin=name, sha256=tensors_sha256(module)),
        imagenet_top1=None,
        parameters=parameter_count(module),
    )


def _unsuitable(detail: str) -> AuditError:
    return AuditError("unsuitable-module", detail)
