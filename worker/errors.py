"""The one error that an audit ends with when somebody can do something about it."""

from zooaudit.contract import Problem


class AuditError(Exception):
    """Ends an audit. Its ``problem`` is what the user reads, so its detail says what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem
