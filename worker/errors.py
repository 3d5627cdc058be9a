"""The errors that end an audit when somebody can do something about it."""

import copyreg
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from zooaudit.contract import problem


class AuditError(Exception):
    """Ends an audit. Its ``problem`` is what the user reads, so ``detail`` says what to do.

    ``slug`` is one of :data:`zooaudit.contract.PROBLEM_TYPES`; ``extensions`` are further fields of the problem.
    """

    def __init__(self, slug: str, detail: str, **extensions: Any) -> None:
        super().__init__(detail)
        self.problem = problem(slug, detail, **extensions)

    def __reduce__(self) -> Any:
        # Exception's own way calls __init__ with the message alone, so that no other process could receive the error.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ProcessDied(AuditError):
    """Ends an audit because one of its processes was killed; the same audit may succeed when it runs again."""

    def __init__(self, detail: str) -> None:
        super().__init__("worker-died", detail)


FAULTS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a library raises when it cannot do what it is asked. Time limits and cancellations are none of these, so they
pass through whoever catches these."""

MAX_MESSAGE = 400


@contextmanager
def explaining(
    slug: str, failure: str, advice: str, faults: type[Exception] | tuple[type[Exception], ...] = FAULTS
) -> Iterator[None]:
    """Within this context, make an AuditError of what foreign code raises: ``failure`` says what it cannot do,
    ``advice`` what the user can do, and the code's own message stands between them. A library raises one of FAULTS,
    somebody's own code any Exception."""
    try:
        yield
    except faults as error:
        if _is_of_the_machine(error) or interrupts(error):
            raise
        raise AuditError(slug, f"{failure} ({own_words(error)}). {advice}") from error


def interrupts(error: BaseException) -> bool:
    """Tell whether an error comes from whoever runs the audit, such as its time limit, and not from foreign code."""
    return type(error).__module__.partition(".")[0] in ("rq", "worker")


def own_words(error: BaseException) -> str:
    """Return the type and the message of an error in one line, which is cut if it is long, and of whose paths the
    folders are left out.

    >>> own_words(ValueError("It is no\\nmultiple."))
    'ValueError: It is no multiple'
    >>> own_words(FileNotFoundError(2, "No such file", "/home/somebody/nets/net.pt"))
    "FileNotFoundError: [Errno 2] No such file: '.../net.pt'"
    """
    message = " ".join(str(error).split()).removesuffix(".")
    # Strangers read it, and need not know where this machine keeps what.
    message = re.sub(r"(?<![\w.:/])/(?:[^\s/'\"(),:;]+/)+", ".../", message)
    message = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out. On a CPU torch says so in words only."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
    )


def _is_of_the_machine(error: BaseException) -> bool:
    return ran_out_of_memory(error) or type(error).__name__ == "AcceleratorError"
