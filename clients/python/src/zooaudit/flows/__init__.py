"""What each method of the clients does, written once for both, as flows (see :mod:`zooaudit.exchange`)."""

from zooaudit.flows.about import access, health
from zooaudit.flows.audits import AuditPages, cancel, cost, next_repetition, repeat, status, submit, submit_all, wait
from zooaudit.flows.comparison import compare, second_opinion
from zooaudit.flows.explanations import AskedTransform, explain, least_equivariant
from zooaudit.flows.identifiers import HasId, full_id
from zooaudit.flows.keeping import LogPages, annotate, delete
from zooaudit.flows.models import leaderboard, model, models
from zooaudit.flows.pauses import OUTAGE_S
from zooaudit.flows.reports import import_report, report, report_json

__all__ = [
    "OUTAGE_S",
    "AskedTransform",
    "AuditPages",
    "HasId",
    "LogPages",
    "access",
    "annotate",
    "cancel",
    "compare",
    "cost",
    "delete",
    "explain",
    "full_id",
    "health",
    "import_report",
    "leaderboard",
    "least_equivariant",
    "model",
    "models",
    "next_repetition",
    "repeat",
    "report",
    "report_json",
    "second_opinion",
    "status",
    "submit",
    "submit_all",
    "wait",
]
