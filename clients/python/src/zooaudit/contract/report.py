"""The result of an audit."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from zooaudit.contract.base import (
    Contract,
    Count,
    Moment,
    Signed,
    Unit,
    omit_default_direction,
    omit_empty,
    omit_none,
)
from zooaudit.contract.catalogue import Code, Layout, Source
from zooaudit.contract.request import AuditRequest, Deformations, Warps, transforms_named
from zooaudit.contract.scores import (
    ALL_TRANSFORMS,
    Axis,
    ByTransform,
    Direction,
    Part,
    PartName,
    ReflectionScore,
    RotationScore,
    TransformName,
    TranslationScore,
    WarpScore,
)
from zooaudit.contract.second_opinion import Consistency, SecondOpinion

SCHEMA_VERSION: Literal[1] = 1
"""Version of the report's fields."""
Border = Literal["crop", "zero", "circular"]
BORDERS: tuple[Border, ...] = ("crop", "zero", "circular")


class Activation(Contract):
    """Spearman's rank correlation between channel equivariance and mean activation, by similarity; null where one of
    the two does not vary."""

    correlation: Signed | None
    cosine: Signed | None


class ActivationCheck(ByTransform[Activation]):
    """How closely the scores follow the magnitude of the activations (the thesis's Figure 5)."""


class Block(Contract):
    """One measured representation. ``name`` is the dotted path of the module that outputs it."""

    name: str
    part: PartName
    channels: Count
    height: Count
    width: Count
    layout: Layout
    dead_channels: Annotated[Count, Field(description="How many channels are constant over all reference views.")]
    translation: TranslationScore
    rotation: RotationScore
    reflection: ReflectionScore | None = Field(default=None, exclude_if=omit_none)
    warp_translation: WarpScore | None = Field(default=None, exclude_if=omit_none)
    warp_rotation: WarpScore | None = Field(default=None, exclude_if=omit_none)
    warp_scale: WarpScore | None = Field(default=None, exclude_if=omit_none)
    warp_shear: WarpScore | None = Field(default=None, exclude_if=omit_none)
    second_opinion: SecondOpinion | None = Field(default=None, exclude_if=omit_none)
    activation: Annotated[
        ActivationCheck | None,
        Field(description="Over the block's channels; only where the request asks for both similarities."),
    ] = Field(default=None, exclude_if=omit_none)


class Cosine(Contract):
    """The scores by cosine similarity, where the request asks for both. ``activation`` is over the blocks: it relates
    each block's score to the block's mean activation."""

    parts: dict[PartName, Part]
    activation: ActivationCheck


class Estimate(Contract):
    """A number with its 95 % confidence interval over images."""

    value: Signed | None
    interval: tuple[Signed, Signed] | None
    reason: str | None = Field(default=None, exclude_if=omit_none)


class Learned(Contract):
    """One score on the same images: ``pretrained``, of the requested weights; ``untrained``, of the untrained
    architecture (the mean over its seeds); and their ``difference``. ``by_seed`` has the untrained scores by seed."""

    pretrained: Estimate
    untrained: Estimate
    difference: Estimate
    by_seed: tuple[Unit | None, ...]


class LearnedScore(Contract):
    channel: Learned
    layer: Learned


class LearnedPart(ByTransform[LearnedScore]):
    """One for each kind of transform."""


class Baseline(Contract):
    """``second_opinion`` and ``consistency`` are those of the untrained architecture, the means over its seeds."""

    seeds: tuple[int, ...]
    parts: dict[PartName, LearnedPart]
    second_opinion: dict[PartName, SecondOpinion] | None = Field(default=None, exclude_if=omit_none)
    consistency: Consistency | None = Field(default=None, exclude_if=omit_none)


DeviationsByGroup = Annotated[
    tuple[Signed | None, ...] | None,
    Field(description="By group of images: the score without the group, less the score; null where it has none."),
]


class ScoreDeviations(Contract):
    """By how much each score would differ without each group of images. Only Final has ``top1_agreement``."""

    channel: DeviationsByGroup
    layer: DeviationsByGroup
    layer_held_out: DeviationsByGroup
    top1_agreement: DeviationsByGroup = Field(default=None, exclude_if=omit_none)


class PartDeviations(ByTransform[ScoreDeviations]):
    """One for each kind of transform."""


class Deviations(Contract):
    """What the intervals are made from, and those of differences between audits of the same images: ``images`` counts
    the images of each group, ``parts`` has the deviations of each part's scores."""

    images: tuple[Annotated[Count, Field(ge=1)], ...]
    parts: dict[PartName, PartDeviations]

    @model_validator(mode="after")
    def _has_one_for_each_group(self) -> "Deviations":
        for part in self.parts.values():
            for scores in (getattr(part, name) or () for name in ALL_TRANSFORMS):
                if any(of_score is not None and len(of_score) != len(self.images) for _, of_score in scores):
                    raise ValueError("a score does not have one deviation for each group of images")
        return self


class Weights(Contract):
    """The weights that were loaded; "own" are those of a user's own module. ``sha256`` is the hash of their file, or of
    the tensors in memory where there is no file. ``version`` identifies the content of an operator's checkpoint,
    including its options."""

    kind: Literal["pretrained", "untrained", "checkpoint", "own"]
    origin: str
    sha256: str
    version: str | None = Field(default=None, exclude_if=omit_none)
    container: Annotated[
        str | None, Field(description="The key of a checkpoint's file under which the weights were.")
    ] = Field(default=None, exclude_if=omit_none)
    prefix: Annotated[
        str | None, Field(description="What the names of a checkpoint's tensors began with; it was stripped.")
    ] = Field(default=None, exclude_if=omit_none)
    left_out: Annotated[
        tuple[str, ...] | None,
        Field(description="Tensors of a checkpoint that were not loaded: the model does not use them in evaluation."),
    ] = Field(default=None, exclude_if=omit_none)

    @property
    def label(self) -> str:
        """Name these weights among others of the same model: as a request does, with a checkpoint's version.

        >>> Weights(kind="checkpoint", origin="run-2", sha256="ab" * 32, version="0f1e2d3c4b5a6978").label
        'checkpoint:run-2@0f1e2d3c'
        """
        if self.kind != "checkpoint":
            return self.kind
        return f"checkpoint:{self.origin}" + (f"@{self.version[:8]}" if self.version else "")


class Model(Contract):
    name: str
    source: Source
    family: str
    architecture: str
    parameters: Count
    input_size: Count
    weights: Weights
    imagenet_top1: Annotated[
        float | None,
        Field(
            ge=0.0, le=100.0, description="Per cent, as the zoo states it for these weights; null where it states none."
        ),
    ]
    code: Annotated[
        Code | None, Field(description="Of the operator's own architectures: the code that was measured.")
    ] = Field(default=None, exclude_if=omit_none)


class Images(Contract):
    """The images that were measured: ``count`` of the ``requested``, in random order, until the audit ``stopped``.

    ``groups`` is the number of groups from which the intervals are computed. The images in ``skipped`` could not be
    decoded. ``sha256`` is the hash of the list of all chosen images, one relative path a line, whether or not the
    audit measured them.
    """

    dataset: str
    requested: Count | None = None
    count: Count
    stopped: Annotated[
        Literal["num_images", "tolerance"],
        Field(description="After num_images, or as soon as the tolerance was reached."),
    ] = "num_images"
    groups: Count = 0
    seed: int
    sha256: str
    skipped: tuple[str, ...]


class Method(Contract):
    """How it was measured. ``direction`` is absent where it is diagonal; so is, from ``reflections`` to ``variance``,
    what was not asked for."""

    similarity: Literal["correlation", "cosine", "both"]
    border: Literal["crop", "zero", "circular", "all"]
    resize: Count
    canvas_size: Count
    translations_px: tuple[int, ...]
    direction: Direction = Field(default="diagonal", exclude_if=omit_default_direction)
    rotations_deg: tuple[int, ...]
    reflections: tuple[Axis, ...] = Field(default=(), exclude_if=omit_empty)
    warps: tuple[Warps, ...] = Field(default=(), exclude_if=omit_empty)
    deformation: Deformations | None = Field(default=None, exclude_if=omit_none)
    local: bool = Field(default=False, exclude_if=omit_empty)
    consistency_draws: Count = Field(default=0, exclude_if=omit_empty)
    variance: bool = Field(default=False, exclude_if=omit_empty)
    precision: Literal["float32", "tf32", "bfloat16"]
    tolerance: float | None = None

    @property
    def transforms(self) -> tuple[TransformName, ...]:
        """The transforms that the report has scores of, be they null."""
        return transforms_named(self.reflections, self.warps)


class Environment(Contract):
    zooaudit: str
    python: str
    torch: str
    timm: str
    torchvision: str
    device: str
    devices: Annotated[
        tuple[str, ...],
        Field(description="What the audit was measured on, where its workers have unlike devices; else absent."),
    ] = Field(default=(), exclude_if=lambda devices: not devices)
    threads: Count
    batch_size: Count
    cuda_graphs: Annotated[
        bool | None,
        Field(
            description="Whether full batches were replayed as CUDA graphs; absent on a CPU, or where too few batches "
            "were full."
        ),
    ] = Field(default=None, exclude_if=omit_none)
    tensor_cores: Annotated[
        bool | None,
        Field(
            description="Whether products of channels were made on tensor cores, as exact as float32; absent on a CPU."
        ),
    ] = Field(default=None, exclude_if=omit_none)
    report_sha256: Annotated[
        str | None,
        Field(
            description="The report's seal: SHA-256 of its JSON without this field, with sorted keys and without "
            "spaces; absent in reports from before there were seals."
        ),
    ] = Field(default=None, exclude_if=omit_none)


class Timing(Contract):
    """How long an audit took. ``seconds`` are those of all workers, added up; ``images_per_second`` is over these."""

    started_at: Moment
    finished_at: Moment
    seconds: float
    preparing_seconds: Annotated[
        float | None, Field(description="Of the seconds, those before the first image, such as for loading the model.")
    ] = Field(default=None, exclude_if=omit_none)
    forward_images: Count
    images_per_second: float
    workers: Annotated[int, Field(ge=1, description="How many workers measured it; absent for one.")] = Field(
        default=1, exclude_if=lambda workers: workers == 1
    )
    repeated_images: Annotated[
        int,
        Field(
            ge=0,
            description="Forward images that were measured for nothing, because a worker died, stopped, or gave "
            "transforms to another; absent if there were none. They are not among forward_images.",
        ),
    ] = Field(default=0, exclude_if=lambda images: images == 0)


class Report(Contract):
    """The result of an audit. Everything but ``environment`` and ``timing`` is the same to the last digit when the same
    audit runs again on the same machine.

    ``parts`` and ``blocks`` are by correlation where the request asks for both similarities, and under border "crop"
    where it asks for all borders. ``borders`` has the parts under each border, ``cosine`` the parts by cosine
    similarity, ``baseline`` the parts of the untrained architecture, and ``consistency`` how often windows of one image
    are of one class; each is absent unless requested.
    ``deviations`` are absent in reports from before they were kept.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    protocol: str
    repetition: int = 0
    model: Model
    images: Images
    method: Method
    parts: dict[PartName, Part]
    blocks: tuple[Block, ...]
    borders: dict[Border, dict[PartName, Part]] | None = Field(default=None, exclude_if=omit_none)
    cosine: Cosine | None = Field(default=None, exclude_if=omit_none)
    baseline: Baseline | None = Field(default=None, exclude_if=omit_none)
    deviations: Deviations | None = Field(default=None, exclude_if=omit_none)
    consistency: Consistency | None = Field(default=None, exclude_if=omit_none)
    environment: Environment
    timing: Timing

    @model_validator(mode="after")
    def _has_deviations_of_its_parts(self) -> "Report":
        if self.deviations is not None and self.deviations.parts.keys() != self.parts.keys():
            raise ValueError("the deviations are not those of the report's parts")
        return self


class ReportHead(BaseModel):
    """What tells a report's model, method and scores by part. It reads a whole report eight times as fast as Report
    does, because it leaves out the blocks, which are most of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    protocol: str
    model: Model
    images: Images
    method: Method
    parts: dict[PartName, Part]
    consistency: Consistency | None = None
    timing: Timing


def request_of(report: Report) -> AuditRequest:
    """Return the request that ``report`` answers, to restore an audit whose queue entry was lost."""
    weights = report.model.weights
    named = weights.kind in ("checkpoint", "own")
    return AuditRequest(
        model=report.model.name,
        weights=f"checkpoint:{weights.origin}" if named else weights.kind,
        checkpoint_version=weights.version,
        dataset=report.images.dataset,
        num_images=report.images.requested or report.images.count + len(report.images.skipped),
        seed=report.images.seed,
        translations_px=report.method.translations_px,
        direction=report.method.direction,
        rotations_deg=report.method.rotations_deg,
        reflections=report.method.reflections,
        warps=report.method.warps,
        deformation=report.method.deformation,
        local=report.method.local,
        consistency_draws=report.method.consistency_draws,
        variance=report.method.variance,
        similarity=report.method.similarity,
        border=report.method.border,
        precision=report.method.precision,
        tolerance=report.method.tolerance,
        baseline=report.baseline is not None,
        baseline_seeds=len(report.baseline.seeds) if report.baseline else 1,
        repetition=report.repetition,
    )
