"""The wire contract: everything that crosses HTTP, the queue and the report store, defined once.

Scores are similarities in [0, 1], higher is more equivariant; a score that cannot be measured is null, with a reason.
Every model here is frozen, refuses unknown fields and refuses NaN and infinity.

>>> request = AuditRequest(model="timm/resnet50.a1_in1k", num_images=100)
>>> request.rotations_deg
(90, 180, 270)
>>> other_order = AuditRequest(model="timm/resnet50.a1_in1k", num_images=100, rotations_deg=[270, 180, 90])
>>> audit_id(request) == audit_id(other_order)
True
"""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PROTOCOL = "1"
"""Version of the measure. It is part of every audit's id: another measure is another audit."""

SCHEMA_VERSION: Literal[1] = 1
"""Version of the report's shape."""

MAX_SHIFT_PX = 128
MAX_IMAGES = 100_000

Source = Literal["timm", "torchvision", "module"]
Layout = Literal["NCHW", "NHWC", "NLC"]
PartName = Literal["Early", "Middle", "Late", "Pool", "Final"]
PARTS: tuple[PartName, ...] = ("Early", "Middle", "Late", "Pool", "Final")
Border = Literal["crop", "zero", "circular"]
BORDERS: tuple[Border, ...] = ("crop", "zero", "circular")
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Signed = Annotated[float, Field(ge=-1.0, le=1.0)]


def _omit_none(value: object) -> bool:
    return value is None


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="null")


class AuditRequest(Contract):
    """What to audit and how. Only ``model`` is required.

    Transforms are sets: they are kept in ascending order, so the same question always gets the same id.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "timm/resnext101_32x8d.tv_in1k"},
                {"model": "torchvision/vit_b_16", "weights": "untrained", "dataset": "synthetic", "num_images": 64},
            ]
        }
    )

    model: Annotated[
        str,
        Field(
            max_length=128,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$",
            description="timm/NAME[.TAG] or torchvision/NAME; a bare NAME means timm if timm has it, else torchvision.",
        ),
    ]
    weights: Annotated[
        str,
        Field(
            max_length=128,
            pattern=r"^(pretrained|untrained|checkpoint:[A-Za-z0-9][A-Za-z0-9._-]*)$",
            description="pretrained (what the zoo publishes for that name), untrained (seed 0), or checkpoint:NAME.",
        ),
    ] = "pretrained"
    dataset: Annotated[
        str,
        Field(
            max_length=64,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            description="A data set that the operator has configured, or the built-in 'synthetic'.",
        ),
    ] = "imagenet-val"
    num_images: Annotated[int, Field(ge=1, le=MAX_IMAGES, strict=True)] = 2000
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, strict=True, description="Chooses the sample of images.")] = 0
    translations_px: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_SHIFT_PX, strict=True)], ...],
        Field(
            max_length=MAX_SHIFT_PX,
            description="Diagonal shifts, in input pixels, each once.",
            json_schema_extra={"uniqueItems": True},
        ),
    ] = tuple(range(1, 33))
    rotations_deg: Annotated[
        tuple[Literal[90, 180, 270], ...],
        Field(
            max_length=3,
            description="Counter-clockwise rotations, in degrees, each once.",
            json_schema_extra={"uniqueItems": True},
        ),
    ] = (90, 180, 270)
    similarity: Annotated[
        Literal["correlation", "cosine", "both"],
        Field(description='Of feature maps; "both" gives the cosine beside the correlation, at the price of one.'),
    ] = "correlation"
    border: Annotated[
        Literal["crop", "zero", "circular", "all"],
        Field(
            description="What enters at the border of a shifted image: real pixels, zeros, or the other side; "
            '"all" gives the parts under each, side by side.'
        ),
    ] = "crop"
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"],
        Field(description="Of the forward passes; statistics are kept in float32 or better."),
    ] = "float32"
    tolerance: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="End as soon as the 95 % confidence interval of every part's score is at most this wide; "
            "num_images is then the most to be measured.",
        ),
    ] = None
    baseline: Annotated[
        bool, Field(strict=True, description="Measure the untrained architecture on the same images, too.")
    ] = False
    baseline_seeds: Annotated[
        int, Field(ge=1, le=10, strict=True, description="From so many initialisations, seeds 0, 1, ...")
    ] = 1
    repetition: Annotated[
        int, Field(ge=0, le=9999, strict=True, description="The same audit under another number is run again.")
    ] = 0

    @field_validator("translations_px", "rotations_deg")
    @classmethod
    def _distinct_ascending(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(values)) != len(values):
            raise ValueError("each value may be given only once")
        return tuple(sorted(values))

    @model_validator(mode="after")
    def _some_transform(self) -> "AuditRequest":
        if not self.translations_px and not self.rotations_deg:
            raise ValueError("ask for at least one translation or rotation")
        return self

    @model_validator(mode="after")
    def _baseline_of_something_else(self) -> "AuditRequest":
        if self.baseline and self.weights == "untrained":
            raise ValueError("the untrained architecture is its own baseline: ask for other weights, or for none")
        if self.baseline_seeds > 1 and not self.baseline:
            raise ValueError("baseline_seeds goes with baseline: true")
        return self


def audit_id(request: AuditRequest) -> str:
    """The audit's content address: first 32 hex digits of SHA-256 over the protocol and the canonical request."""
    canonical = f"{PROTOCOL}\n{request.model_dump_json()}"
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


class FieldError(Contract):
    """One field of a request that was refused, and why."""

    field: str
    message: str


class Problem(Contract):
    """An RFC 9457 problem; ``type`` is ``urn:zooaudit:problem:`` followed by a word that scripts can rely on."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] | None = Field(default=None, exclude_if=_omit_none)
    suggestions: Annotated[tuple[str, ...] | None, Field(description="Close matches to a name that is not known.")] = (
        Field(default=None, exclude_if=_omit_none)
    )


def problem(slug: str, title: str, status: int, detail: str, **extensions: Any) -> Problem:
    """A :class:`Problem` of this service's own type ``slug``."""
    return Problem(type=f"urn:zooaudit:problem:{slug}", title=title, status=status, detail=detail, **extensions)


class Status(StrEnum):
    """Where an audit is in its life; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)


class Score(Contract):
    """Channel and layer equivariance, each with its 95 % confidence interval over images; an interval is null where
    there are too few images for one."""

    channel: Unit | None
    channel_interval: tuple[Unit, Unit] | None = None
    layer: Unit | None
    layer_interval: tuple[Unit, Unit] | None = None
    reason: str | None = Field(default=None, exclude_if=_omit_none)


class ProvisionalPart(Contract):
    translation: Score
    rotation: Score


class Provisional(Contract):
    """The scores of the parts after the first ``images`` images, and maybe not all of the transforms."""

    images: int
    parts: dict[PartName, ProvisionalPart]


class Progress(Contract):
    """How far a running audit is: ``done`` of ``total`` units of the present phase."""

    phase: Literal["queued", "loading", "downloading", "measuring", "storing", "done"] = "queued"
    done: Annotated[int, Field(ge=0)] = 0
    total: Annotated[int, Field(ge=0)] = 0
    unit: Literal["forward images", "bytes"] = "forward images"
    eta_s: Annotated[float, Field(ge=0.0)] | None = None
    provisional: Annotated[
        Provisional | None, Field(description="The scores so far, while the audit is measuring.")
    ] = Field(default=None, exclude_if=_omit_none)


class Links(Contract):
    self: str
    report: str


class Audit(Contract):
    """An accepted request and what has become of it. Times are UTC."""

    id: str
    status: Status
    request: AuditRequest
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: Progress
    error: Problem | None
    links: Links


class AuditList(Contract):
    """One page of audits, newest first; ``next_cursor`` is null on the last page."""

    audits: tuple[Audit, ...]
    next_cursor: str | None


class CatalogueEntry(Contract):
    """An architecture of a zoo. ``tags`` have published weights, the zoo's default first (torchvision has none).

    ``parameters`` and ``imagenet_top1``, in per cent, are those of the default weights, where the zoo states them:
    torchvision does.
    """

    name: str
    source: Source
    family: str
    architecture: str
    tags: tuple[str, ...]
    pretrained: bool
    input_size: int | None
    parameters: int | None = None
    imagenet_top1: float | None = None
    supported: bool
    reason: str | None = Field(default=None, exclude_if=_omit_none)


class Catalogue(Contract):
    """What the workers can audit; a worker publishes it when it starts. ``datasets`` maps a name to its image count."""

    entries: tuple[CatalogueEntry, ...]
    datasets: dict[str, int | None]


class ModelList(Contract):
    models: tuple[CatalogueEntry, ...]
    total: int


class Health(Contract):
    """``ok`` when Redis answers and a worker is alive."""

    status: Literal["ok", "degraded"]
    version: str
    redis: bool
    workers: int
    queued: int
    running: int
    datasets: dict[str, int | None]


class ShiftRow(Contract):
    """Scores under one diagonal shift. ``top1_agreement`` is given at Final only."""

    shift_px: int
    channel: Unit | None
    layer: Unit | None
    reason: str | None = Field(default=None, exclude_if=_omit_none)
    top1_agreement: Unit | None = Field(default=None, exclude_if=_omit_none)


class AngleRow(Contract):
    """Scores under one counter-clockwise rotation. ``top1_agreement`` is given at Final only."""

    angle_deg: int
    channel: Unit | None
    layer: Unit | None
    reason: str | None = Field(default=None, exclude_if=_omit_none)
    top1_agreement: Unit | None = Field(default=None, exclude_if=_omit_none)


class Aligned(Contract):
    """Mean over those shifts that are a whole number of a block's cells. ``shifts`` is how many there were: at a block
    of the shifts asked for, at a part over all of its blocks."""

    channel: Unit | None
    layer: Unit | None
    shifts: int
    reason: str | None = Field(default=None, exclude_if=_omit_none)


class TranslationScore(Score):
    aligned: Aligned | None = None
    by_transform: tuple[ShiftRow, ...]


class RotationScore(Score):
    by_transform: tuple[AngleRow, ...]


class Part(Contract):
    """A fifth of the report: mean over the part's blocks."""

    blocks: int
    translation: TranslationScore
    rotation: RotationScore


class Activation(Contract):
    """Spearman's rank correlation of the channel equivariance with the mean activation, by similarity; null where one
    of them does not vary."""

    correlation: Signed | None
    cosine: Signed | None


class ActivationCheck(Contract):
    """How much a score follows the magnitude of the activations (the thesis's Figure 5)."""

    translation: Activation
    rotation: Activation


class Block(Contract):
    """One measured representation. ``name`` is the dotted path of the module whose output it is."""

    name: str
    part: PartName
    channels: int
    height: int
    width: int
    layout: Layout
    dead_channels: Annotated[int, Field(description="Channels that are constant over all the reference views.")]
    translation: TranslationScore
    rotation: RotationScore
    activation: Annotated[
        ActivationCheck | None, Field(description="Over the block's channels, where both similarities were asked for.")
    ] = Field(default=None, exclude_if=_omit_none)


class Cosine(Contract):
    """The scores by cosine similarity, where both were asked for. ``activation`` is over the blocks: of a block's score
    with its mean activation."""

    parts: dict[PartName, Part]
    activation: ActivationCheck


class Estimate(Contract):
    """A number with its 95 % confidence interval over images."""

    value: Signed | None
    interval: tuple[Signed, Signed] | None
    reason: str | None = Field(default=None, exclude_if=_omit_none)


class Learned(Contract):
    """A score of the weights that were asked for, of the untrained architecture (the mean over its seeds), and what the
    first has beyond the second, on the same images."""

    pretrained: Estimate
    untrained: Estimate
    difference: Estimate
    by_seed: tuple[Unit | None, ...]


class LearnedScore(Contract):
    channel: Learned
    layer: Learned


class LearnedPart(Contract):
    translation: LearnedScore
    rotation: LearnedScore


class Baseline(Contract):
    seeds: tuple[int, ...]
    parts: dict[PartName, LearnedPart]


class Weights(Contract):
    """``sha256`` is that of the file that was loaded, or of the tensors in memory when there is no file."""

    kind: Literal["pretrained", "untrained", "checkpoint"]
    origin: str
    sha256: str


class Model(Contract):
    name: str
    source: Source
    family: str
    architecture: str
    parameters: int
    input_size: int
    weights: Weights
    imagenet_top1: Annotated[
        float | None, Field(description="Per cent, as the zoo states it for these weights; null where it does not.")
    ]


class Images(Contract):
    """``count`` images of the ``requested`` were measured, in random order, until the audit ``stopped``, in so many
    ``groups`` for the intervals; ``skipped`` could not be decoded. ``sha256`` is that of the chosen list, one
    relative path a line, skipped ones and those not needed included."""

    dataset: str
    requested: int | None = None
    count: int
    stopped: Annotated[
        Literal["num_images", "tolerance"], Field(description="Because all were measured, or enough for the tolerance.")
    ] = "num_images"
    groups: int = 0
    seed: int
    sha256: str
    skipped: tuple[str, ...]


class Method(Contract):
    similarity: Literal["correlation", "cosine", "both"]
    border: Literal["crop", "zero", "circular", "all"]
    resize: int
    canvas_size: int
    translations_px: tuple[int, ...]
    rotations_deg: tuple[int, ...]
    precision: Literal["float32", "tf32", "bfloat16"]
    tolerance: float | None = None


class Environment(Contract):
    zooaudit: str
    python: str
    torch: str
    timm: str
    torchvision: str
    device: str
    threads: int
    batch_size: int


class Timing(Contract):
    started_at: datetime
    finished_at: datetime
    seconds: float
    forward_images: int
    images_per_second: float


class Report(Contract):
    """The result of an audit. All but ``environment`` and ``timing`` is the same to the last digit
    when the same audit runs again on the same machine.

    ``parts`` and ``blocks`` are by the correlation where both similarities were asked for, and under border "crop"
    where all were; ``borders`` has the parts under each border, ``cosine`` those by the cosine, ``baseline`` those of
    the untrained architecture. These three are left out where they were not asked for.
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
    borders: dict[Border, dict[PartName, Part]] | None = Field(default=None, exclude_if=_omit_none)
    cosine: Cosine | None = Field(default=None, exclude_if=_omit_none)
    baseline: Baseline | None = Field(default=None, exclude_if=_omit_none)
    environment: Environment
    timing: Timing


def request_of(report: Report) -> AuditRequest:
    """The request that a report answers: what is needed to take up an audit whose queue entry was lost."""
    weights = report.model.weights
    return AuditRequest(
        model=report.model.name,
        weights=f"checkpoint:{weights.origin}" if weights.kind == "checkpoint" else weights.kind,
        dataset=report.images.dataset,
        num_images=report.images.requested or report.images.count + len(report.images.skipped),
        seed=report.images.seed,
        translations_px=report.method.translations_px,
        rotations_deg=report.method.rotations_deg,
        similarity=report.method.similarity,
        border=report.method.border,
        precision=report.method.precision,
        tolerance=report.method.tolerance,
        baseline=report.baseline is not None,
        baseline_seeds=len(report.baseline.seeds) if report.baseline else 1,
        repetition=report.repetition,
    )


def report_key(identifier: str) -> str:
    """Where the report store keeps an audit's report."""
    return f"reports/{identifier}.json"


QUEUE = "audits"
"""The one queue, between the service, which adds jobs, and the workers, which take them."""

JOB = "worker.jobs.audit"
"""The one function that a job may name; its one argument is an AuditRequest as JSON."""

CATALOGUE_KEY = "zooaudit:catalogue"
"""Redis hash: ``json`` is the Catalogue that a worker published last, ``version`` its digest."""

INDEX_KEY = "zooaudit:audits"
"""Redis sorted set: the ids of all audits by the time they were accepted, in seconds."""


def state_key(identifier: str) -> str:
    """Redis hash: what the queue's own job does not keep of an audit. ``progress`` is a Progress and ``error`` a
    Problem, as JSON; ``deaths`` counts the workers that died on it; ``outcome`` is written once, by who comes
    first: ``canceled SECONDS`` by the service or ``storing`` by the worker, so that a cancel never undoes a report."""
    return f"zooaudit:audit:{identifier}"
