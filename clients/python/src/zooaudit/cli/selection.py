"""Chooses the audits that ``zooaudit compare`` compares, and reads the accuracies to compare them with."""

import csv
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from zooaudit.contract import ModelName, Status

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
) -> list[str]:
    """Return the ids of the audits that ``arguments`` stand for, each once and in their order.

    An id stands for itself. A model's name, or a shell pattern of names, stands for the newest audit with a report of
    each model that matches; a name may leave out its zoo and its tag. ``dataset`` and ``num_images`` restrict these
    audits. ``weights``, a pattern too, does so as well, and gives the newest audit of each model and weights:
    ``checkpoint:*`` sets the checkpoints of a model side by side.

    Raises ValueError if a name matches nothing.
    """
    identifiers: dict[str, None] = {}
    newest: dict[tuple[str, str], str] | None = None
    for argument in arguments:
        if re.fullmatch(r"[0-9a-f]{32}", argument):
            identifiers[argument] = None
            continue
        if newest is None:
            newest = _newest_audits(client, weights, dataset, num_images)
        matches = [newest[key] for key in sorted(newest) if _matches(key[0], argument)]
        if not matches:
            raise ValueError(
                f"No report of {argument} matches what was asked for. See: zooaudit list --status succeeded"
            )
        identifiers |= dict.fromkeys(matches)
    return list(identifiers)


def _newest_audits(
    client: "AuditClient", weights: str | None, dataset: str | None, num_images: int | None
) -> dict[tuple[str, str], str]:
    """Find the newest audit with a report of each model, or of each model and weights if ``weights`` is given."""
    newest: dict[tuple[str, str], str] = {}
    for audit in islice(client.audits(status=Status.SUCCEEDED), MAX_AUDITS):
        request = audit.request
        has_images = dataset in (None, request.dataset) and num_images in (None, request.num_images)
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
    results-imagenet.csv. Raises ValueError if the file has none."""
    accuracies: dict[str, float] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if missing := {"model", "top1"} - set(rows.fieldnames or ()):
                raise ValueError(f"there is no column {' and no column '.join(sorted(missing))}")
            for row in rows:
                try:
                    top1 = float(row["top1"])
                except (TypeError, ValueError):
                    raise ValueError(f"line {rows.line_num}: top1 is not a number") from None
                if not 0 <= top1 <= 100:
                    raise ValueError(f"line {rows.line_num}: top1 is not a per cent")
                accuracies[row["model"]] = top1
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} has no accuracies: {error}") from None
    return accuracies
