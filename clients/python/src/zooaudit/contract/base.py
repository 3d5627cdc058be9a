"""What every part of the contract is made of, and the one shape of all that goes wrong."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Signed = Annotated[float, Field(ge=-1.0, le=1.0)]


def omit_none(value: object) -> bool:
    return value is None


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="null")


class FieldError(Contract):
    """One field of a request that was refused, and why."""

    field: str
    message: str


class Problem(Contract):
    """An RFC 9457 problem; ``type`` is ``urn:zooaudit:problem:`` followed by a word that scripts can rely on."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] | None = Field(default=None, exclude_if=omit_none)
    suggestions: Annotated[tuple[str, ...] | None, Field(description="Close matches to a name that is not known.")] = (
        Field(default=None, exclude_if=omit_none)
    )


def problem(slug: str, title: str, status: int, detail: str, **extensions: Any) -> Problem:
    """A :class:`Problem` of this service's own type ``slug``."""
    return Problem(type=f"urn:zooaudit:problem:{slug}", title=title, status=status, detail=detail, **extensions)
