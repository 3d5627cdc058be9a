"""An audit for each of many models: choose the models by a pattern, ask for their audits, wait until all have ended.

The service keeps the state: a request has one audit, whoever asks for it and however often. To resume a sweep that was
interrupted, ask for the same again; audits that have ended are not run again.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from zooaudit.contract import CatalogueEntry, Priority, Problem, full_names
from zooaudit.errors import ConnectionFailed, InvalidRequest, Unavailable
from zooaudit.flows import OUTAGE_S
from zooaudit.options import Options, request_from
from zooaudit.results import Audit
from zooaudit.views.terminal import ShowSweep
from zooaudit.views.text import cause

if TYPE_CHECKING:
    from zooaudit.client import AuditClient

POLL_S = 2.0
PRIORITY: Priority = "low"
"""The priority of a sweep's audits, unless another is asked for: others do not wait behind them."""
ABREAST = 20
"""How many audits are polled at a time: half of them those next in the queue, and half those not seen for longest,
which may have been overtaken by others or may have overtaken them."""
MAX_REFUSALS = 3
"""After this many refusals of one cause, and nothing else, the sweep asks for no more models."""
NO_WEIGHTS = "no pretrained weights; --weights untrained audits such models"


class Matching(NamedTuple):
    """The full names of the models to audit, and by reason the names of those that match but are left out."""

    models: list[str]
    left_out: dict[str, list[str]]


def matching(client: "AuditClient", pattern: str, weights: str = "pretrained") -> Matching:
    """List the full names of all models that match a shell pattern such as ``timm/*in1k``.

    They are in the catalogue's order. A pattern without a zoo matches in all zoos, and a name without a tag stands for
    its first tag. With other ``weights`` than pretrained ones tags do not matter: an architecture matches once.
    """
    if "/" not in pattern:
        pattern = f"*/{pattern}"
    models: list[str] = []
    left_out: dict[str, list[str]] = {}
    for entry in client.models(limit=5000).models:
        names = full_names(entry)
        default = names[:1] if fnmatchcase(entry.name, pattern) else ()
        matched = [name for name in names if name in default or fnmatchcase(name, pattern)]
        if matched and (reason := _reason_against(entry, weights)):
            left_out.setdefault(reason, []).append(entry.name)
        else:
            models += matched if weights == "pretrained" else matched[:1]
    return Matching(models, left_out)


def _reason_against(entry: CatalogueEntry, weights: str) -> str | None:
    if not entry.supported:
        return (entry.reason or "the service gives no reason").rstrip(".")
    return None if entry.pretrained or weights != "pretrained" else NO_WEIGHTS


def sweep(
    client: "AuditClient",
    models: Sequence[str],
    options: Options,
    on_change: ShowSweep = lambda _: None,
    poll_s: float = POLL_S,
) -> dict[str, Audit | Problem]:
    """Ask for an audit of each of ``models``, wait until all have ended, and return them by model.

    A model that the service refuses to audit has the reason instead. When it refuses the first models all for one
    cause, such as a data set that it does not have, the others are not asked for, and are not returned. ``on_change``
    is called after every answer with what is known so far.
    """
    options = {"priority": PRIORITY, **options}
    request_from(models[0], options)  # raises InvalidRequest for what would be wrong with every model
    entries: dict[str, Audit | Problem] = {}
    for model in models:
        try:
            entries[model] = client.submit(model, **options)
        except InvalidRequest as refusal:
            entries[model] = refusal.problem
        on_change(entries)
        if len(entries) == MAX_REFUSALS and _is_one_refusal(entries):
            break
    unfinished = _unfinished(entries)
    while unfinished:
        time.sleep(poll_s)
        for model in _to_poll(unfinished):
            audit = unfinished.pop(model)
            entries[model] = unfinished[model] = _status(client, audit.id, poll_s)  # now seen last of all
            on_change(entries)
        unfinished = _unfinished(unfinished)
    return entries


def _unfinished(entries: Mapping[str, Audit | Problem]) -> dict[str, Audit]:
    return {model: entry for model, entry in entries.items() if isinstance(entry, Audit) and not entry.status.final}


def _to_poll(unfinished: Mapping[str, Audit]) -> list[str]:
    """Choose ABREAST models of these, which are in the order in which their audits were seen last."""
    next_ones = sorted(unfinished, key=lambda model: _last_position(unfinished[model]))
    return list(dict.fromkeys([*next_ones[: ABREAST // 2], *unfinished]))[:ABREAST]


def _last_position(audit: Audit) -> int:
    return audit.queue.position if audit.queue else 0


def _is_one_refusal(entries: Mapping[str, Audit | Problem]) -> bool:
    causes = {cause(entry, model) if isinstance(entry, Problem) else None for model, entry in entries.items()}
    return len(causes) == 1 and None not in causes


def _status(client: "AuditClient", identifier: str, pause_s: float) -> Audit:
    """Fetch the audit, and have patience with a service that is away, such as for a restart."""
    deadline = time.monotonic() + OUTAGE_S
    while True:
        try:
            return client.status(identifier)
        except (ConnectionFailed, Unavailable):
            if time.monotonic() > deadline:
                raise
            time.sleep(pause_s)


def by_cause(problems: Mapping[str, Problem]) -> Iterator[tuple[list[str], Problem]]:
    """Group models by the cause of their problems. Yield the models of each cause with the problem of the first."""
    groups: dict[str, list[str]] = {}
    for model, problem in problems.items():
        groups.setdefault(cause(problem, model), []).append(model)
    for models in groups.values():
        yield models, problems[models[0]]
