"""Hooks on the submodules of a module: which of them run in one forward pass, in which order, with which shapes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Call:
    """One run of the module at ``path``: the ``shapes`` of the tensors that it returned, and of those ``entering``."""

    path: str
    shapes: tuple[tuple[int, ...], ...]
    entering: tuple[tuple[int, ...], ...] = ()


def record_calls(module: nn.Module, size: int) -> list[Call]:
    """Run ``module`` on a blank image of ``size`` pixels and return the calls of its submodules in the order in which
    they end: a module after those inside it, the whole last."""
    calls: list[Call] = []

    def note(path: str, inputs: Any, output: Any) -> None:
        calls.append(Call(path, _shapes(output), _shapes(inputs)))

    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    with torch.inference_mode(), listening(module, [path for path, _ in module.named_modules()], note):
        module(torch.zeros(1, 3, size, size, device=device))
    return calls


@contextmanager
def listening(module: nn.Module, paths: Iterable[str], hear: Callable[[str, Any, Any], None]) -> Iterator[None]:
    """Within this context, call ``hear(path, inputs, output)`` whenever the submodule at one of ``paths`` has run."""
    with ExitStack() as hooks:
        for path in paths:
            hook = module.get_submodule(path).register_forward_hook(
                lambda _part, inputs, output, path=path: hear(path, inputs, output)
            )
            hooks.callback(hook.remove)
        yield


def tensors(output: Any) -> list[Tensor]:
    """Return the tensors in a module's output: the output itself, or those in its tuples, lists, dicts and data
    classes, such as the outputs of Hugging Face's models."""
    match output:
        case Tensor():
            return [output]
        case Mapping():
            items = list(output.values())
        case tuple() | list():
            items = list(output)
        case _ if is_dataclass(output) and not isinstance(output, type):
            items = list(vars(output).values())
        case _:
            items = []
    return [tensor for item in items for tensor in tensors(item)]


def _shapes(values: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tensor.shape) for tensor in tensors(values))
