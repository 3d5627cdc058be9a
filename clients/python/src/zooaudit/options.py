"""What a caller may ask for, as keywords, made into the contract's request."""

from collections.abc import Iterable
from typing import Any, Literal, TypedDict

from pydantic import ValidationError

from zooaudit.contract import AuditRequest, FieldError, problem
from zooaudit.errors import InvalidRequest

DEFAULT_URL = "http://127.0.0.1:8000"
"""Where the service is, unless something says otherwise."""


class Options(TypedDict, total=False):
    """What :meth:`AuditClient.audit` takes beside the model; defaults and limits are those of AuditRequest."""

    weights: str
    checkpoint_version: str
    dataset: str
    num_images: int
    seed: int
    translations_px: Iterable[int]
    rotations_deg: Iterable[int]
    similarity: Literal["correlation", "cosine", "both"]
    border: Literal["crop", "zero", "circular", "all"]
    precision: Literal["float32", "tf32", "bfloat16"]
    tolerance: float
    baseline: bool
    baseline_seeds: int
    repetition: int


def request_from(model: str, options: Options) -> AuditRequest:
    """The request, checked before it is sent, so that a mistake is told without a service."""
    values: dict[str, Any] = {"model": model, **options}
    for transforms in ("translations_px", "rotations_deg"):
        if transforms in values:
            values[transforms] = tuple(values[transforms])
    try:
        return AuditRequest.model_validate(values)
    except ValidationError as invalid:
        errors = tuple(_field_error(error["loc"], error["msg"]) for error in invalid.errors(include_url=False))
        detail = "The request is not valid."
        raise InvalidRequest(problem("invalid-request", detail, errors=errors)) from None


def _field_error(where: tuple[int | str, ...], message: str) -> FieldError:
    return FieldError(field=".".join(map(str, where)) or "body", message=message.removeprefix("Value error, "))
