"""The tables of one audit and of a list of audits."""

from collections.abc import Sequence

from zooaudit.contract import Audit, LogEntry
from zooaudit.views.tables import Table
from zooaudit.views.text import printable, sentence, short_state, state, subject

BRIEF_ID = 8
"""The digits of an id where a terminal has no room for 32: so many are enough for every command."""


def audit_table(audit: Audit) -> Table:
    """Show one audit, a fact a row."""
    request = audit.request
    facts = {
        "Audit": audit.id,
        "Model": subject(request),
        "Status": state(audit),
        "Images": f"{request.num_images} of {printable(request.dataset)}",
        "Created (UTC)": f"{audit.created_at:%Y-%m-%d %H:%M}",
    }
    if request.priority != "normal" and not audit.status.final:
        facts["Priority"] = request.priority
    if audit.labels:
        facts["Labels"] = printable(", ".join(audit.labels))
    if audit.note:
        facts["Note"] = printable(audit.note)
    if audit.archived:
        facts["Archived"] = "yes"
    if audit.error:
        facts["Error"] = printable(sentence(audit.error))
    head, *rows = facts.items()
    return Table(head, rows)


def audits_table(audits: Sequence[Audit]) -> Table:
    """Show audits, one a row."""
    columns: tuple[str, ...] = ("Id", "Status", "Model", "Weights", "Data set", "Images", "Created (UTC)")
    rows: list[tuple[str, ...]] = []
    for audit in audits:
        request = audit.request
        measured = (printable(request.model), request.weights, printable(request.dataset), str(request.num_images))
        rows.append((audit.id, short_state(audit), *measured, f"{audit.created_at:%Y-%m-%d %H:%M}"))
    brief = [(identifier[:BRIEF_ID], *cells) for identifier, *cells in rows]
    narrower = [Table(columns[:end], [row[:end] for row in brief], flexible=2) for end in (7, 6, 4)]
    if any(audit.labels for audit in audits):
        columns = (*columns, "Labels")
        rows = [(*row, printable(" ".join(audit.labels))) for row, audit in zip(rows, audits, strict=True)]
    return Table(columns, rows, narrower=narrower)


def log_table(entries: Sequence[LogEntry]) -> Table:
    """Show entries of the audit log, one a row."""
    columns = ("When (UTC)", "Who", "Action", "Result", "Audit", "Model", "From")
    rows = [
        (
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            *(printable(entry.who), entry.action, entry.result, entry.audit, printable(entry.model)),
            entry.address or "",
        )
        for entry in entries
    ]
    brief = [(*row[:4], row[4][:BRIEF_ID], *row[5:]) for row in rows]
    narrower = [Table(columns[:end], [row[:end] for row in brief], flexible=1) for end in (7, 6, 5)]
    return Table(columns, rows, narrower=narrower)
