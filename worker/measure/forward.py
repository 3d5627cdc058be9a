"""One forward pass: normalise a canvas, send a view through the model, and hand out each feature map on the way."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from worker.depth import Depth, Representation, tensors
from worker.errors import AuditError

Precision = Literal["float32", "tf32", "bfloat16"]
Receive = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class Subject:
    """A model as it is measured: ``module`` in eval mode, channels_last, on its device, with its depth.

    ``mean`` and ``std`` normalise its input, ``precision`` is that of its forward passes. Its maps are multiplied on
    ``tensor_cores`` only if these are there and as exact as float32.
    """

    module: nn.Module
    depth: Depth
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: Precision
    device: torch.device
    tensor_cores: bool = True

    def canvas(self, pixels: Tensor) -> Tensor:
        """Turn pixels (N, side, side, 3) uint8 into a normalised canvas (N, 3, side, side) on the device."""
        mean, std = self._normalisation
        return pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)

    @cached_property
    def _normalisation(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, (3, 1, 1). They go to the device once, because the host waits for that."""
        mean, std = (torch.tensor(values, device=self.device).view(3, 1, 1) for values in (self.mean, self.std))
        return mean, std

    def forward(self, view: Tensor, receive: Receive) -> Tensor:
        """Send ``view`` (N, 3, H, H) through the model and return its output, (N, K).

        Each representation calls ``receive(index, maps)``, with maps (N, h, w, K), as soon as it has been computed.
        """
        entering: list[Tensor] = []
        with forward_precision(self.precision, self.device):
            with _tapped(self.module, self.depth, receive, entering):
                returned = self.module(view.contiguous(memory_format=torch.channels_last))
            output = tensors(returned)[self.depth.output].reshape(len(view), -1)
            ends = {"Pool": torch.cat(entering, 1) if entering else output, "Final": output}
            for index, name in enumerate(self.depth.ends(), len(self.depth.blocks)):
                with full_precision():
                    receive(index, ends[name][:, None, None])
        return output


@contextmanager
def _tapped(module: nn.Module, depth: Depth, receive: Receive, entering: list[Tensor]) -> Iterator[None]:
    """Within this context, a forward pass of ``module`` calls ``receive`` for each block, and appends the input of each
    classifier, (N, K), to ``entering``."""

    def after_block(index: int, output: object) -> None:
        with full_precision():
            receive(index, depth.blocks[index].feature_map(output))

    with ExitStack() as hooks:
        for index, tap in enumerate(depth.blocks):
            block = module.get_submodule(tap.name)
            hook = block.register_forward_hook(lambda _block, _inputs, output, index=index: after_block(index, output))
            hooks.callback(hook.remove)
        for name in depth.classifiers:
            classifier = module.get_submodule(name)
            hook = classifier.register_forward_pre_hook(
                lambda _classifier, inputs: entering.append(inputs[0].flatten(1))
            )
            hooks.callback(hook.remove)
        yield


@contextmanager
def forward_precision(precision: Precision, device: torch.device) -> Iterator[None]:
    """Within this context the model computes in ``precision``. "float32" means float32, so TF32 products are off."""
    conv, matmul = torch.backends.cudnn.conv, torch.backends.cuda.matmul  # type: ignore[attr-defined]
    before = conv.fp32_precision, matmul.fp32_precision
    conv.fp32_precision = matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            yield
    finally:
        conv.fp32_precision, matmul.fp32_precision = before


@contextmanager
def full_precision() -> Iterator[None]:
    """Within this context products are full float32: the statistics run inside forward passes of any precision."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "ieee"
    try:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        matmul.fp32_precision = before


def find_representations(subject: Subject, size: int) -> tuple[Representation, ...]:
    """Send a blank image of ``size`` pixels through the model and return the record of each representation.

    Raises AuditError if the blocks do not run once each, in their order, or give no real numbers.
    """
    shapes: list[tuple[int, tuple[int, int, int]]] = []
    names = [*(tap.name for tap in subject.depth.blocks), *subject.depth.ends()]

    def note_shape(index: int, feature_map: Tensor) -> None:
        if feature_map.is_complex() or feature_map.dtype == torch.bool:
            held = "complex numbers" if feature_map.is_complex() else "truth values"
            detail = f"The output of {names[index]} holds {held}: make it return real numbers."
            raise AuditError("unsuitable-model", detail)
        _, height, width, channels = feature_map.shape
        shapes.append((index, (height, width, channels)))

    with torch.inference_mode():
        subject.forward(torch.zeros(1, 3, size, size, device=subject.device), note_shape)
    if [index for index, _ in shapes] != list(range(len(subject.depth.parts()))):
        detail = "the blocks of this model do not run once each, in the order of its layers"
        raise AuditError("unexpected-output", detail)
    return subject.depth.representations([shape for _, shape in shapes])
