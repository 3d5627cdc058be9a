"""An audit for each of many models: choose the models by a pattern, ask for their audits, wait until all have ended.

The service keeps the state: a request has one audit, whoever asks for it and however often. To resume a sweep that was
interrupted, ask for the same again; audits that have ended are not run again.
"""

import time
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING

from zooaudit.contract import Problem, full_names
from zooaudit.errors import InvalidRequest
from zooaudit.options import Options
from zooaudit.results import Audit
from zooaudit.views.terminal import ShowSweep

if TYPE_CHECKING:
    from zooaudit.client import AuditClient

POLL_S = 2.0
ABREAST = 20
"""How many audits are polled at a time: the queue is first come, first served, so the later ones cannot be running."""


def matching(client: "AuditClient", pattern: str, weights: str = "pretrained") -> list[str]:
    """List the full names of all models that can be audited and match a shell pattern such as ``timm/*in1k``.

    They are in the catalogue's order. A pattern without a zoo matches in both zoos, and a name without a tag stands for
    its first tag. With other ``weights`` than pretrained ones tags do not matter: an architecture matches once.
    """
    if "/" not in pattern:
        pattern = f"*/{pattern}"
    models: list[str] = []
    for entry in client.models(limit=5000).models:
        if entry.supported and (entry.pretrained or weights != "pretrained"):
            names = full_names(entry)
            default = names[:1] if fnmatchcase(entry.name, pattern) else ()
            matched = [name for name in names if name in default or fnmatchcase(name, pattern)]
            models += matched if weights == "pretrained" else matched[:1]
    return models


def sweep(
    client: "AuditClient",
    models: list[str],
    options: Options,
    on_change: ShowSweep = lambda _: None,
    poll_s: float = POLL_S,
) -> dict[str, Audit | Problem]:
    """Ask for an audit of each of ``models``, wait until all have ended, and return them by model.

    A model that the service refuses to audit has the reason instead. ``on_change`` is called after every answer with
    what is known so far.
    """
    entries: dict[str, Audit | Problem] = {}
    for model in models:
        try:
            entries[model] = client.submit(model, **options)
        except InvalidRequest as refusal:
            entries[model] = refusal.problem
        on_change(entries)
    while waiting := {
        model: entry.id for model, entry in entries.items() if isinstance(entry, Audit) and not entry.status.final
    }:
        time.sleep(poll_s)
        for model, identifier in islice(waiting.items(), ABREAST):
            entries[model] = client.status(identifier)
            on_change(entries)
    return entries
