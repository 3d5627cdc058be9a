"""Which audits a comparison takes, and which accuracies."""

import csv
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from zooaudit.contract import Audit, Status

if TYPE_CHECKING:
    from zooaudit.client import AuditClient

MAX_AUDITS = 10_000
"""So many audits, the newest, are looked through for those of a model."""


def select(
    client: "AuditClient",
    wanted: Sequence[str],
    weights: str | None = None,
    dataset: str | None = None,
    num_images: int | None = None,
) -> list[str]:
    """The ids of ``wanted``, each once and in that order: of an id itself, and of a model's name or a shell pattern of
    names the newest audit of each model that matches and has a report, with these images where given. ``weights`` is a
    pattern, too: with it, of each model and weights, so that ``checkpoint:*`` sets a model's checkpoints side by side.

    A name may leave its zoo and its tag away. Raises ValueError where one matches nothing.
    """
    ids: dict[str, None] = {}
    newest: dict[tuple[str, str], Audit] | None = None
    for name in wanted:
        if re.fullmatch(r"[0-9a-f]{32}", name):
            ids[name] = None
            continue
        if newest is None:
            newest = {}
            for audit in islice(client.audits(status=Status.SUCCEEDED), MAX_AUDITS):
                asked = audit.request
                wanted_images = dataset in (None, asked.dataset) and num_images in (None, asked.num_images)
                if wanted_images and fnmatchcase(asked.weights, weights or "*"):
                    newest.setdefault((asked.model, asked.weights if weights else ""), audit)
        found = [newest[key].id for key in sorted(newest) if _matches(key[0], name)]
        if not found:
            raise ValueError(f"No report of {name} matches what was asked for. See: zooaudit list --status succeeded")
        ids |= dict.fromkeys(found)
    return list(ids)


def _matches(model: str, name: str) -> bool:
    """
    >>> [_matches("timm/resnet18.a1_in1k", name) for name in ("resnet18", "timm/resnet18.a*", "timm/resnet*", "18")]
    [True, True, True, False]
    """
    pattern = name if "/" in name else f"*/{name}"
    return fnmatchcase(model, pattern) or fnmatchcase(model.partition(".")[0], pattern)


def read_top1(path: Path) -> dict[str, float]:
    """Accuracies in per cent by model, from the columns ``model`` and ``top1`` of a CSV file, such as timm's
    results-imagenet.csv. Raises ValueError where it is no such file."""
    found: dict[str, float] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if missing := {"model", "top1"} - set(rows.fieldnames or ()):
                raise ValueError(f"there is no column {' and no column '.join(sorted(missing))}")
            for row in rows:
                try:
                    value = float(row["top1"])
                except (TypeError, ValueError):
                    raise ValueError(f"line {rows.line_num}: top1 is not a number") from None
                if not 0 <= value <= 100:
                    raise ValueError(f"line {rows.line_num}: top1 is not a per cent")
                found[row["model"]] = value
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} has no accuracies: {error}") from None
    return found
