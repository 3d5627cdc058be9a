"""Where a model's depth is measured: the dotted paths of its blocks, in the order in which they run.

A block is a whole unit as the next layer sees it: convolution, norm and non-linearity; residual block; transformer
or mixer block. Each family states its own blocks and the layout of their outputs; nothing is guessed from a shape.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from zooaudit.contract import Layout, PartName, problem

from worker.errors import AuditError


@dataclass(frozen=True)
class Tap:
    """The module at dotted path ``name``, whose output is one representation.

    ``grid`` (rows, columns) is that of the tokens of an NLC output, after its ``prefix_tokens``.
    """

    name: str
    layout: Layout = "NCHW"
    grid: tuple[int, int] = (1, 1)
    prefix_tokens: int = 0

    def feature_map(self, output: Tensor) -> Tensor:
        """The module's output as a view (N, h, w, K)."""
        rows, columns = self.grid
        match self.layout:
            case "NCHW" if output.ndim == 4:
                return output.permute(0, 2, 3, 1)
            case "NHWC" if output.ndim == 4:
                return output
            case "NLC" if output.ndim == 3 and output.shape[1] == self.prefix_tokens + rows * columns:
                return output[:, self.prefix_tokens :].reshape(-1, rows, columns, output.shape[2])
        detail = f"{self.name} gives {tuple(output.shape)}, which is not {self.layout} as its family declares"
        raise AuditError(problem("unexpected-output", "A block's output is not what it should be", 500, detail))


@dataclass(frozen=True)
class Depth:
    """The representations of a model: ``blocks`` from the input on; Pool, which is what enters ``classifier`` (and
    leaves the module named ``pool``); Final, which leaves it, unless the model has none (``has_final``)."""

    blocks: tuple[Tap, ...]
    pool: str
    classifier: str
    has_final: bool = True

    def parts(self) -> tuple[PartName, ...]:
        """The part of each block: Early, Middle and Late are split as ``numpy.array_split`` does.

        >>> Depth(tuple(map(Tap, "abcd")), "pool", "fc").parts()
        ('Early', 'Early', 'Middle', 'Late')
        """
        names: tuple[PartName, ...] = ("Early", "Middle", "Late")
        chunks = np.array_split(np.arange(len(self.blocks)), 3)
        return tuple(name for name, chunk in zip(names, chunks, strict=True) for _ in chunk)


def depth(module: nn.Module, source: str, family: str) -> Depth:
    """The depth of a model of a supported family; AuditError for any other."""
    if (source, family) not in FAMILIES:
        detail = f"{source}'s family {family!r} is not supported; supported are " + ", ".join(
            sorted(f"{zoo} {name}" for zoo, name in FAMILIES)
        )
        raise AuditError(problem("unsupported-model", "This model cannot be audited yet", 422, detail))
    return FAMILIES[source, family](module)


RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")


def _timm_resnet(module: nn.Module) -> Depth:
    return Depth(_taps(["act1", *_grandchildren(module, RESNET_STAGES)]), "global_pool", "fc")


def _torchvision_resnet(module: nn.Module) -> Depth:
    return Depth(_taps(["relu", *_grandchildren(module, RESNET_STAGES)]), "avgpool", "fc")


def _timm_inception(module: nn.Module) -> Depth:
    return Depth(_taps(_inception_units(module)), "global_pool", "fc")


def _torchvision_inception(module: nn.Module) -> Depth:
    return Depth(_taps(_inception_units(module)), "avgpool", "fc")


def _inception_units(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_children() if name.startswith(("Conv2d_", "Mixed_"))]


def _timm_efficientnet(module: nn.Module) -> Depth:
    stages = [f"blocks.{name}" for name, _ in module.get_submodule("blocks").named_children()]
    head = [] if isinstance(module.get_submodule("conv_head"), nn.Identity) else ["bn2"]
    return Depth(_taps(["bn1", *_grandchildren(module, stages), *head]), "global_pool", "classifier")


def _torchvision_efficientnet(module: nn.Module) -> Depth:
    stem, *stages, head = [f"features.{name}" for name, _ in module.get_submodule("features").named_children()]
    return Depth(_taps([stem, *_grandchildren(module, stages), head]), "avgpool", "classifier")


def _timm_vision_transformer(module: nn.Module) -> Depth:
    embed = module.get_submodule("patch_embed")
    grid: tuple[int, int] = embed.grid_size  # type: ignore[assignment]
    prefix: int = module.num_prefix_tokens  # type: ignore[assignment]
    first = Tap("patch_embed", "NLC", grid) if embed.flatten else Tap("patch_embed", embed.output_fmt.value)  # type: ignore[union-attr, arg-type]
    blocks = [Tap(name, "NLC", grid, prefix) for name in _grandchildren(module, ["blocks"])]
    return Depth((first, *blocks), "head_drop", "head", has_final=not isinstance(module.head, nn.Identity))


def _timm_mlp_mixer(module: nn.Module) -> Depth:
    grid: tuple[int, int] = module.get_submodule("stem").grid_size  # type: ignore[assignment]
    taps = [Tap(name, "NLC", grid) for name in ["stem", *_grandchildren(module, ["blocks"])]]
    return Depth(tuple(taps), "head_drop", "head", has_final=not isinstance(module.head, nn.Identity))


def _torchvision_vision_transformer(module: nn.Module) -> Depth:
    side: int = module.image_size // module.patch_size  # type: ignore[operator, assignment]
    blocks = [Tap(name, "NLC", (side, side), 1) for name in _grandchildren(module, ["encoder.layers"])]
    return Depth((Tap("conv_proj"), *blocks), "encoder.ln", "heads")


def _grandchildren(module: nn.Module, parents: Iterable[str]) -> list[str]:
    return [f"{parent}.{name}" for parent in parents for name, _ in module.get_submodule(parent).named_children()]


def _taps(names: Iterable[str]) -> tuple[Tap, ...]:
    return tuple(map(Tap, names))


FAMILIES: dict[tuple[str, str], Callable[[nn.Module], Depth]] = {
    ("timm", "resnet"): _timm_resnet,
    ("timm", "inception_v3"): _timm_inception,
    ("timm", "efficientnet"): _timm_efficientnet,
    ("timm", "vision_transformer"): _timm_vision_transformer,
    ("timm", "mlp_mixer"): _timm_mlp_mixer,
    ("torchvision", "resnet"): _torchvision_resnet,
    ("torchvision", "inception"): _torchvision_inception,
    ("torchvision", "efficientnet"): _torchvision_efficientnet,
    ("torchvision", "vision_transformer"): _torchvision_vision_transformer,
}
"""By zoo and by the module of it that builds the model."""
