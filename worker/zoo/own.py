"""A module of the user's own as a model: what the zoos know of theirs is said, or found by running it once."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import nn
from zooaudit.contract import Layout, Weights

from worker.depth import find_depth
from worker.errors import AuditError
from worker.images.canvas import Preprocessing
from worker.zoo.loading import LoadedModel
from worker.zoo.weights import tensors_sha256

Triple = tuple[float, float, float]


def load_factory(where: str) -> nn.Module:
    """What the function ``package.module:function`` returns. It is the user's code and runs as such; the current folder
    is searched first. AuditError when there is none, or it gives no module."""
    package, _, name = where.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        factory = getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise _wrong(f"{where!r} is not package.module:function: {error}.") from error
    module = factory()
    if not isinstance(module, nn.Module):
        raise _wrong(f"{where} gives no torch module, but {type(module).__name__!r}.")
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
    """``module`` as a model called module/``name``.

    ``blocks`` are the dotted paths of the modules whose outputs are measured, in the order in which they run, all of
    them ``layout`` ("NCHW" or "NHWC"); what is not said is found: see :func:`worker.depth.depth.find_depth`. Images are
    resized and cropped to ``input_size``, and normalised. AuditError when the module does not run on such an image, or
    has no such parts.
    """
    module.eval()
    paths = {path for path, _ in module.named_modules()}
    if missing := [path for path in (*blocks, *([classifier] if classifier else [])) if path not in paths]:
        raise _wrong(f"The module has no part {', '.join(missing)}; it has {', '.join(sorted(paths - {''})[:20])}.")
    try:
        depth = find_depth(module, input_size, blocks, layout, classifier)
    except AuditError:
        raise
    except Exception as error:  # The user's code can raise anything.
        raise _wrong(f"It does not run on an image of {input_size} px: {type(error).__name__}: {error}") from error
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
        parameters=sum(parameter.numel() for parameter in module.parameters()),
    )


def _wrong(detail: str) -> AuditError:
    return AuditError("unsuitable-module", detail)
