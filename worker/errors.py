"""The errors that end an audit when somebody can do something about it."""

from typing import Any

from zooaudit.contract import problem


class AuditError(Exception):
    """Ends an audit. Its ``problem`` is what the user reads, so ``detail`` says what to do.

    ``slug`` is one of :data:`zooaudit.contract.PROBLEM_TYPES`; ``extensions`` are further fields of the problem.
    """

    def __init__(self, slug: str, detail: str, **extensions: Any) -> None:
        super().__init__(detail)
        self.problem = problem(slug, detail, **extensions)


class ProcessDied(AuditError):
    """A process on which the audit depends was killed. The same audit may succeed when it is tried again."""
