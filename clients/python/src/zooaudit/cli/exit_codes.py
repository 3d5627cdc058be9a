"""The exit codes of the command line, and what is wrong before a command can begin."""

from enum import IntEnum

from zooaudit.errors import (
    AuditCanceled,
    AuditFailed,
    ConnectionFailed,
    InvalidRequest,
    Unavailable,
    UnexpectedAnswer,
    WaitTimeout,
    ZooauditError,
)


class Mistake(ValueError):
    """Something that the user has to put right before the command can do its work; the message says what."""


class Exit(IntEnum):
    OK = 0
    AUDIT_FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    TIMEOUT = 5
    DIFFERENT = 6
    INTERRUPTED = 130


def exit_of_error(error: ZooauditError) -> Exit:
    match error:
        case AuditFailed() | AuditCanceled():
            return Exit.AUDIT_FAILED
        case InvalidRequest():
            return Exit.USAGE
        case ConnectionFailed() | Unavailable() | UnexpectedAnswer():
            return Exit.UNREACHABLE
        case WaitTimeout():
            return Exit.TIMEOUT
    return Exit.REFUSED
