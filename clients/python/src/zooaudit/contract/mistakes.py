"""What is wrong with a record, in plain words: pydantic's own messages name the types of Python.

>>> said({"type": "too_long", "msg": "Tuple should have ...", "ctx": {"max_length": 36, "actual_length": 199}})
'give at most 36, not 199'
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

WORDS: Final[dict[str, str]] = {
    "string_too_long": "give at most {max_length} characters",
    "string_too_short": "give at least {min_length} characters",
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "iterable_type"), "Input should be a list"),
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type", "mapping_type", "dataclass_type"),
        "Input should be an object",
    ),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "Input should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "Input should be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "Input should be true or false"),
    "string_type": "Input should be text",
    "extra_forbidden": "there is no such field",
}
"""By the type of pydantic's error: the message, in which its context is filled in."""


def said(error: Mapping[str, Any]) -> str:
    """Say what one of pydantic's errors is: of a mistake that our own code has found, just what that says."""
    kind, context = error.get("type"), error.get("ctx", {})
    if kind in ("value_error", "assertion_error") and "error" in context:
        return str(context["error"])
    if kind in ("too_long", "too_short"):
        limit = f"most {context['max_length']}" if kind == "too_long" else f"least {context['min_length']}"
        given = context.get("actual_length")
        return f"give at {limit}" + ("" if given is None else f", not {given}")
    return WORDS[kind].format(**context) if kind in WORDS else str(error["msg"])


def else_said(expected: str) -> WrapValidator:
    """Say of a text that is refused what was ``expected``, where pydantic would quote a regular expression."""

    def check(value: object, validate: ValidatorFunctionWrapHandler) -> object:
        try:
            return validate(value)
        except ValidationError as error:
            if not isinstance(value, str) or error.errors()[0]["type"] == "string_too_long":
                raise
            raise ValueError(f"Input should be {expected}") from None  # the text may hold anything

    return WrapValidator(check)
