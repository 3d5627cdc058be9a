"""Chooses the audits that ``zooaudit compare`` compares, and reads the accuracies to compare them with."""

import csv
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from zooaudit.cli.exit_codes import Mistake
from zooaudit.cli.saved import is_file, read_report
from zooaudit.contract import ModelName, Status
from zooaudit.errors import NotFound

if TYPE_CHECKING:
    from zooaudit.client import AuditClient

MAX_AUDITS = 10_000
"""How many audits, newest first, are searched for those of a model."""


def select(
    client: "AuditClient",
    arguments: Sequence[str],
    weights: str | None = None,
    dataset: str | None = None,
    num_images: int | None = None,
    seed: int | None = None,
) -> list[str]:
    """Return the ids of the audits that ``arguments`` stand for, each once and in their order.

    An id, or how one starts, stands for itself; a saved report, for the service's own. A model's name, or a shell
    pattern of names, stands for the newest audit with a report of each model that matches; a name may leave out its zoo
    and its tag. ``dataset``, ``num_images`` and ``seed`` restrict these audits. ``weights``, a pattern too, does so as
    well, and gives the newest audit of each model and weights: ``checkpoint:*`` sets the checkpoints of a model side by
    side.

    Raises Mistake if a name matches nothing.
    """
    identifiers: dict[str, None] = {}
    newest: dict[tuple[str, str], str] | None = None
    for argument in arguments:
        if is_file(argument):
            identifiers[_id_of_saved(client, Path(argument))] = None
            continue
        if re.fullmatch("[0-9a-fA-F]{32}", argument):
            identifiers[argument.lower()] = None
            continue
        if re.fullmatch("[0-9a-fA-F]{4,31}", argument):
            identifiers[client.status(argument).id] = None
            continue
        if newest is None:
            newest = _newest_audits(client, weights, dataset, num_images, seed)
        matches = [newest[key] for key in sorted(newest) if _matches(key[0], argument)]
        if not matches:
            raise Mistake(f"No report of {argument} matches what was asked for. See: zooaudit list --status succeeded")
        identifiers |= dict.fromkeys(matches)
    return list(identifiers)


def _id_of_saved(client: "AuditClient", path: Path) -> str:
    identifier = read_report(path).id
    try:
        client.status(identifier)
    except NotFound:
        raise Mistake(
            f"{client.base_url} has no audit {identifier}, of which {path} is the report; only what the service has "
            "can be compared."
        ) from None
    return identifier


def _newest_audits(
    client: "AuditClient", weights: str | None, dataset: str | None, num_images: int | None, seed: int | None
) -> dict[tuple[str, str], str]:
    """Find the newest audit with a report of each model, or of each model and weights if ``weights`` is given."""
    newest: dict[tuple[str, str], str] = {}
    for audit in islice(client.audits(status=Status.SUCCEEDED), MAX_AUDITS):
        request = audit.request
        has_images = dataset in (None, request.dataset) and num_images in (None, request.num_images)
        has_images = has_images and seed in (None, request.seed)
        if has_images and fnmatchcase(request.weights, weights or "*"):
            newest.setdefault((request.model, request.weights if weights else ""), audit.id)
    return newest


def _matches(model: str, name: str) -> bool:
    """Tell whether a model's full name matches a pattern, which may leave out the zoo and the tag.

    >>> [_matches("timm/resnet18.a1_in1k", name) for name in ("resnet18", "timm/resnet18.a*", "timm/resnet*", "18")]
    [True, True, True, False]
    """
    pattern = name if "/" in name else f"*/{name}"
    without_tag = str(ModelName.parse(model)._replace(tag=None))
    return fnmatchcase(model, pattern) or fnmatchcase(without_tag, pattern)


def read_top1(path: Path) -> dict[str, float]:
    """Read accuracies in per cent by model, from the columns ``model`` and ``top1`` of a CSV file, such as timm's
    results-imagenet.csv. Raises Mistake if the file has none."""
    accuracies: dict[str, float] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if missing := {"model", "top1"} - set(rows.fieldnames or ()):
                raise Mistake(f"there is no column {' and no column '.join(sorted(missing))}")
            for row in rows:
                model, top1 = row["model"], _per_cent(row["top1"], rows.line_num)
                if accuracies.setdefault(model, top1) != top1:
                    raise Mistake(f"line {rows.line_num}: {model} has another accuracy above")
    except UnicodeDecodeError:
        raise Mistake(f"{path} has no accuracies: it is not text in UTF-8.") from None
    except OSError as error:
        raise Mistake(f"{path} has no accuracies: {error.strerror or error}.") from None
    except (Mistake, csv.Error) as error:
        raise Mistake(f"{path} has no accuracies: {error}.") from None
    return accuracies


def _per_cent(text: str | None, line: int) -> float:
    try:
        top1 = float(text or "")
    except ValueError:
        raise Mistake(f"line {line}: top1 is not a number") from None
    if not 0 <= top1 <= 100:
        raise Mistake(f"line {line}: top1 is not a per cent")
    return top1
