"""The models that can be audited: the workers' catalogue, and the depth of one model."""

from typing import Annotated, Literal

from pydantic import Field

from zooaudit.contract.base import Contract, omit_none
from zooaudit.contract.problems import Problem
from zooaudit.contract.scores import PartName

Source = Literal["timm", "torchvision", "own", "module"]
Layout = Literal["NCHW", "NHWC", "NLC"]


class Code(Contract):
    """The code of one of the operator's own architectures. ``function`` makes the module, ``package.module:function``;
    ``sha256`` is the hash of the files that define this function and the classes of the module's parts."""

    function: str
    sha256: str


class CatalogueEntry(Contract):
    """An architecture of a zoo. ``tags`` names its published weights, the zoo's default first; torchvision has no tags.

    torchvision states ``imagenet_top1``, in per cent, of the default weights; timm does not. torchvision also states
    ``parameters``; for timm a worker counts them in the first minutes after it has started. The source "own" has the
    operator's own architectures, whose weights nobody publishes; only they have ``code``.
    """

    name: str
    source: Source
    family: str
    architecture: str
    tags: tuple[str, ...]
    pretrained: bool
    default_weights: Annotated[str | None, Field(description="The zoo's name for its default weights.")] = None
    input_size: int | None
    parameters: int | None = None
    imagenet_top1: float | None = None
    supported: bool
    reason: str | None = Field(default=None, exclude_if=omit_none)
    code: Code | None = Field(default=None, exclude_if=omit_none)


class Catalogue(Contract):
    """The models and data sets that the workers can audit; a worker publishes them when it starts. ``datasets`` maps
    a name to its image count."""

    entries: tuple[CatalogueEntry, ...]
    datasets: dict[str, int | None]


class CheckpointQuestion(Contract):
    """The service's question which content the operator's checkpoint ``name`` has, and whether it fits the model with
    the full name ``model``. A worker answers under ``token``."""

    token: str
    name: str
    model: str


class CheckpointAnswer(Contract):
    """The present ``version`` of a checkpoint, if it has one, and the ``error`` with which its audit would fail now."""

    version: str | None = None
    error: Problem | None = None


class ModelList(Contract):
    models: tuple[CatalogueEntry, ...]
    total: int


class DepthBlock(Contract):
    """One representation that an audit measures. ``name`` is the dotted path of the module that outputs it."""

    name: str
    part: PartName
    channels: int
    height: int
    width: int
    layout: Layout


class ModelDepth(Contract):
    """The blocks that an audit of one model measures, found with untrained weights. Where there are none, ``blocks`` is
    null and ``blocks_reason`` says why."""

    input_size: int | None = None
    parameters: int | None = None
    blocks: tuple[DepthBlock, ...] | None
    blocks_reason: Annotated[str | None, Field(description="Why there are no blocks, or none yet.")] = Field(
        default=None, exclude_if=omit_none
    )


class ModelDetail(ModelDepth, CatalogueEntry):
    """One model and its depth. ``full_name`` is its name in audits, with the zoo's default tag if the request named no
    tag. While a worker looks for the blocks, the answer has a Retry-After header; once they are known, ``input_size``
    and ``parameters`` are those of the full name."""

    full_name: str
