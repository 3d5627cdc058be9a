"""What runs in one forward pass of a module, and in which order."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Call:
    """That the module at ``path`` ran, and the shapes of the tensors it gave and was given."""

    path: str
    shapes: tuple[tuple[int, ...], ...]
    entering: tuple[tuple[int, ...], ...] = ()


def run(module: nn.Module, size: int) -> list[Call]:
    """Every call of a part of ``module`` on a blank image of ``size`` pixels, in the order in which they end: a part
    after its own parts, the whole module last."""
    calls: list[Call] = []

    def note(path: str, inputs: Any, output: Any) -> None:
        calls.append(Call(path, _shapes(output), _shapes(inputs)))

    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    with torch.inference_mode(), listening(module, [path for path, _ in module.named_modules()], note):
        module(torch.zeros(1, 3, size, size, device=device))
    return calls


@contextmanager
def listening(module: nn.Module, paths: Iterable[str], hear: Callable[[str, Any, Any], None]) -> Iterator[None]:
    """Within this context ``hear(path, inputs, output)`` is called whenever the part at one of ``paths`` has run."""
    with ExitStack() as hooks:
        for path in paths:
            hook = module.get_submodule(path).register_forward_hook(
                lambda _part, inputs, output, path=path: hear(path, inputs, output)
            )
            hooks.callback(hook.remove)
        yield


def tensors(output: Any) -> list[Tensor]:
    """The tensors in what a module gave: itself, or those in its tuples, lists and dicts."""
    return [item for item in tree_leaves(output) if isinstance(item, Tensor)]


def _shapes(values: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tensor.shape) for tensor in tensors(values))
