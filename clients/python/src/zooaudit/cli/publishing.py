"""``zooaudit publish DIR``: a site of static files, which opens from a folder and which any web space shows."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zooaudit.cli import completion
from zooaudit.cli.exit_codes import Exit, Mistake
from zooaudit.contract import Status
from zooaudit.errors import NotFound
from zooaudit.site.publishing import ForeignFolder, Published, publish
from zooaudit.views.terminal import spinner
from zooaudit.views.text import counted, printable

if TYPE_CHECKING:
    from zooaudit.client import AuditClient

TITLE = "Equivariance of pretrained image models"


def add(subparsers: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    text = "write all reports as a static site: a leaderboard, a page for each report, JSON and CSV"
    parser = command(subparsers, "publish", publish_site, text)
    folder_text = "a new or empty folder, or one that was published before, which is brought up to date"
    folder = parser.add_argument("folder", type=Path, metavar="DIR", help=folder_text)
    folder.completer = completion.files  # type: ignore[attr-defined]
    parser.add_argument("--title", default=TITLE, help=f"the site's title (default: {TITLE})")
    model = parser.add_argument("--model", metavar="NAME", help="only audits of models with this in their name")
    model.completer = completion.models  # type: ignore[attr-defined]
    parser.add_argument("--dataset", metavar="NAME", help="only audits on this data set")


def publish_site(client: "AuditClient", args: argparse.Namespace) -> Exit:
    """Publish the audits that have succeeded and that the options name."""

    def fetch(identifier: str, unless_sha256: str | None) -> bytes | None:
        try:
            return client.report_json(identifier, unless_sha256)
        except NotFound as lost:
            raise LookupError(identifier) from lost

    listed = client.audits(status=Status.SUCCEEDED, model=args.model)
    audits = [audit for audit in listed if args.dataset in (None, audit.request.dataset)]
    if not audits:
        kept = f" {args.folder} stays as it is." if args.folder.exists() else ""
        text = "No audit with a report matches what was asked for. See: zooaudit list --status succeeded"
        raise Mistake(f"{text}.{kept}")
    try:
        with spinner(f"Publishing {counted(len(audits), 'report')}"):
            done = publish(args.folder, args.title, audits, fetch)
    except (ForeignFolder, ImportError) as error:
        raise Mistake(f"{error}.") from None
    for identifier in done.lost:
        print(f"Left out: the service has lost the report of {identifier}.", file=sys.stderr)
    if args.json:
        print(json.dumps(asdict(done), indent=2))
    else:
        print(printable(_summary(args.folder, done)))
    return Exit.REFUSED if done.lost else Exit.OK


def _summary(folder: Path, done: Published) -> str:
    changes = (
        f"{counted(done.fetched, 'report')} fetched, {counted(done.written, 'file')} written, {done.removed} removed"
    )
    return f"{counted(done.reports, 'report')} in {folder / 'index.html'}, {done.bytes / 1e6:.1f} MB: {changes}."
