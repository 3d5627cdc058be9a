"""The result of an audit."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from zooaudit.contract.base import Contract, Signed, Unit, omit_none
from zooaudit.contract.catalogue import Layout, Source
from zooaudit.contract.request import AuditRequest
from zooaudit.contract.scores import Part, PartName, RotationScore, TranslationScore

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

SCHEMA_VERSION: Literal[1] = 1
"""Version of the report's shape."""
Border = Literal["crop", "zero", "circular"]
BORDERS: tuple[Border, ...] = ("crop", "zero", "circular")


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
    ] = Field(default=None, exclude_if=omit_none)


class Cosine(Contract):
    """The scores by cosine similarity, where both were asked for. ``activation`` is over the blocks: of a block's score
    with its mean activation."""

    parts: dict[PartName, Part]
    activation: ActivationCheck


class Estimate(Contract):
    """A number with its 95 % confidence interval over images."""

    value: Signed | None
    interval: tuple[Signed, Signed] | None
    reason: str | None = Field(default=None, exclude_if=omit_none)


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
    """``sha256`` is that of the file that was loaded, or of the tensors in memory when there is no file. ``version`` is
    that of an operator's checkpoint, its options included."""

    kind: Literal["pretrained", "untrained", "checkpoint"]
    origin: str
    sha256: str
    version: str | None = Field(default=None, exclude_if=omit_none)

    @property
    def label(self) -> str:
        """What tells them from other weights of the same model: as in a request, with a checkpoint's version.

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
    borders: dict[Border, dict[PartName, Part]] | None = Field(default=None, exclude_if=omit_none)
    cosine: Cosine | None = Field(default=None, exclude_if=omit_none)
    baseline: Baseline | None = Field(default=None, exclude_if=omit_none)
    environment: Environment
    timing: Timing

    def to_dataframe(self) -> "pandas.DataFrame":
        """Every score and interval of the report, in long form; needs pandas.

        A row is a pair of scores, ``channel`` and ``layer``, with their intervals ``channel_low`` to ``layer_high``:

        ``level``, ``part``, ``block``  of a "part", or of a "block" with its name
        ``kind``                        "translation" or "rotation"
        ``statistic``, ``amount``       "mean" over so many ``transforms``; "aligned", the mean over those shifts that
                                        are whole at the block; or one "transform" of that many pixels or degrees
        ``similarity``, ``border``      under which it was measured
        ``quantity``, ``seed``          "score" of the weights asked for; with a baseline "untrained", the mean, and by
                                        seed, and "learned", the score beyond the untrained mean

        ``df.query("level == 'part' and statistic == 'mean'")`` is the table of the parts, and frames of several reports
        can be concatenated: each row has the audit's ``id``, ``model`` and ``weights``. What cannot be measured is NaN,
        with a ``reason``.
        """
        from zooaudit.views.frames import report_frame

        return report_frame(self)

    def __repr__(self) -> str:
        from zooaudit.views.tables import plain, report_tables

        return plain(report_tables(self)[:1])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from zooaudit.views.tables import html, report_tables

        return html(report_tables(self))

    def plot(
        self, kind: Literal["parts", "shifts", "depth"] = "parts", *others: "Report"
    ) -> "plotly.graph_objects.Figure":
        """Draw this report, with ``others`` beside it: see :mod:`zooaudit.views.figures`. Needs ``zooaudit[plot]``."""
        from zooaudit.views import figures

        return figures.draw(figures.of(kind, [self, *others]))


def request_of(report: Report) -> AuditRequest:
    """The request that a report answers: what is needed to take up an audit whose queue entry was lost."""
    weights = report.model.weights
    return AuditRequest(
        model=report.model.name,
        weights=f"checkpoint:{weights.origin}" if weights.kind == "checkpoint" else weights.kind,
        checkpoint_version=weights.version,
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
