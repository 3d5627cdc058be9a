"""A place in a list as one opaque word, for the query of the next page."""

import base64
import binascii
import json
from dataclasses import astuple
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from zooaudit.contract import Sort

from service.errors import invalid
from service.listing import Place

_FINITE = Field(allow_inf_nan=False)
_PLACE = TypeAdapter(
    tuple[Sort, Annotated[float, _FINITE] | str | None, Annotated[float, _FINITE], Annotated[str, Field(max_length=32)]]
)


def write(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(astuple(place)).encode()).decode().rstrip("=")


def read(cursor: str, sort: Sort) -> Place:
    """The place that ``cursor`` is; refuses with 422 what is none, or one in a list of another order."""
    try:
        text = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = Place(*_PLACE.validate_json(text, strict=True))
    except (binascii.Error, ValidationError, ValueError):
        raise invalid([{"loc": ("cursor",), "msg": "this is not a cursor that a list has given"}], "request") from None
    expected = str if sort.endswith("model") else float
    if place.sort != sort or not (place.value is None or isinstance(place.value, expected)):
        raise invalid([{"loc": ("cursor",), "msg": f"this is not a cursor of a list sorted by {sort}"}], "request")
    return place
