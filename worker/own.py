"""A module of the user's own as a model: what the zoos know of theirs is said, or found by running it once."""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from zooaudit.contract import Layout, Weights, problem

from worker.blocks import Depth, Tap
from worker.canvas import Preprocessing
from worker.errors import AuditError
from worker.weights import tensors_sha256
from worker.zoo import LoadedModel

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
    layout: Layout = "NCHW",
    classifier: str | None = None,
    mean: Triple = (0.485, 0.456, 0.406),
    std: Triple = (0.229, 0.224, 0.225),
) -> LoadedModel:
    """``module`` as a model called module/``name``.

    ``blocks`` are the dotted paths of the modules whose outputs are measured, in the order in which they run, all of
    them ``layout`` ("NCHW" or "NHWC"); without any they are found: see :func:`find_blocks`. ``classifier`` is by
    default the linear layer that runs last. Images are resized and cropped to ``input_size``, and normalised.
    AuditError when the module does not run on such an image, or has no such parts.
    """
    module.eval()
    calls = _run(module, input_size)
    paths = {path for path, _ in module.named_modules()}
    if missing := [path for path in (*blocks, *([classifier] if classifier else [])) if path not in paths]:
        raise _wrong(f"The module has no part {', '.join(missing)}; it has {', '.join(sorted(paths - {''})[:20])}.")
    linear = [call.path for call in calls if isinstance(module.get_submodule(call.path), nn.Linear)]
    head = classifier or next(reversed(linear), None)
    order = [call.path for call in calls]
    if head not in order:
        raise _wrong("No linear layer runs that could be the classifier: say which module is.")
    found = list(blocks) or find_blocks(module, calls, before=order.index(head))
    if not found:
        raise _wrong("No blocks were found that run once and give a map of several cells: say which modules they are.")
    leaves = [path for path in order[: order.index(head)] if path and not list(module.get_submodule(path).children())]
    return LoadedModel(
        name=f"module/{name}",
        source="module",
        family="module",
        architecture=name,
        module=module,
        depth=Depth(tuple(Tap(path, layout) for path in found), (leaves or [head])[-1], head),
        preprocessing=Preprocessing(input_size, input_size, Image.Resampling.BICUBIC, mean, std),
        weights=Weights(kind="checkpoint", origin=name, sha256=tensors_sha256(module)),
        imagenet_top1=None,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
    )


@dataclass(frozen=True)
class Call:
    """That the module at ``path`` ran, and the shape of its output, if that is a tensor."""

    path: str
    shape: tuple[int, ...]


def find_blocks(module: nn.Module, calls: Sequence[Call], before: int) -> list[str]:
    """The blocks among the first ``before`` calls: the children of ``module``, with containers opened, that run once
    and give a map of more than one cell. Of torch's own layers a convolution and what follows it, up to the next one,
    are one block."""
    ran = [call.path for call in calls]
    maps = [
        call.path
        for call in calls[:before]
        if len(call.shape) == 4 and call.shape[2] * call.shape[3] > 1 and ran.count(call.path) == 1
    ]
    units = set(_units(module, ""))
    blocks: list[str] = []
    previous: nn.Module | None = None
    for path in (path for path in maps if path in units):
        part = module.get_submodule(path)
        if blocks and _is_layer(previous) and _is_layer(part) and not isinstance(part, nn.Conv2d):
            blocks[-1] = path
        else:
            blocks.append(path)
        previous = part
    return blocks


def _units(module: nn.Module, prefix: str) -> list[str]:
    found = []
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            found += _units(child, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found


def _is_layer(module: nn.Module | None) -> bool:
    return type(module).__module__.startswith("torch.nn.")


def _run(module: nn.Module, input_size: int) -> list[Call]:
    calls: list[Call] = []

    def note(path: str, output: Any) -> None:
        calls.append(Call(path, tuple(output.shape) if isinstance(output, Tensor) else ()))

    hooks = [
        part.register_forward_hook(lambda _part, _inputs, output, path=path: note(path, output))
        for path, part in module.named_modules()
    ]
    try:
        with torch.inference_mode():
            module(torch.zeros(1, 3, input_size, input_size))
    except Exception as error:  # The user's code can raise anything.
        raise _wrong(f"It does not run on an image of {input_size} px: {type(error).__name__}: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _wrong(detail: str) -> AuditError:
    return AuditError(problem("unsuitable-module", "This module cannot be audited", 422, detail))
