"""The columns of leaderboard.csv, each with what it means, and their Table Schema."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from zooaudit.contract import (
    ALL_TRANSFORMS,
    GENERATORS,
    KINDS,
    PARTS,
    ComparedWarp,
    Deformations,
    Import,
    LeaderboardMethod,
    ReportSummary,
    SecondOpinion,
    Warps,
    deformation_text,
    leaderboard_number,
    warps_text,
)
from zooaudit.views.text import ranges, spoken


class PublishedRow(NamedTuple):
    """One report of a site: ``newest`` tells whether its model and weights have no newer one by the same method."""

    summary: ReportSummary
    imported: Import | None
    newest: bool


class Column(NamedTuple):
    """A column of the table: its type in a Table Schema, what it means, and the least and the highest number in it. One
    that is ``optional`` is there only if one of the rows has a value for it."""

    name: str
    type: str
    description: str
    minimum: int | None = None
    maximum: int | None = None
    optional: bool = False


SCORE_FIELDS = ("channel", "layer", "top1_agreement")
SCORES_OF_PARTS = tuple(
    (part, transform, field)
    for part in PARTS
    for transform in ALL_TRANSFORMS
    for field in SCORE_FIELDS
    if part == "Final" or field != "top1_agreement"
)
INTERVAL_ENDS = ("low", "high")


def _score_columns() -> Iterable[Column]:
    for part, transform, field in SCORES_OF_PARTS:
        what = f"The {spoken(field)} of {part} under {spoken(transform)}"
        yield from _number(_score_name(part, transform, field), what, maximum=1, optional=transform in KINDS)
    for part in PARTS:
        for transform in KINDS:
            what = f"What interpolation alone leaves of the maps of {part} under {spoken(transform)}"
            yield Column(_score_name(part, transform, "interpolation"), "number", f"{what}.", -1, 1, optional=True)


def _number(name: str, what: str, maximum: int | None = None, optional: bool = True) -> Iterable[Column]:
    """Yield the column of a number from 0 up, and those of the ends of its interval."""
    yield Column(name, "number", f"{what}; empty where it cannot be measured.", 0, maximum, optional)
    for end in INTERVAL_ENDS:
        text = f"The {end} end of its 95 % confidence interval over images."
        yield Column(f"{name}_{end}", "number", text, 0, maximum, optional)


def _opinion_columns() -> Iterable[Column]:
    """Yield the columns of other measures than scores."""
    for part in PARTS:
        for generator in GENERATORS:
            what = f"The local equivariance error of {part}, {spoken(generator)}"
            yield from _number(f"{part}_local_error_{generator}".lower(), what)
    for part in PARTS:
        for transform in ALL_TRANSFORMS:
            what = f"The variance of {part} over {spoken(transform)} by that over images"
            yield from _number(f"{part}_variance_{transform}".lower(), what)
    for part in PARTS:
        what = f"R of {part}: what deformations change by what noise of the same size does, the mean over all sizes"
        yield Column(f"{part}_deformation_ratio".lower(), "number", f"{what}.", 0, optional=True)
    yield from _number("consistency", "How often two windows of an image are of one class", maximum=1)
    yield Column("consistency_offset_px", "integer", "How far apart these windows may be, in pixels.", optional=True)
    yield Column("consistency_published", "number", "What is published of that.", 0, 1, optional=True)


def _score_name(part: str, transform: str, field: str) -> str:
    return f"{part}_{transform}_{field}".lower()


COLUMNS = (
    Column("id", "string", "The audit; reports/ID.json is its report, and reports/ID.html the page."),
    Column("model", "string", "The model's full name: its zoo, its architecture and its tag."),
    Column("weights", "string", "pretrained, untrained, own, or checkpoint:NAME@VERSION."),
    Column("newest", "boolean", "Whether these model and weights have no newer report by the same method."),
    Column("source", "string", "The zoo."),
    Column("family", "string", "The family of architectures."),
    Column("parameters", "integer", "How many parameters the model has."),
    Column("input_size", "integer", "The side of its input in pixels."),
    Column("imagenet_top1", "number", "Its ImageNet accuracy in per cent, as the zoo states it.", 0, 100),
    Column("images", "integer", "How many images were measured."),
    Column("finished_at", "datetime", "When the audit ended, in UTC."),
    Column("imported_at", "datetime", "When a report that was measured elsewhere joined the service, in UTC."),
    Column("dataset", "string", "The data set."),
    Column("num_images", "integer", "How many images were asked for."),
    Column("images_seed", "integer", "The seed that chose the images."),
    Column("images_sha256", "string", "The hash of the list of the chosen images."),
    Column("translations_px", "string", "The shifts in pixels."),
    Column("direction", "string", "Where the shifts go: right, down, or diagonal, which is both at once."),
    Column("rotations_deg", "string", "The counter-clockwise rotations in degrees."),
    Column("reflections", "string", "The reflections: horizontal (left to right), vertical, or none."),
    Column("warps", "string", "The warps, or none.", optional=True),
    Column("deformation", "string", "The mean displacements of deformations in pixels; empty for none.", optional=True),
    Column("local", "boolean", "Whether the local equivariance error was measured.", optional=True),
    Column("consistency_draws", "integer", "How many pairs of windows of each image were compared.", optional=True),
    Column("variance", "boolean", "Whether the variance over transforms was measured.", optional=True),
    Column("similarity", "string", "How feature maps are compared."),
    Column("border", "string", "What fills the border of a shifted image."),
    Column("precision", "string", "The precision of the forward passes."),
    Column("tolerance", "number", "How narrow every interval had to be; empty where all images were measured.", 0, 1),
    Column("protocol", "string", "The version of the measure."),
    *_score_columns(),
    *_opinion_columns(),
)
"""All columns that there may be."""
METHOD_COLUMNS = {"images_seed", *LeaderboardMethod.model_fields}
"""Those that lines must share to be compared."""


FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
"""What a text begins with that some spreadsheet takes for a formula: some pass over spaces, or read wide signs, too."""


def columns_of(rows: Sequence[PublishedRow]) -> list[Column]:
    """Return the columns of a table of these rows: the optional ones only if a row has something else there than what
    was not asked for. A measured 0 is something."""
    values = [_values(row) for row in rows]

    def is_there(value: Any) -> bool:
        return bool(value) or isinstance(value, float)

    return [
        column for column in COLUMNS if not column.optional or any(is_there(one.get(column.name)) for one in values)
    ]


def csv_text(rows: Sequence[PublishedRow]) -> str:
    """Write the rows as CSV, with every digit. An apostrophe comes before text that a spreadsheet would run."""
    text = io.StringIO()
    # With this end of lines, the writer quotes texts that hold any part of it: a carriage return begins no new row.
    names = [column.name for column in columns_of(rows)]
    writer = csv.DictWriter(text, names, lineterminator="\r\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in _values(row).items()} for row in rows)
    return text.getvalue()


def _values(published: PublishedRow) -> dict[str, Any]:
    """Return the value of each column, and some more."""
    row, method = published.summary.row, published.summary.method
    values = dict(method) | dict(row) | {"newest": published.newest, "images_seed": method.seed}
    values["imported_at"] = published.imported.at if published.imported else None
    for part, transform, field in SCORES_OF_PARTS:
        score = getattr(row.parts[part], transform) if part in row.parts else None
        interval = getattr(score, f"{field}_interval", None)
        values |= _number_values(_score_name(part, transform, field), getattr(score, field, None), interval)
    for part_name, part_scores in row.parts.items():
        for transform in KINDS:
            warp: ComparedWarp | None = getattr(part_scores, transform)
            values[_score_name(part_name, transform, "interpolation")] = warp.interpolation if warp else None
        opinion = part_scores.second_opinion or SecondOpinion()
        for measure in ("local_error", "variance"):
            for name, found in getattr(opinion, measure).items():
                values |= _number_values(f"{part_name}_{measure}_{name}".lower(), found.value, found.interval)
        values[f"{part_name}_deformation_ratio".lower()] = leaderboard_number(row, f"deformation.{part_name}.ratio")
    if consistency := row.consistency:
        values |= _number_values("consistency", consistency.value, consistency.interval)
        values |= {"consistency_offset_px": consistency.offset_px, "consistency_published": consistency.published}
    return values


def _number_values(name: str, value: float | None, interval: tuple[float, float] | None) -> dict[str, Any]:
    ends = zip(INTERVAL_ENDS, interval or (None, None), strict=True)
    return {name: value, **{f"{name}_{end}": number for end, number in ends}}


def _cell(value: Any) -> Any:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
        case (Warps(), *_):
            return warps_text(value)
        case Deformations():
            return deformation_text(value)
        case (str(), *_):
            return ",".join(value)
        case tuple():
            return ranges(value)
        case str() if FORMULA.match(value):
            return f"'{value}"
    return value


def _limits(column: Column) -> dict[str, int]:
    limits = {"minimum": column.minimum, "maximum": column.maximum}
    return {name: limit for name, limit in limits.items() if limit is not None}


def data_package(title: str, columns: Iterable[Column] = COLUMNS) -> dict[str, Any]:
    """Describe leaderboard.csv as a Data Package, whose Table Schema says what each of the ``columns`` holds."""
    fields = [
        {"name": column.name, "type": column.type, "description": column.description}
        | ({"constraints": limits} if (limits := _limits(column)) else {})
        for column in columns
    ]
    resource = {
        "name": "leaderboard",
        "path": "leaderboard.csv",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "profile": "tabular-data-resource",
        "schema": {"fields": fields, "primaryKey": "id", "missingValues": [""]},
    }
    return {"name": "zooaudit-leaderboard", "title": title, "profile": "tabular-data-package", "resources": [resource]}
