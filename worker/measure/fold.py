"""Folding batch norms into the convolutions before them, which spares a pass over every feature map.

In eval mode a batch norm is an affine map of each channel, so a convolution followed by it is a convolution again::

    norm(W * x + c) = (g W) * x + (c - mean) g + beta        with g = gamma / sqrt(variance + eps)
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


class Trace(TorchFunctionMode):
    """Within this context, note which tensors each convolution and each batch norm takes; afterwards :meth:`fold`."""

    def __init__(self) -> None:
        super().__init__()
        self._alive: list[Any] = []  # An id names one tensor only as long as that tensor lives.
        self._uses: Counter[int] = Counter()
        self._weights: dict[int, Tensor] = {}
        self._norms: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(
        self, function: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] = {}
    ) -> Any:
        output = function(*args, **kwargs)
        if _tensors(output):  # Asking for a shape is no use of a tensor.
            self._alive.append((args, kwargs, output))
            self._uses.update(map(id, _tensors((args, kwargs))))
        if function is torch.conv2d:
            self._weights[id(output)] = args[1]
        elif function is functional.batch_norm and not kwargs.get("training"):
            # With the statistics of a batch it is no affine map.
            self._norms.append((args[0], args[1]))
        return output

    def fold(self, module: nn.Module) -> int:
        """Fold, in place, every batch norm of ``module`` whose input nothing else uses; return how many were folded."""
        # Spectral norm and pruning compute a weight anew in each pass; only one that is a parameter can be folded into.
        convolutions = {
            id(item.weight): item
            for item in module.modules()
            if isinstance(item, nn.Conv2d) and isinstance(item.weight, nn.Parameter)
        }
        norms = {
            id(item.running_mean): (name, item)
            for name, item in module.named_modules()
            if type(item) in FOLDED and item.running_mean is not None
        }
        folded = 0
        for taken, running_mean in self._norms:
            weight = self._weights.get(id(taken))
            convolution, (name, norm) = convolutions.get(id(weight)), norms.get(id(running_mean), ("", None))
            if convolution is None or norm is None:
                continue
            if any(self._uses[id(tensor)] > 1 for tensor in (taken, weight, running_mean)):
                continue
            _fold_into(convolution, norm)
            module.set_submodule(name, FOLDED[type(norm)](norm))
            folded += 1
        return folded


FOLDED: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    nn.BatchNorm2d: lambda _norm: nn.Identity(),
    BatchNormAct2d: lambda norm: nn.Sequential(norm.drop, norm.act),
}
"""What remains of each class of batch norm."""


def _tensors(tree: Any) -> list[Tensor]:
    return [item for item in tree_leaves(tree) if isinstance(item, Tensor)]


def _fold_into(convolution: nn.Conv2d, norm: Any) -> None:
    weight, bias = fuse_conv_bn_weights(
        convolution.weight.double(),
        None if convolution.bias is None else convolution.bias.double(),
        norm.running_mean.double(),
        norm.running_var.double(),
        norm.eps,
        None if norm.weight is None else norm.weight.double(),
        None if norm.bias is None else norm.bias.double(),
    )
    convolution.weight = nn.Parameter(weight.float(), requires_grad=False)
    convolution.bias = nn.Parameter(bias.float(), requires_grad=False)
