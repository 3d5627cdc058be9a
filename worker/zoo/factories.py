"""From somebody's own function, ``package.module:function``, to the plain module that it makes.

The function comes from whoever runs this machine, never from a request.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from worker.errors import AuditError, interrupts, own_words


def load_factory(factory_path: str, **arguments: object) -> nn.Module:
    """Call the user's function ``package.module:function`` and return the module that it returns.

    Of the ``arguments`` it gets those that it names and that are not None. Python looks for the package in the current
    folder first. Raises AuditError if there is no such function, or if it returns no module.
    """
    factory = find_factory(factory_path)
    try:
        module = factory(
            **{name: value for name, value in arguments.items() if value is not None and _takes(factory, name)}
        )
    except (Exception, SystemExit) as error:  # The user's code can raise anything.
        if interrupts(error):
            raise
        raise unsuitable(f"{factory_path} raises {own_words(error)}.") from error
    if not isinstance(module, nn.Module):
        raise unsuitable(f"{factory_path} gives no torch module, but {type(module).__name__!r}.")
    return module


def find_factory(factory_path: str) -> Callable[..., object]:
    """Import the function ``package.module:function``. Raises AuditError if that is not possible."""
    package, _, name = factory_path.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        # What is made at import has numbers, even if the module is to have none, and takes none from the module's seed.
        with torch.device("cpu"), torch.random.fork_rng(devices=()):
            factory: Callable[..., object] = getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError, ValueError) as error:
        where = " Python looks in the current folder and in PYTHONPATH." if isinstance(error, ImportError) else ""
        raise unsuitable(f"{factory_path!r} is not package.module:function: {own_words(error)}.{where}") from error
    except (Exception, SystemExit) as error:
        if interrupts(error):
            raise
        raise unsuitable(f"{package} cannot be imported: {own_words(error)}.") from error
    return factory


def _takes(factory: Callable[..., object], name: str) -> bool:
    try:
        parameter = inspect.signature(factory).parameters.get(name)
    except (TypeError, ValueError):  # some callables that are written in C have none
        return False
    return parameter is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


def plain(module: nn.Module) -> nn.Module:
    """Return the module in eval mode and float32, without what torch.compile, DataParallel and their like have put
    around it, or around parts of it."""
    return _unwrapped(module).eval().float()


def _unwrapped(module: nn.Module) -> nn.Module:
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


def refuse_without_tensors(module: nn.Module) -> None:
    """Raise AuditError for a module whose parts cannot be watched, or whose weights are no plain tensors on the CPU."""
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            where = f"Its part {path}" if path else "It"
            raise unsuitable(f"{where} is TorchScript, whose parts cannot be watched: return the nn.Module itself.")
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor) or value.is_quantized:
            raise unsuitable(f"Its weights are quantised ({name}): return the module from before the quantisation.")
        if value.is_meta:
            raise unsuitable(f"Its weights have no values ({name} is on the device meta): load them.")
        if value.device.type != "cpu":
            raise unsuitable(f"Its weights are on {value.device} ({name}): return the module on the CPU.")


def unsuitable(detail: str) -> AuditError:
    return AuditError("unsuitable-module", detail)
