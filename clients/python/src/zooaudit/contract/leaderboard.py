"""The zoo at a glance: one row for each model and weights, all measured by one method on the same images."""

from collections.abc import Callable, Iterable
from datetime import datetime
from statistics import fmean
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from zooaudit.contract.base import Contract
from zooaudit.contract.catalogue import Source
from zooaudit.contract.comparison import ComparedAudit, SharedMethod, compared_audit, shared_method
from zooaudit.contract.mistakes import else_said
from zooaudit.contract.notation import deformation_from, warps_from, whole_numbers_from
from zooaudit.contract.report import Border, Report, ReportHead
from zooaudit.contract.scores import ALL_TRANSFORMS, PARTS, Direction
from zooaudit.contract.second_opinion import GENERATORS, Magnitude, SecondOpinion

LEADERBOARD_SCORES = ("channel", "layer", "layer_held_out")
"""The scores that every part has; Final has ``top1_agreement``, too."""
LEADERBOARD_NUMBERS = (
    *(
        f"{transform}.{part}.{score}"
        for transform in ALL_TRANSFORMS
        for part in PARTS
        for score in (*LEADERBOARD_SCORES, *(["top1_agreement"] if part == "Final" else []))
    ),
    *(f"local_error.{part}.{generator}" for part in PARTS for generator in GENERATORS),
    *(f"variance.{part}.{transform}" for part in PARTS for transform in ALL_TRANSFORMS),
    *(f"deformation.{part}.ratio" for part in PARTS),
    "consistency",
)
"""The columns of what was measured: scores, and other measures; the ratio is the mean R over the displacements."""
LEADERBOARD_COLUMNS = (
    *("model", "family", "source", "weights", "parameters", "input_size", "imagenet_top1", "images", "finished_at"),
    *LEADERBOARD_NUMBERS,
)
"""The columns by which a leaderboard can be sorted, such as "imagenet_top1" or "rotation.Late.channel"."""


class LeaderboardRow(ComparedAudit):
    """The newest audit of one model with one kind of weights."""

    source: Source
    finished_at: datetime

    @property
    def contestant(self) -> tuple[str, str]:
        """The model and its weights without a checkpoint's version: a checkpoint has one row, of its newest audit."""
        return self.model, self.weights.partition("@")[0]


class LeaderboardMethod(SharedMethod):
    """A method together with its images: audits under one name of a data set whose folders hold other images cannot be
    compared. ``images_sha256`` is the hash of the list of all chosen images."""

    images_sha256: str


def leaderboard_number(row: LeaderboardRow, column: str) -> float | None:
    """Return what a row has in one of LEADERBOARD_NUMBERS."""
    if column == "consistency":
        return row.consistency.value if row.consistency else None
    measure, part_name, name = column.split(".")
    part = row.parts.get(part_name)  # type: ignore[call-overload]
    opinion = (part and part.second_opinion) or SecondOpinion()
    match measure:
        case "local_error" | "variance":
            magnitude: Magnitude | None = getattr(opinion, measure).get(name)
            return magnitude.value if magnitude else None
        case "deformation":
            ratios = [row.ratio for row in opinion.deformation if row.ratio is not None]
            return fmean(ratios) if ratios and len(ratios) == len(opinion.deformation) else None
    value: float | None = getattr(getattr(part, measure, None), name, None)
    return value


class MeasuredMethod(Contract):
    """A method, and how many models have an audit by it."""

    method: LeaderboardMethod
    models: Annotated[int, Field(ge=1)]


class ReportSummary(Contract):
    """What a leaderboard needs of one report."""

    method: LeaderboardMethod
    row: LeaderboardRow


class Leaderboard(Contract):
    """The models that were measured by one ``method``, and all ``methods`` that there are, those of the most models
    first. ``method`` is null while no audit has succeeded, or if no method has the requested settings.

    ``rows`` is one page of the ``total`` rows that match; scores in them are rounded to six decimals. ``families``
    counts the method's rows by family, whether or not they match. ``pending`` counts the reports that the service has
    yet to read: until it is 0, rows may be missing. ``unreadable`` counts those that the store has lost, or that are
    damaged.
    """

    method: LeaderboardMethod | None
    methods: tuple[MeasuredMethod, ...]
    rows: tuple[LeaderboardRow, ...]
    total: Annotated[int, Field(ge=0)]
    families: dict[str, int]
    pending: Annotated[int, Field(ge=0)]
    unreadable: Annotated[int, Field(ge=0)]


def _a_column(sort: str) -> str:
    if sort.removeprefix("-") not in LEADERBOARD_COLUMNS:
        facts = ", ".join(column for column in LEADERBOARD_COLUMNS if "." not in column)
        raise ValueError(f"{sort[:64]!r} is no column; there are {facts}, and scores such as rotation.Late.channel")
    return sort


def _checked_by(read: Callable[[str], object]) -> AfterValidator:
    def check(text: str) -> str:
        read(text)
        return text

    return AfterValidator(check)


Numbers = Annotated[
    str,
    Field(pattern=r"^(none|[0-9]{1,3}(-[0-9]{1,3})?(,[0-9]{1,3}(-[0-9]{1,3})?){0,127})$", max_length=1024),
    _checked_by(whole_numbers_from),
    else_said("a list of whole numbers such as 1,2,8 or 1-32, or none"),
]


class LeaderboardQuery(Contract):
    """Which models a leaderboard shows, and in which order. The settings of the method, from ``dataset`` to
    ``images_sha256``, choose among the methods that there are: of those that have all given settings, the one with the
    most models."""

    dataset: Annotated[str | None, Field(max_length=64)] = None
    num_images: Annotated[int | None, Field(ge=1)] = None
    seed: Annotated[int | None, Field(ge=0)] = None
    translations_px: Annotated[Numbers | None, Field(description="Such as 1,2,8 or 1-32 or none.")] = None
    direction: Direction | None = None
    rotations_deg: Annotated[Numbers | None, Field(description="Such as 90,180,270 or none.")] = None
    reflections: Literal["none", "horizontal", "vertical", "horizontal,vertical"] | None = None
    warps: (
        Annotated[
            str,
            Field(max_length=2048, description="Such as rotation:15,30 translation:0.5 or none."),
            _checked_by(warps_from),
        ]
        | None
    ) = None
    deformation: (
        Annotated[
            str,
            Field(max_length=256, description="Displacements such as 0.5,1,2, with another cutoff 0.5,1:5, or none."),
            _checked_by(deformation_from),
        ]
        | None
    ) = None
    local: bool | None = None
    consistency_draws: Annotated[int | None, Field(ge=0)] = None
    variance: bool | None = None
    similarity: Literal["correlation", "cosine"] | None = None
    border: Border | None = None
    precision: Literal["float32", "tf32", "bfloat16"] | None = None
    tolerance: Annotated[
        Literal["none"] | float | None,
        Field(description="A width, or none."),
        else_said("a width such as 0.05, or none"),
    ] = None
    protocol: Annotated[str | None, Field(max_length=16)] = None
    images_sha256: Annotated[
        str | None,
        Field(pattern="^[0-9a-f]{1,64}$", description="How the hash of the list of images starts."),
        else_said("the start of a hash, 1 to 64 hexadecimal digits in lower case"),
    ] = None
    q: Annotated[
        str, Field(max_length=128, description="Words that the model's full name must contain; case is ignored.")
    ] = ""
    family: Annotated[str | None, Field(max_length=64)] = None
    source: Source | None = None
    weights: Annotated[
        str | None, Field(max_length=128, description="pretrained, untrained, checkpoint or checkpoint:NAME.")
    ] = None
    min_parameters: Annotated[int | None, Field(ge=0)] = None
    max_parameters: Annotated[int | None, Field(ge=0)] = None
    min_top1: Annotated[
        float | None, Field(ge=0, le=100, description="Per cent; a model of unknown accuracy is left out.")
    ] = None
    max_top1: Annotated[float | None, Field(ge=0, le=100)] = None
    sort: Annotated[
        str,
        AfterValidator(_a_column),
        Field(
            description="A column; with a minus, in descending order. Rows without a value come last.",
            json_schema_extra={"enum": [sign + column for column in LEADERBOARD_COLUMNS for sign in ("", "-")]},
        ),
    ] = "-rotation.Late.channel"
    limit: Annotated[int, Field(ge=1, le=10_000)] = 100
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


def leaderboard_row(report: Report | ReportHead) -> LeaderboardRow:
    """Return the row of a leaderboard that shows ``report``."""
    return LeaderboardRow(
        **dict(compared_audit(report)), source=report.model.source, finished_at=report.timing.finished_at
    )


def summary_of(report: Report | ReportHead) -> ReportSummary:
    """Return what a leaderboard needs of ``report``: its row, and what it can be compared with."""
    method = LeaderboardMethod(**dict(shared_method(report)), images_sha256=report.images.sha256)
    return ReportSummary(method=method, row=leaderboard_row(report))


def newest_rows(rows: Iterable[LeaderboardRow]) -> list[LeaderboardRow]:
    """Keep the newest row of each model and weights. All ``rows`` must be of one method."""
    ordered = sorted(rows, key=lambda row: (row.finished_at, row.id))
    return list({row.contestant: row for row in ordered}.values())
