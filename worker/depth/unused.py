"""Which entries of a module's state dict its output in eval mode does not depend on, such as an auxiliary head's."""

import torch
from torch import nn

from worker.depth.hooks import tensors


def unused_entries(module: nn.Module, size: int) -> set[str]:
    """Find the entries that an image of ``size`` pixels never uses: parameters to which no gradient comes from the
    output, and the buffers of modules that have such parameters only.
    """
    module.train().eval()  # LeViT and others thus forget what they have computed in inference mode
    with torch.enable_grad():
        outputs = tensors(module(torch.zeros(1, 3, size, size)))
        torch.stack([output.sum() for output in outputs]).sum().backward()  # type: ignore[no-untyped-call]
    unused = {name for name, parameter in module.named_parameters() if parameter.grad is None}
    module.zero_grad()
    for path, part in module.named_modules():
        prefix = f"{path}." if path else ""
        names = [prefix + name for name, _ in part.named_parameters()]
        if names and unused.issuperset(names):
            unused |= {prefix + name for name, _ in part.named_buffers()}
    return unused
