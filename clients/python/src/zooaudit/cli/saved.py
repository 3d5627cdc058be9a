"""Reports that were saved as files, as ``--output`` and ``--json`` write them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from zooaudit.cli.exit_codes import Mistake
from zooaudit.contract import said
from zooaudit.results import Report

if TYPE_CHECKING:
    from zooaudit.client import AuditClient


def is_file(argument: str) -> bool:
    """Tell whether an argument means a saved report rather than an audit of the service.

    >>> [is_file(argument) for argument in ("report.json", "./report", "0123abcd", "timm/resnet18")]
    [True, True, False, False]
    """
    if argument.endswith(".json") or argument.startswith((".", "/")):
        return True
    return not re.fullmatch("[0-9a-fA-F]{32}", argument) and Path(argument).is_file()


def read_report(path: Path) -> Report:
    """Read a report from its JSON file. Raises Mistake if the file is no report."""
    try:
        return Report.model_validate_json(read_text(path))
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        why = f"{'.'.join(map(str, first['loc']))}: {said(first)}".removeprefix(": ")
    raise Mistake(f"{path} is not a report: {why}.")


def read_text(path: Path) -> str:
    """Read the file of a report. Raises Mistake if there is no text in it."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        why = "it is not text in UTF-8"
    except OSError as error:
        why = error.strerror or str(error)
    raise Mistake(f"{path} is not a report: {why}.")


def report_of(client: "AuditClient", argument: str) -> Report:
    """Return the report that ``argument`` means: a saved one, or that of the audit with this id."""
    return read_report(Path(argument)) if is_file(argument) else client.report(argument)
