"""All errors of this library, as one tree. ``str(error)`` is one sentence for a person.

ZooauditError
├── ConnectionFailed      nothing answered in time, after retries
├── UnexpectedAnswer      something answered, but not a zooaudit service of this version
├── ApiError              the service refused; .problem says why
│   ├── InvalidRequest    400, 413, 422: the request itself is wrong (the client may find this before sending it)
│   ├── Unauthorized      401, 403: an API key is missing or wrong
│   ├── NotFound          404: no such audit or model
│   ├── Conflict          409: not now, such as the report of an audit that still runs
│   └── Unavailable       429, 5xx: the service cannot serve now, even after retries where they may help
├── WaitTimeout           wait() ran out of time; the audit goes on (also a TimeoutError)
├── CallbackRefused       a callback that is not signed by the service, or too old
├── AuditFailed           there is no report: the audit failed; .audit.error says why
└── AuditCanceled         there is no report: the audit was canceled
"""

from http import HTTPStatus

from zooaudit.contract import Problem, Status
from zooaudit.results import Audit
from zooaudit.views.text import sentence


class ZooauditError(Exception):
    """Base of all errors of this library."""


class ConnectionFailed(ZooauditError):
    """Nothing answered in time."""


class UnexpectedAnswer(ZooauditError):
    """Something answered, but not with a record of the wire contract."""


class ApiError(ZooauditError):
    """The service refused. ``retry_after_s`` are the seconds that its Retry-After header asks for."""

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


class CallbackRefused(ZooauditError):
    """A callback that is not to be trusted, or cannot be read."""


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
    """Raise :class:`AuditFailed` or :class:`AuditCanceled` if the audit has ended without a report."""
    if audit.status is Status.FAILED:
        raise AuditFailed(audit)
    if audit.status is Status.CANCELED:
        raise AuditCanceled(audit)


def api_error(problem: Problem, retry_after_s: float | None = None) -> ApiError:
    """Make the error of the tree that fits the problem's HTTP status."""
    error_type: type[ApiError] = ApiError
    if problem.status >= 500 or problem.status == HTTPStatus.TOO_MANY_REQUESTS:
        error_type = Unavailable
    elif problem.status in (400, 413, 422):
        error_type = InvalidRequest
    elif problem.status in (401, 403):
        error_type = Unauthorized
    elif problem.status == HTTPStatus.NOT_FOUND:
        error_type = NotFound
    elif problem.status == HTTPStatus.CONFLICT:
        error_type = Conflict
    return error_type(problem, retry_after_s)
