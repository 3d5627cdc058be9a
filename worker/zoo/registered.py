"""The operator's own architectures, ``own/NAME``: modules that functions make which the setting ZOOAUDIT_MODELS names.

A request names NAME only, and what it means was registered before. The code is imported in the processes that need a
model, never in a worker itself: code that hangs, dies or starts threads then harms one of these processes alone.
"""

import hashlib
import logging
import sys
import warnings
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from timm.data.config import resolve_data_config
from torch import nn
from zooaudit.contract import CatalogueEntry, Code, ModelName, close_names

from worker.children import ChildDied, ChildTimedOut, in_child
from worker.errors import AuditError, explaining
from worker.images import Preprocessing
from worker.zoo.download import OnProgress
from worker.zoo.factories import find_factory, load_factory, plain, refuse_without_tensors, unsuitable
from worker.zoo.timm import preprocessing_of, unsupported
from worker.zoo.weights import parameter_count, tensors_sha256

log = logging.getLogger("zooaudit.worker")

VERSION = ""
BUILD_LIMIT_S = 60.0
"""How long it may take to import the code of an architecture and to build it three times."""
SIZE_ARGUMENTS = ("input_size", "img_size", "image_size")
"""What a function calls the side of its input, in pixels."""
MIN_SIZE, MAX_SIZE = 16, 4096
MAX_NAMED = 20
LIBRARIES = ("builtins", "torch", "torchvision", "timm")
"""What is not the operator's code. A report states the versions of these."""
ADVICE = "Correct the function that makes it."

_functions: dict[str, str] = {}


def register(functions: Mapping[str, str]) -> None:
    """Make these the operator's architectures: ``functions`` maps each name to its ``package.module:function``."""
    _functions.clear()
    _functions.update(functions)
    entry.cache_clear()


def names() -> list[str]:
    return list(_functions)


def resolve(asked: ModelName) -> ModelName | None:
    if asked.architecture in _functions:
        name = ModelName("own", asked.architecture)
        if asked.tag:
            detail = f"{name}.{asked.tag}: the operator's own architectures have no tags: ask for {name}."
            raise AuditError("unknown-model", detail, suggestions=(str(name),))
        return name
    if asked.source == "own":
        there = ", ".join([f"own/{name}" for name in _functions][:MAX_NAMED]) or "none"
        detail = (
            f"This worker has no {asked}; of the operator's own architectures it has: {there}. They are those of "
            "ZOOAUDIT_MODELS, which must be the same for all workers."
        )
        raise AuditError("unknown-model", detail, suggestions=close_names(str(asked), map(entry, names())) or None)
    return None


@cache
def entry(architecture: str) -> CatalogueEntry:
    """Build the architecture in a process of its own, and return what that has shown, or why it failed."""
    try:
        return CatalogueEntry.model_validate_json(in_child(partial(_entry_json, architecture), BUILD_LIMIT_S))
    except ChildTimedOut as error:
        return _entry(architecture, reason=f"building it {error}")
    except ChildDied as error:
        return _entry(architecture, reason=f"the process that built it {error}")


def _entry_json(architecture: str) -> str:
    torch.set_num_threads(1)  # a fork does not have the threads that torch may have started before
    warnings.simplefilter("ignore")
    name = ModelName("own", architecture)
    try:
        with explaining("unsuitable-module", "It cannot be built and brought to float32", ADVICE, Exception):
            module, other, again = (_drawn(name, seed) for seed in (0, 1, 0))
            refuse_without_tensors(module)
            _refuse_undrawn(module, other)
            if tensors_sha256(module) != tensors_sha256(again):
                raise unsuitable("Its function draws other weights under the same seed: let it draw them by torch.")
        size = preprocessing(name, module).input_size
        found = _entry(architecture, input_size=size, parameters=parameter_count(module), code=code(name, module))
    except AuditError as error:
        log.info("%s: %s", name, error.problem.detail, exc_info=error.__cause__)
        found = _entry(architecture, reason=error.problem.detail.removesuffix("."))
    return found.model_dump_json()


def _entry(architecture: str, reason: str | None = None, **known: Any) -> CatalogueEntry:
    return CatalogueEntry(
        name=str(ModelName("own", architecture)),
        source="own",
        family="own",
        architecture=architecture,
        tags=(),
        pretrained=False,
        **{"input_size": None, **known},
        supported=reason is None,
        reason=reason,
    )


def _drawn(name: ModelName, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build(name)


def _refuse_undrawn(module: nn.Module, other: nn.Module) -> None:
    """Raise AuditError unless the two modules, built under two seeds, have weights of their own, drawn by chance.

    Others would be called untrained, and may be trained. Constants, such as the weights of a norm, say nothing.
    """
    pairs = [pair for pair in zip(module.parameters(), other.parameters(), strict=True) if pair[0].numel()]
    if any(one is another for one, another in pairs):
        raise unsuitable("Its function gives the same weights at each call: let it make a new module.")
    varied = [(one, another) for one, another in pairs if one.min() < one.max()]
    fixed = sum(one.numel() for one, another in varied if torch.equal(one, another))
    if 2 * fixed > sum(one.numel() for one, _ in varied):
        raise unsuitable(
            "Its function gives the same numbers under every seed, as if it loaded trained weights or set the seed: "
            "let it draw its weights, and offer trained ones as checkpoint:NAME."
        )


def preprocessing(_name: ModelName, module: nn.Module) -> Preprocessing:
    """Read the module's ``pretrained_cfg`` or ``default_cfg``, as timm's modules have one.

    Where it says nothing, timm's defaults hold: 224 pixels of an image of 256, and ImageNet's mean and deviation.
    """
    declared = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None) or {}
    with explaining("unsuitable-module", "Its pretrained_cfg cannot be read", ADVICE, Exception):
        config = resolve_data_config({"in_chans": 3}, declared)  # type: ignore[no-untyped-call]
        found = None if (reason := unsupported(config)) else preprocessing_of(config)
    if found is None:
        raise AuditError("unsupported-model", f"By its pretrained_cfg {reason}.")
    triples = all(len(values) == 3 for values in (found.mean, found.std))
    if not (triples and min(found.std) > 0 and MIN_SIZE <= found.input_size <= found.resize <= MAX_SIZE):
        raise unsuitable(
            f"Its pretrained_cfg has a wrong value: it needs an input_size of {MIN_SIZE} to {MAX_SIZE} px, a crop_pct "
            "of at most 1, and three numbers each for mean and std, those of std above 0."
        )
    return found


def build(name: ModelName, input_size: int | None = None, num_classes: int | None = None) -> nn.Module:
    sizes = dict.fromkeys(SIZE_ARGUMENTS, input_size)
    return plain(load_factory(_functions[name.architecture], num_classes=num_classes, **sizes))


def fetch(name: ModelName, _on_progress: OnProgress) -> NoReturn:
    raise AuditError("weights-not-published", f"Nobody publishes weights of {name}.")


def code(name: ModelName, module: nn.Module) -> Code:
    """Return the function that built ``module``, and the hash of the files that define it and the parts' classes.

    What else these files import is not hashed.
    """
    function = _functions[name.architecture]
    classes = {base for part in module.modules() for base in type(part).__mro__}
    defining = {one.__module__ for one in (find_factory(function), *classes) if hasattr(one, "__module__")}
    digest = hashlib.sha256()
    for defined in sorted({function.partition(":")[0], *defining}):
        if defined.partition(".")[0] not in LIBRARIES:
            file = getattr(sys.modules.get(defined), "__file__", None)
            digest.update(f"{defined}\n".encode() + (Path(file).read_bytes() if file else b""))
    return Code(function=function, sha256=digest.hexdigest())


def parameters(architecture: str) -> int:
    found = entry(architecture)
    if found.parameters is None:
        raise AuditError("unsupported-model", f"{found.name}: {found.reason}.")
    return found.parameters
