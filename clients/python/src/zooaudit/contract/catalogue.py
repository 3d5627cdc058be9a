"""What can be audited."""

from typing import Annotated, Literal

from pydantic import Field

from zooaudit.contract.base import Contract, omit_none
from zooaudit.contract.problems import Problem
from zooaudit.contract.scores import PartName

Source = Literal["timm", "torchvision", "module"]
Layout = Literal["NCHW", "NHWC", "NLC"]


class CatalogueEntry(Contract):
    """An architecture of a zoo. ``tags`` have published weights, the zoo's default first (torchvision has none).

    ``imagenet_top1``, in per cent, is that of the default weights, where the zoo states it: torchvision does. It states
    ``parameters``, too; those of timm a worker counts in the first minutes after it has started.
    """

    name: str
    source: Source
    family: str
    architecture: str
    tags: tuple[str, ...]
    pretrained: bool
    default_weights: Annotated[str | None, Field(description="What the zoo calls those that it gives by default.")] = (
        None
    )
    input_size: int | None
    parameters: int | None = None
    imagenet_top1: float | None = None
    supported: bool
    reason: str | None = Field(default=None, exclude_if=omit_none)


class Catalogue(Contract):
    """What the workers can audit; a worker publishes it when it starts. ``datasets`` maps a name to its image count."""

    entries: tuple[CatalogueEntry, ...]
    datasets: dict[str, int | None]


class CheckpointVersion(Contract):
    """Which content a checkpoint of the operator's has now, or why there is none."""

    version: str | None = None
    error: Problem | None = None


class ModelList(Contract):
    models: tuple[CatalogueEntry, ...]
    total: int


class DepthBlock(Contract):
    """One representation that an audit measures. ``name`` is the dotted path of the module whose output it is."""

    name: str
    part: PartName
    channels: int
    height: int
    width: int
    layout: Layout


class ModelDepth(Contract):
    """How an audit splits one model, found on untrained weights; ``blocks`` is null, with a reason, where it cannot."""

    input_size: int | None = None
    parameters: int | None = None
    blocks: tuple[DepthBlock, ...] | None
    blocks_reason: Annotated[str | None, Field(description="Why there are no blocks, or none yet.")] = Field(
        default=None, exclude_if=omit_none
    )


class ModelDetail(ModelDepth, CatalogueEntry):
    """One model and its depth. ``full_name`` is what an audit calls it: with the zoo's default tag where none was asked
    for. ``input_size`` and ``parameters`` are those of that name, once its blocks are known; as long as a worker is
    finding them the answer has a Retry-After header."""

    full_name: str
