"""Warps and deformations on a line: as command lines and addresses take them, and as tables show them."""

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from zooaudit.contract.base import Contract
from zooaudit.contract.mistakes import said
from zooaudit.contract.request import Deformations, Warps, by_kind
from zooaudit.contract.scores import WarpKind

NONE = "none"
T = TypeVar("T", bound=Contract)


def warps_text(warps: Sequence[Warps]) -> str:
    """Write warps.

    >>> warps_text([Warps(kind="rotation", amounts=(15, 30)), Warps(kind="translation", amounts=(0.5,))])
    'rotation:15,30 translation:0.5'
    """
    return " ".join(f"{each.kind}:{numbers_text(each.amounts)}" for each in warps) or NONE


def warps_from(text: str) -> tuple[Warps, ...]:
    """Read warps. Raises ValueError, which says what is wrong.

    >>> warps_text(warps_from("translation:.5 rotation:30,15"))
    'rotation:15,30 translation:0.5'
    """
    if text == NONE:
        return ()
    found = []
    for item in text.split() or [""]:
        kind, colon, amounts = item.partition(":")
        if not colon or kind not in get_args(WarpKind):
            raise ValueError(f"{text[:64]!r} is not like rotation:15,30 translation:0.5 or none")
        found.append(_made(Warps, kind=kind, amounts=_numbers_from(amounts)))
    return by_kind(tuple(found))


def deformation_text(deformation: Deformations | None) -> str:
    """Write deformations; the cutoff only if it is not the usual one.

    >>> deformation_text(Deformations()), deformation_text(Deformations(cutoff=5)), deformation_text(None)
    ('0.5,1,2,4', '0.5,1,2,4:5', 'none')
    """
    if deformation is None:
        return NONE
    usual = deformation.cutoff == Deformations.model_fields["cutoff"].default
    return numbers_text(deformation.displacements_px) + ("" if usual else f":{deformation.cutoff}")


def deformation_from(text: str) -> Deformations | None:
    """Read deformations. Raises ValueError, which says what is wrong.

    >>> deformation_text(deformation_from("2,1:4"))
    '1,2:4'
    """
    if text == NONE:
        return None
    displacements, colon, cutoff = text.partition(":")
    if colon and not cutoff.isdecimal():
        raise ValueError(f"{text[:64]!r} is not like 0.5,1,2 or 0.5,1,2:3, with the cutoff, or none")
    given = {"cutoff": int(cutoff)} if colon else {}
    return _made(Deformations, displacements_px=_numbers_from(displacements), **given)


def numbers_text(values: Sequence[float]) -> str:
    """Write numbers, without zeros that say nothing.

    >>> numbers_text((0.5, 1.0, 22.5))
    '0.5,1,22.5'
    """
    return ",".join(f"{value:.12g}" for value in values)


def whole_numbers_from(text: str) -> frozenset[int]:
    """Read whole numbers and runs of them. Raises ValueError if one is neither.

    >>> sorted(whole_numbers_from("1-3,8")), whole_numbers_from("none")
    ([1, 2, 3, 8], frozenset())
    """
    runs = [] if text == NONE else [item.partition("-") for item in text.split(",")]
    bounds = [(int(first), int(last if dash else first)) for first, dash, last in runs]
    if any(first > last for first, last in bounds):
        raise ValueError("a run goes from its lower number to its higher one, such as 1-3")
    return frozenset(number for first, last in bounds for number in range(first, last + 1))


def _made(record: type[T], **fields: Any) -> T:
    try:
        return record(**fields)
    except ValidationError as error:
        raise ValueError(said(error.errors()[0])) from None


def _numbers_from(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(item) for item in text.split(","))
    except ValueError:
        raise ValueError(f"{text[:64]!r} is not a list of numbers such as 0.5,1,2") from None
