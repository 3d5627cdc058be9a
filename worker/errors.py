"""The errors that end an audit when somebody can do something about it."""

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


class ProcessDied(AuditError):
    """Ends an audit because one of its processes was killed; the same audit may succeed when it runs again."""

    def __init__(self, detail: str) -> None:
        super().__init__("worker-died", detail)


FAULTS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a library raises when it cannot do what it is asked. Time limits and cancellations are none of these, so they
pass through whoever catches these."""

MAX_MESSAGE = 400


@contextmanager
def explaining(slug: str, failure: str, advice: str) -> Iterator[None]:
    """Within this context, make an AuditError of what a foreign library raises: ``failure`` says what it cannot do,
    ``advice`` what the user can do, and the library's own message stands between them."""
    try:
        yield
    except FAULTS as error:
        if _is_of_the_machine(error):
            raise
        raise AuditError(slug, f"{failure} ({own_words(error)}). {advice}") from error


def own_words(error: BaseException) -> str:
    """Return the type and the message of an error in one line, which is cut if it is long.

    >>> own_words(ValueError("It is no\\nmultiple."))
    'ValueError: It is no multiple'
    """
    message = " ".join(str(error).split()).removesuffix(".")
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
