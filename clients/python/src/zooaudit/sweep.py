"""Many models at once: an audit for each name that matches a pattern, followed until all have ended.

The service keeps the state: a request has one audit, whoever asks and however often. A sweep that was interrupted is
taken up by asking for the same again; what is done is done.
"""

import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING

from zooaudit.contract import Audit, Problem, full_names
from zooaudit.errors import InvalidRequest
from zooaudit.options import Options

if TYPE_CHECKING:
    from zooaudit.client import AuditClient

POLL_S = 2.0
ABREAST = 20
"""The queue is first come, first served: only so many of the audits that have not ended can be running."""

Outcome = Audit | Problem
"""The audit of a model, or why the service does not accept one."""


def matching(client: "AuditClient", pattern: str, weights: str = "pretrained") -> list[str]:
    """The full names of all models that can be audited and match a shell pattern such as ``timm/*in1k``, in the
    catalogue's order. A pattern without a zoo matches in every zoo, and one that matches a name without its tag stands
    for the default tag. Tags mean nothing to other weights than pretrained ones, so an architecture then matches once.
    """
    with_zoo = pattern if "/" in pattern else f"*/{pattern}"
    matching_names: list[str] = []
    for entry in client.models(limit=5000).models:
        if entry.supported and (entry.pretrained or weights != "pretrained"):
            names = full_names(entry)
            default = names[:1] if fnmatchcase(entry.name, with_zoo) else ()
            matched = [name for name in names if name in default or fnmatchcase(name, with_zoo)]
            matching_names += matched if weights == "pretrained" else matched[:1]
    return matching_names


def sweep(
    client: "AuditClient",
    models: list[str],
    options: Options,
    on_change: Callable[[Mapping[str, Outcome]], object] = lambda _outcomes: None,
    poll_s: float = POLL_S,
) -> dict[str, Outcome]:
    """Ask for an audit of each of ``models`` and wait until all have ended. ``on_change`` sees, after every answer,
    what is known of each so far."""
    outcomes: dict[str, Outcome] = {}
    for model in models:
        try:
            outcomes[model] = client.submit(model, **options)
        except InvalidRequest as refusal:
            outcomes[model] = refusal.problem
        on_change(outcomes)
    while waiting := [
        model for model, found in outcomes.items() if isinstance(found, Audit) and not found.status.final
    ]:
        time.sleep(poll_s)
        for model in islice(waiting, ABREAST):
            found = outcomes[model]
            if isinstance(found, Audit):
                outcomes[model] = client.status(found.id)
            on_change(outcomes)
    return outcomes
