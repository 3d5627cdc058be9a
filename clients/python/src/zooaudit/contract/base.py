"""The base class of all records of the contract, and the numbers that they share."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

Unit = Annotated[float, Field(ge=0.0, le=1.0)]
"""A number from 0 to 1."""
Signed = Annotated[float, Field(ge=-1.0, le=1.0)]
"""A number from -1 to 1."""
NonNegative = Annotated[float, Field(ge=0.0)]
"""A number from 0 up."""
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""How many there are of something: a number that JavaScript, too, reads exactly."""


def _in_every_time_zone(moment: datetime) -> datetime:
    if not 1970 <= moment.year < 9999:
        raise ValueError("the year is not from 1970 to 9998")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_in_every_time_zone)]
"""A time with its offset from UTC, so that any two can be compared."""


def omit_none(value: object) -> bool:
    """Tell a field whether to stay out of the JSON (``exclude_if``)."""
    return value is None


def omit_empty(value: object) -> bool:
    """Tell a field whose default is empty or False whether to stay out of the JSON (``exclude_if``)."""
    return not value


def omit_default_direction(value: object) -> bool:
    """Tell the direction of shifts to stay out of the JSON where it is the diagonal one (``exclude_if``)."""
    return value == "diagonal"


class Contract(BaseModel):
    """A record that cannot be changed and refuses unknown fields, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="null")
