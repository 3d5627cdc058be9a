"""``zooaudit import FILE...``: reports that were measured elsewhere join the service's store."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zooaudit.cli import completion
from zooaudit.cli.exit_codes import Exit, exit_of_error
from zooaudit.cli.saved import read_text
from zooaudit.errors import Conflict, InvalidRequest
from zooaudit.results import Audit
from zooaudit.views.text import printable, subject

if TYPE_CHECKING:
    from zooaudit.client import AuditClient


def add(subparsers: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    text = "let reports that python -m worker.cli or another service has measured join the service's store"
    parser = command(subparsers, "import", import_reports, text)
    files = parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a report as JSON")
    files.completer = completion.files  # type: ignore[attr-defined]


def import_reports(client: "AuditClient", args: argparse.Namespace) -> Exit:
    """Import each file; one that the service refuses does not keep the others away."""
    contents = {path: read_text(path) for path in args.files}  # before the first one is sent
    imported: dict[str, Audit] = {}
    worst = Exit.OK
    for path, content in contents.items():
        try:
            imported[str(path)] = audit = client.import_report(content)
        except (InvalidRequest, Conflict) as refusal:
            print(printable(f"{path}: {refusal}"), file=sys.stderr)
            worst = worst or exit_of_error(refusal)
            continue
        if not args.json:
            measured = "" if audit.imported else " (measured by this service)"
            print(printable(f"{audit.id}  {subject(audit.request)}{measured}"))
    if args.json:
        print(json.dumps({path: audit.model_dump(mode="json") for path, audit in imported.items()}, indent=2))
    return worst
