"""The columns of leaderboard.csv, each with what it means, and their Table Schema."""

import csv
import io
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from zooaudit.contract import ALL_TRANSFORMS, PARTS, Import, ReportSummary
from zooaudit.views.text import ranges


class PublishedRow(NamedTuple):
    """One report of a site: ``newest`` tells whether its model and weights have no newer one by the same method."""

    summary: ReportSummary
    imported: Import | None
    newest: bool


class Column(NamedTuple):
    """A column of the table: its type in a Table Schema, what it means, and the highest number in it."""

    name: str
    type: str
    description: str
    maximum: int | None = None


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
        name = _score_name(part, transform, field)
        what = f"The {field.replace('_', ' ')} of {part} under {transform}"
        yield Column(name, "number", f"{what}; empty where it cannot be measured.", 1)
        for end in INTERVAL_ENDS:
            yield Column(f"{name}_{end}", "number", f"The {end} end of its 95 % confidence interval over images.", 1)


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
    Column("imagenet_top1", "number", "Its ImageNet accuracy in per cent, as the zoo states it.", 100),
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
    Column("similarity", "string", "How feature maps are compared."),
    Column("border", "string", "What fills the border of a shifted image."),
    Column("precision", "string", "The precision of the forward passes."),
    Column("tolerance", "number", "How narrow every interval had to be; empty where all images were measured.", 1),
    Column("protocol", "string", "The version of the measure."),
    *_score_columns(),
)


FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
"""What a text begins with that some spreadsheet takes for a formula: some pass over spaces, or read wide signs, too."""


def csv_text(rows: Iterable[PublishedRow]) -> str:
    """Write the rows as CSV, with every digit. An apostrophe comes before text that a spreadsheet would run."""
    text = io.StringIO()
    # With this end of lines, the writer quotes texts that hold any part of it: a carriage return begins no new row.
    writer = csv.DictWriter(text, [column.name for column in COLUMNS], lineterminator="\r\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in _values(row).items()} for row in rows)
    return text.getvalue()


def _values(published: PublishedRow) -> dict[str, Any]:
    """Return the value of each column, and some more."""
    row, method = published.summary.row, published.summary.method
    values = dict(method) | dict(row) | {"newest": published.newest, "images_seed": method.seed}
    values["imported_at"] = published.imported.at if published.imported else None
    for part, transform, field in SCORES_OF_PARTS:
        name = _score_name(part, transform, field)
        score = getattr(row.parts[part], transform) if part in row.parts else None
        values[name] = getattr(score, field, None)
        interval = getattr(score, f"{field}_interval", None) or (None, None)
        values |= {f"{name}_{end}": number for end, number in zip(INTERVAL_ENDS, interval, strict=True)}
    return values


def _cell(value: Any) -> Any:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
        case (str(), *_):
            return ",".join(value)
        case tuple():
            return ranges(value)
        case str() if FORMULA.match(value):
            return f"'{value}"
    return value


def data_package(title: str) -> dict[str, Any]:
    """Describe leaderboard.csv as a Data Package, whose Table Schema says what each column holds."""
    fields = [
        {"name": column.name, "type": column.type, "description": column.description}
        | ({} if column.maximum is None else {"constraints": {"minimum": 0, "maximum": column.maximum}})
        for column in COLUMNS
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
