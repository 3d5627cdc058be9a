"""Writes a site of static files into a folder: a leaderboard, a page for each report, the reports, and a table of all.

The site opens from the folder, without a server. The same reports give the same files, to the last byte; what has not
changed is neither fetched nor written again. ``manifest.json`` lists the files of the site, so that other files in the
folder are never touched. The files that pages share have a part of their hash in their names: neither a browser's old
copy nor a publication that was interrupted puts a page together with the script of another version.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from zooaudit.contract import (
    ALL_TRANSFORMS,
    KINDS,
    PARTS,
    SCORES,
    TERMS,
    Audit,
    Import,
    Report,
    ReportSummary,
    TransformName,
    newest_rows,
    summary_of,
)
from zooaudit.site.columns import METHOD_COLUMNS, PublishedRow, columns_of, csv_text, data_package
from zooaudit.site.rendering import asset, compact, look, plotly_script, render
from zooaudit.site.report_page import page_in_site
from zooaudit.version import __version__
from zooaudit.views.figures.labels import model_name
from zooaudit.views.report_tables import method_line
from zooaudit.views.text import counted, half_width, is_cut, kept_digits, spoken

MANIFEST = "manifest.json"
OURS = re.compile(
    r"(index\.html|terms\.html|leaderboard\.csv|datapackage\.json|README\.md"
    r"|assets/(plotly|report|leaderboard)\.[0-9a-f]{12}\.js|assets/site\.[0-9a-f]{12}\.css"
    r"|assets/(plotly\.min|report|leaderboard)\.js|assets/site\.css"  # of sites by 0.2.0
    r"|reports/[0-9a-f]{32}\.(json|html))"
)
"""The paths that a site may have: a manifest that lists others is not obeyed."""

DECIMALS = 4
"""Of the numbers in the leaderboard's page, which shows three of them and sorts by all."""

FetchReport = Callable[[str, str | None], bytes | None]
"""Fetches the report of an audit byte for byte; returns None if the bytes with this SHA-256 are still the report."""


class ForeignFolder(ValueError):
    """The folder has files that are no site's; the message says which."""


@dataclass(frozen=True)
class Known:
    """What the manifest of an earlier site says: the hash of each file, None for one that was about to be written;
    when each report's audit had ended; and what all pages were made from."""

    files: Mapping[str, str | None] = field(default_factory=dict)
    finished: Mapping[str, str] = field(default_factory=dict)
    imported: Mapping[str, str] = field(default_factory=dict)
    pages_from: str = ""


@dataclass
class Published:
    """What publishing has done. ``lost`` are ids of audits whose report the service does not have."""

    reports: int = 0
    fetched: int = 0
    written: int = 0
    removed: int = 0
    bytes: int = 0
    lost: list[str] = field(default_factory=list)


def publish(folder: Path, title: str, audits: Iterable[Audit], fetch: FetchReport) -> Published:
    """Write the site of these audits, which have succeeded, into ``folder``.

    Raises ForeignFolder before anything is written if the folder has files of others where a file of the site would be,
    or is no site. Raises ImportError, which says what to install, without jinja2 or plotly.
    """
    known = read_manifest(folder)
    shared = _shared_files()
    assets = {name: path for name, (path, _) in shared.items()}
    made_from = f"{__version__}\n{look()}\n{sorted(assets.values())}\n{title}"
    pages_from = hashlib.sha256(made_from.encode()).hexdigest()[:16]
    site = _Site(folder, known, Published())
    wanted = {audit.id: audit for audit in audits}
    reports = (f"reports/{identifier}.{kind}" for identifier in wanted for kind in ("json", "html"))
    site.begin([*_SUMMARIES, *assets.values(), *reports])
    for path, body in shared.values():
        site.write(path, body)
    rows: list[tuple[ReportSummary, Import | None]] = []
    finished: dict[str, str] = {}
    imported: dict[str, str] = {}
    names: dict[str, str] = {}
    for identifier, audit in sorted(wanted.items()):
        finished_at = audit.finished_at.isoformat() if audit.finished_at else ""
        imported_at = audit.imported.at.isoformat() if audit.imported else ""
        content = site.report(identifier, is_current=known.finished.get(identifier) == finished_at, fetch=fetch)
        if content is None:
            site.done.lost.append(identifier)
            continue
        report = Report.model_validate_json(content, extra="ignore")  # as a client reads a newer service's answers
        page = f"reports/{identifier}.html"
        is_same = known.pages_from == pages_from and known.imported.get(identifier, "") == imported_at
        if not (is_same and site.is_unchanged(f"reports/{identifier}.json") and site.keep(page)):
            site.write(page, page_in_site(report, title, audit.imported, assets).encode())
        rows.append((summary_of(report), audit.imported))
        names[page] = model_name(report)
        finished[identifier] = finished_at
        if imported_at:
            imported[identifier] = imported_at
    site.done.reports = len(rows)
    table = _with_newest(rows)
    site.write("leaderboard.csv", csv_text(table).encode())
    columns = columns_of(table)
    site.write("datapackage.json", _json(data_package(title, columns)))
    pages = sorted(names.items(), key=lambda item: (item[1], item[0]))
    leaderboard: dict[str, Any] = {"title": title, "version": __version__, "assets": assets, "pages": pages}
    leaderboard["rows_json"] = compact(_leaderboards(table))
    leaderboard["transforms"] = [spoken(transform) for transform in _transforms(table)]
    site.write("index.html", render("index.html", **leaderboard).encode())
    terms: dict[str, Any] = {"title": title, "version": __version__, "terms": TERMS, "assets": assets}
    site.write("terms.html", render("terms.html", **terms).encode())
    readme = {"title": title, "version": __version__, "count": counted(len(rows), "report"), "columns": columns}
    readme["compared"] = [f"`{column.name}`" for column in columns if column.name in METHOD_COLUMNS]
    site.write("README.md", render("README.md", **readme).encode())
    site.end(Known(site.files, finished, imported, pages_from))
    return site.done


_SUMMARIES = ("index.html", "terms.html", "leaderboard.csv", "datapackage.json", "README.md")


def _shared_files() -> dict[str, tuple[str, bytes]]:
    """Return the files that pages share, by their names in templates: the path in the site, and the content."""
    contents = {name: asset(name).encode() for name in ("site.css", "report.js", "leaderboard.js")}
    contents["plotly.js"] = plotly_script().read_bytes()
    shared = {}
    for name, content in contents.items():
        stem, kind = name.split(".")
        shared[f"{stem}_{kind}"] = (f"assets/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{kind}", content)
    return shared


def read_manifest(folder: Path) -> Known:
    """Read what an earlier publication has left in the folder. Raises ForeignFolder if the folder is no site."""
    if not folder.exists():
        return Known()
    if not folder.is_dir():
        raise ForeignFolder(f"{folder} is not a folder")
    try:
        body = json.loads((folder / MANIFEST).read_text("utf-8"))
        known = TypeAdapter(Known).validate_python(
            {key: body[key] for key in ("files", "finished", "imported", "pages_from")}
        )
    except FileNotFoundError:
        if others := sorted(path.name for path in folder.iterdir() if path != _unfinished(folder / MANIFEST)):
            raise ForeignFolder(
                f"{folder} is no site of zooaudit and not empty: it has {', '.join(others[:3])}"
                f"{' and more' if len(others) > 3 else ''}. Give a new or empty folder"
            ) from None
        return Known()
    except (ValueError, TypeError, KeyError, ValidationError):
        raise ForeignFolder(
            f"{folder / MANIFEST} is not the manifest of a site of zooaudit. Give another folder"
        ) from None
    files = {path: digest for path, digest in known.files.items() if OURS.fullmatch(path)}
    return Known(files, known.finished, known.imported, known.pages_from)


class _Site:
    """The files of a site while it is written."""

    def __init__(self, folder: Path, known: Known, done: Published) -> None:
        self._folder, self._known, self.done = folder, known, done
        self.files: dict[str, str | None] = {}

    def begin(self, paths: Sequence[str]) -> None:
        """Note which files will be written, so that they are known for ours even if this is interrupted."""
        foreign = [path for path in paths if path not in self._known.files and (self._folder / path).exists()]
        if foreign:
            raise ForeignFolder(
                f"{self._folder} has a file {foreign[0]} that zooaudit has not written. Remove it first"
            )
        planned = {**dict.fromkeys(paths), **self._known.files}
        _write(self._folder / MANIFEST, _manifest(Known(planned, self._known.finished, self._known.imported)))

    def report(self, identifier: str, is_current: bool, fetch: FetchReport) -> bytes | None:
        """Return the report's bytes, and fetch them only if they may have changed; None if it has none."""
        path = f"reports/{identifier}.json"
        content = (self._folder / path).read_bytes() if (self._folder / path).is_file() else None
        digest = None if content is None else hashlib.sha256(content).hexdigest()
        if digest is None or digest != self._known.files.get(path) or not is_current:
            try:
                fetched = fetch(identifier, digest)
            except LookupError:
                return None
            if fetched is not None:
                self.done.fetched += 1
                content = fetched
        if content is not None:
            self.write(path, content)
        return content

    def is_unchanged(self, path: str) -> bool:
        """Tell whether a file of the site is the one that the manifest knows."""
        return self.files[path] == self._known.files.get(path)

    def keep(self, path: str) -> bool:
        """Keep a file of the earlier site if it is as it was written."""
        content = self._read_unchanged(path)
        if content is not None:
            self.write(path, content)
        return content is not None

    def write(self, path: str, content: bytes) -> None:
        """Write a file of the site, whole or not at all, unless it is there already."""
        self.files[path] = digest = hashlib.sha256(content).hexdigest()
        self.done.bytes += len(content)
        on_disk = self._folder / path
        if digest != self._known.files.get(path) or not on_disk.is_file() or on_disk.read_bytes() != content:
            _write(on_disk, content)
            self.done.written += 1

    def end(self, now: Known) -> None:
        """Remove the files of the earlier site that this one does not have, and write the manifest."""
        for path in sorted(set(self._known.files) - set(self.files)):
            (self._folder / path).unlink(missing_ok=True)
            _unfinished(self._folder / path).unlink(missing_ok=True)
            self.done.removed += 1
        _write(self._folder / MANIFEST, _manifest(now))

    def _read_unchanged(self, path: str) -> bytes | None:
        """Read a file of the earlier site; None if there is none, or somebody has changed it."""
        digest = self._known.files.get(path)
        if digest is None or not (self._folder / path).is_file():
            return None
        content = (self._folder / path).read_bytes()
        return content if hashlib.sha256(content).hexdigest() == digest else None


def _with_newest(rows: Sequence[tuple[ReportSummary, Import | None]]) -> list[PublishedRow]:
    """Tell which rows are the newest of their model and weights by their method, and sort all by model."""
    by_method: dict[str, list[ReportSummary]] = {}
    for summary, _ in rows:
        by_method.setdefault(summary.method.model_dump_json(), []).append(summary)
    newest = {row.id for summaries in by_method.values() for row in newest_rows(summary.row for summary in summaries)}
    made = [PublishedRow(summary, imported, summary.row.id in newest) for summary, imported in rows]
    return sorted(made, key=lambda row: (row.summary.row.model, row.summary.row.weights, row.summary.row.id))


def _leaderboards(table: Sequence[PublishedRow]) -> dict[str, Any]:
    """Make what the leaderboard's script shows: for each method, that of most models first, the newest rows."""
    boards: dict[str, list[ReportSummary]] = {}
    for row in table:
        if row.newest:
            boards.setdefault(row.summary.method.model_dump_json(), []).append(row.summary)
    ordered = sorted(boards.items(), key=lambda item: (-len(item[1]), item[0]))
    methods = [
        {"label": _method_label(summaries[0]), "rows": [_row(one, _transforms(table)) for one in summaries]}
        for _, summaries in ordered
    ]
    return {"parts": PARTS, "methods": methods}


def _method_label(summary: ReportSummary) -> str:
    method = summary.method
    images = f"{counted(method.num_images, 'image')} of {method.dataset}, seed {method.seed}"
    return f"{images} ({method.images_sha256[:6]}); {method_line(method)}"


def _transforms(table: Sequence[PublishedRow]) -> list[TransformName]:
    """Return the transforms that the leaderboard can show: warps only where they were asked for."""
    asked = {name for row in table for name in row.summary.method.transforms}
    return [name for name in ALL_TRANSFORMS if name not in KINDS or name in asked]


def _row(summary: ReportSummary, transforms: Sequence[TransformName]) -> dict[str, Any]:
    """Make a row with its scores by part, transform and score: the value, and half the width of its interval, or both
    of its ends where it is not symmetric about the value."""

    def numbers(part: str, transform: str, score: str) -> list[float] | None:
        parts: Any = summary.row.parts
        measured = getattr(parts.get(part), transform, None)
        if measured is None:
            return None
        value, interval = getattr(measured, score), getattr(measured, f"{score}_interval")
        if value is None:
            return None
        uncertainty = () if interval is None else interval if is_cut(value, interval) else (half_width(interval),)
        return [kept_digits(number, DECIMALS) for number in (value, *uncertainty)]

    row = summary.row
    scores = [[[numbers(part, transform, score) for score in SCORES] for transform in transforms] for part in PARTS]
    facts = {"id": row.id, "model": row.model, "weights": row.weights, "family": row.family, "top1": row.imagenet_top1}
    return {**facts, "parameters": row.parameters, "scores": scores}


def _manifest(known: Known) -> bytes:
    return _json(
        {
            "generator": f"zooaudit {__version__}",
            "pages_from": known.pages_from,
            "files": dict(sorted(known.files.items())),
            "finished": dict(sorted(known.finished.items())),
            "imported": dict(sorted(known.imported.items())),
        }
    )


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _unfinished(path: Path) -> Path:
    """Name a file until it is whole: what a publication that was killed leaves behind."""
    return path.with_name(f".{path.name}.zooaudit")


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _unfinished(path)
    temporary.write_bytes(content)
    temporary.replace(path)
