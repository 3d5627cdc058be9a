"""Everything that can go wrong, as one tree; ``str(error)`` is one sentence for a person.

ZooauditError
├── ConnectionFailed      nothing answered in time, after retries
├── UnexpectedAnswer      something answered, but not a zooaudit service of this version
├── ApiError              the service refused; .problem is what it said
│   ├── InvalidRequest    400, 413, 422: the request itself is wrong (also found before sending)
│   ├── Unauthorized      401, 403: an API key is missing or wrong
│   ├── NotFound          404: no such audit or model
│   ├── Conflict          409: not now, such as the report of an audit that still runs
│   └── Unavailable       429, 5xx: the service cannot serve now; after retries, where they may help
├── WaitTimeout           wait() ran out of time; the audit goes on (also a TimeoutError)
├── AuditFailed           there is no report: the audit failed; .audit.error says why
└── AuditCanceled         there is no report: the audit was canceled
"""

from http import HTTPStatus

from zooaudit.contract import Audit, Problem, Status


class ZooauditError(Exception):
    """Base of all errors of this library."""


class ConnectionFailed(ZooauditError):
    """Nothing answered in time."""


class UnexpectedAnswer(ZooauditError):
    """Something answered, but not in the words of the wire contract."""


class ApiError(ZooauditError):
    """The service refused. ``retry_after_s`` is what its Retry-After header asked for, in seconds."""

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        super().__init__(sentence(problem))
        self.problem = problem
        self.retry_after_s = retry_after_s


class InvalidRequest(ApiError):
    """The request itself is wrong."""


class Unauthorized(ApiError):
    """An API key is missing or wrong."""


class NotFound(ApiError):
    """No such audit or model."""


class Conflict(ApiError):
    """Not possible in the audit's present state."""


class Unavailable(ApiError):
    """The service cannot serve now."""


class WaitTimeout(ZooauditError, TimeoutError):
    """Time ran out before the audit ended. The audit goes on; ``audit`` is its last known state."""

    def __init__(self, audit: Audit, timeout: float, why: str = "") -> None:
        text = f"Audit {audit.id} is still {audit.status} after {timeout:g} s; it goes on. {why}"
        super().__init__(text.rstrip())
        self.audit = audit


class AuditFailed(ZooauditError):
    """The audit failed; ``audit.error`` is the problem."""

    def __init__(self, audit: Audit) -> None:
        why = sentence(audit.error) if audit.error else "The service gives no reason."
        super().__init__(f"The audit of {audit.request.model} failed. {why}")
        self.audit = audit


class AuditCanceled(ZooauditError):
    """The audit was canceled before it had a report."""

    def __init__(self, audit: Audit) -> None:
        super().__init__(f"The audit of {audit.request.model} was canceled.")
        self.audit = audit


def raise_unless_succeeded(audit: Audit) -> None:
    """Raises :class:`AuditFailed` or :class:`AuditCanceled` where the audit has ended without a report."""
    if audit.status is Status.FAILED:
        raise AuditFailed(audit)
    if audit.status is Status.CANCELED:
        raise AuditCanceled(audit)


def sentence(problem: Problem) -> str:
    """What a problem says, for a person: its detail, the fields at fault that it does not name, and close matches."""
    text = _stopped(problem.detail or problem.title)
    for error in problem.errors or ():
        if error.message not in text:
            text += f" {_stopped(f'{error.field}: {error.message}')}"
    unnamed = [name for name in problem.suggestions or () if name not in text]
    if unnamed:
        text += f" Did you mean {' or '.join(unnamed)}?"
    return text


def _stopped(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def api_error(problem: Problem, retry_after_s: float | None = None) -> ApiError:
    """The error of the tree for a problem."""
    kind: type[ApiError] = ApiError
    if problem.status >= 500 or problem.status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = Unavailable
    elif problem.status in (400, 413, 422):
        kind = InvalidRequest
    elif problem.status in (401, 403):
        kind = Unauthorized
    elif problem.status == HTTPStatus.NOT_FOUND:
        kind = NotFound
    elif problem.status == HTTPStatus.CONFLICT:
        kind = Conflict
    return kind(problem, retry_after_s)
