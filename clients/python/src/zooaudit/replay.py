"""Whether an audit, run again, gives the same report."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zooaudit.contract import AuditRequest, Report, audit_id, request_of

SAME_BEYOND = 1e-5
"""Scores closer than this are the same: so much float32 forward passes differ from one machine to another."""

PER_RUN = {"id", "repetition", "environment", "timing"}


@dataclass(frozen=True)
class Difference:
    """Where two reports differ, as ``blocks[3].rotation.layer``, and what each says there."""

    where: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.where}: {_shown(self.before)} before, {_shown(self.after)} now"


@dataclass(frozen=True)
class Verdict:
    """``identical``: every number, name and hash is the same. ``equal``: as above, with numbers within 1e-5.
    ``first`` is the first difference beyond that, or else the first at all; ``circumstances`` are those of the
    environments, which may explain it."""

    identical: bool
    equal: bool
    first: Difference | None
    circumstances: tuple[Difference, ...]

    def __str__(self) -> str:
        if self.identical:
            return "Identical: every number is the same to the last digit."
        if self.equal:
            return f"Equal: no number differs by more than {SAME_BEYOND:g}; the first that does at all is {self.first}"
        return f"DIFFERENT: {self.first}"


def next_repetition(report: Report) -> Iterator[tuple[str, AuditRequest]]:
    """Requests, with their ids, that run the audit of ``report`` once more; the first that is not taken will do."""
    request = request_of(report)
    for number in range(report.repetition + 1, 10_000):
        again = request.model_copy(update={"repetition": number})
        yield audit_id(again), again


def compare(before: Report, after: Report) -> Verdict:
    """Compare all but what belongs to the single run: ids, environment and timing."""
    differences = list(_differences("", before.model_dump(exclude=PER_RUN), after.model_dump(exclude=PER_RUN)))
    beyond = [item for item in differences if not _close(item.before, item.after)]
    return Verdict(
        identical=not differences,
        equal=not beyond,
        first=next(iter(beyond or differences), None),
        circumstances=tuple(_differences("environment", dict(before.environment), dict(after.environment))),
    )


def _differences(where: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _differences(f"{where}.{key}".lstrip("."), before.get(key), after.get(key))
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        for index, (mine, theirs) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{where}[{index}]", mine, theirs)
    elif before != after:
        yield Difference(where, before, after)


def _close(before: Any, after: Any) -> bool:
    return (
        isinstance(before, float)
        and isinstance(after, float)
        and math.isclose(before, after, rel_tol=0, abs_tol=SAME_BEYOND)
    )


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, float | int | str | None) else f"{type(value).__name__} of {len(value)}"
