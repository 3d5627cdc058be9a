"""Compares the two reports of an audit that ran again."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zooaudit.contract import Report

TOLERANCE = 1e-5
"""Numbers closer than this are equal: float32 forward passes differ by this much between machines."""
OPINION = "second_opinion"
OPINION_TOLERANCE = 1e-3
"""The same for the measures of the second opinion, as a share of numbers above 1: they are made of the small changes of
features that small changes of an image make, so they lose digits."""

PER_RUN = {"id", "repetition", "environment", "timing"}


@dataclass(frozen=True)
class Difference:
    """One place where two reports differ, such as ``blocks[3].rotation.layer``, and the value in each."""

    where: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.where}: {_value_text(self.before)} before, {_value_text(self.after)} now"


@dataclass(frozen=True)
class Verdict:
    """How two reports compare.

    ``identical``      every number, name and hash is the same
    ``equal``          as above, but numbers may differ by up to :data:`TOLERANCE`, or :data:`OPINION_TOLERANCE`
    ``first``          the first difference beyond that, else the first difference at all
    ``circumstances``  differences between the environments, which may explain the others
    """

    identical: bool
    equal: bool
    first: Difference | None
    circumstances: tuple[Difference, ...]

    def __str__(self) -> str:
        if self.identical:
            return "Identical: every number is the same to the last digit."
        if self.equal:
            limits = f"{TOLERANCE:g}, nor one of the second opinion by more than {OPINION_TOLERANCE:g}"
            return f"Equal: no number differs by more than {limits}; the first that does at all is {self.first}"
        return f"DIFFERENT: {self.first}"


def compare(before: Report, after: Report) -> Verdict:
    """Compare two reports, except for what differs in every run: ids, environment and timing."""
    differences = list(_differences("", before.model_dump(exclude=PER_RUN), after.model_dump(exclude=PER_RUN)))
    beyond = [difference for difference in differences if not _is_close(difference)]
    return Verdict(
        identical=not differences,
        equal=not beyond,
        first=next(iter(beyond or differences), None),
        circumstances=tuple(_differences("environment", _environment(before), _environment(after))),
    )


def _environment(report: Report) -> dict[str, Any]:
    return report.environment.model_dump(exclude={"report_sha256"})


def _differences(where: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _differences(f"{where}.{key}".lstrip("."), before.get(key), after.get(key))
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        for index, (item_before, item_after) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{where}[{index}]", item_before, item_after)
    elif before != after:
        yield Difference(where, before, after)


def _is_close(difference: Difference) -> bool:
    before, after = difference.before, difference.after
    if not (isinstance(before, float) and isinstance(after, float)):
        return False
    relative, absolute = (OPINION_TOLERANCE,) * 2 if OPINION in difference.where else (0.0, TOLERANCE)
    return math.isclose(before, after, rel_tol=relative, abs_tol=absolute)


def _value_text(value: Any) -> str:
    return str(value) if isinstance(value, float | int | str | None) else f"{type(value).__name__} of {len(value)}"
