"""A position in a sorted list as one opaque word, which a client sends back to get the next page."""

import base64
import binascii
import json
from dataclasses import astuple
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from zooaudit.contract import Sort

from service.audit_rows import Position
from service.errors import invalid

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_POSITION_FIELDS = TypeAdapter(tuple[Sort, _Finite | str | None, _Finite, Annotated[str, Field(max_length=32)]])


def encode(position: Position) -> str:
    return base64.urlsafe_b64encode(json.dumps(astuple(position)).encode()).decode().rstrip("=")


def decode(cursor: str, sort: Sort) -> Position:
    """Read the position from ``cursor``. Refuses with 422 a text that is no cursor, and a cursor of another order."""
    try:
        text = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = Position(*_POSITION_FIELDS.validate_json(text, strict=True))
    except (binascii.Error, ValidationError, ValueError):
        raise invalid([{"loc": ("cursor",), "msg": "this is not a cursor that a list has given"}], "request") from None
    value_type = str if sort.endswith("model") else float
    if position.sort != sort or not (position.value is None or isinstance(position.value, value_type)):
        raise invalid([{"loc": ("cursor",), "msg": f"this is not a cursor of a list sorted by {sort}"}], "request")
    return position
