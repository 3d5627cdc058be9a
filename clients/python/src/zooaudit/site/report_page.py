"""The page of one report: what it says, its tables, its figures, where its numbers come from, and the report itself."""

from collections.abc import Mapping
from typing import Any

from zooaudit.contract import KINDS, TERMS, Import, Report
from zooaudit.exports.numbers import parameters
from zooaudit.site.rendering import asset, compact, in_script, plotly_script, render
from zooaudit.version import __version__
from zooaudit.views import figures
from zooaudit.views.figures.labels import model_name
from zooaudit.views.reading import reading
from zooaudit.views.report_tables import report_tables
from zooaudit.views.second_opinion_tables import opinion_columns
from zooaudit.views.tables import Table
from zooaudit.views.text import duration, printable, spoken, three_decimals

FIGURES = {
    "parts": "Scores by part of the depth",
    "shifts": "Scores over the shift of the image",
    "agreement": "How often the predicted class stays the same, beside the scores of Final",
    "depth": "Scores over the depth, block by block",
    "warps": "Scores over the amounts of warps, and what interpolation alone leaves",
    "deformations": "Stability to deformations, over their gradient and against noise",
    "local_error": "Local equivariance error over the depth, block by block",
    "variance": "Variance over transforms by that over images, block by block",
}


def self_contained(report: Report) -> str:
    """Make a page of the report that needs no other file and no network. Raises ImportError, which says what to
    install, without jinja2 or plotly."""
    return _page(
        report,
        site=None,
        imported=None,
        styles=asset("site.css"),
        scripts=[plotly_script().read_text("utf-8"), asset("report.js")],
        report_json=in_script(report.model_dump_json()),
        assets={},
    )


def page_in_site(report: Report, site: str, imported: Import | None, assets: Mapping[str, str]) -> str:
    """Make the report's page in a site of that title, which has the report beside it; ``assets`` are the paths of the
    shared files."""
    return _page(report, site=site, imported=imported, styles="", scripts=[], report_json="", assets=assets)


def _page(report: Report, **values: Any) -> str:
    parts_table, *other_tables = report_tables(report)
    captions = {name: FIGURES[name] for name in figures.shown([report.method]) if name in FIGURES}
    return render(
        "report.html",
        report=report,
        name=model_name(report),
        reading=reading(report),
        terms=TERMS,
        parts_table=parts_table,
        tables=other_tables,
        blocks=_block_table(report),
        facts=_facts(report),
        captions=captions,
        figures_json=compact({name: figures.of(name, [report]) for name in captions}),
        version=__version__,
        **values,
    )


def _block_table(report: Report) -> Table:
    """Show the scores of each block, and what other measures say."""
    scores = [
        (f"{spoken(name)} {field}".capitalize(), name, field)
        for name in report.method.transforms
        for field in ("channel", "layer", *(["interpolation"] if name in KINDS else []))
    ]
    opinions = opinion_columns([block.second_opinion for block in report.blocks])
    rows = [
        [
            printable(block.name),
            block.part,
            str(block.channels),
            f"{block.height} × {block.width}",
            str(block.dead_channels),
            *(three_decimals(getattr(getattr(block, name), field)) for _, name, field in scores),
            *(cell(block.second_opinion) for cell in opinions.values()),
        ]
        for block in report.blocks
    ]
    columns = ("Block", "Part", "Channels", "Map", "Dead", *(title for title, *_ in scores), *opinions)
    return Table(columns, rows, numbers_from=2)


def _facts(report: Report) -> list[tuple[str, str]]:
    """List what is needed to measure the report again, by name."""
    environment, timing = report.environment, report.timing
    facts = {name.replace("_", " "): str(value) for name, value in parameters(report).items()}
    facts["weights from"] = report.model.weights.origin
    versions = (f"{name} {getattr(environment, name)}" for name in ("zooaudit", "torch", "timm", "torchvision"))
    facts["measured with"] = f"{', '.join(versions)}, Python {environment.python}"
    facts["measured on"] = ", ".join(environment.devices) or environment.device
    facts["finished"] = f"{timing.finished_at:%Y-%m-%d %H:%M} UTC, after {duration(timing.seconds)}"
    if environment.report_sha256:
        facts["seal of the report"] = environment.report_sha256
    return [(name, printable(value)) for name, value in facts.items()]
