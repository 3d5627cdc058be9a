"""The keywords of a request for an audit, and the contract's request made from them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypedDict

from pydantic import BaseModel, ValidationError

from zooaudit.contract import (
    AuditRequest,
    Deformations,
    FieldError,
    Warps,
    deformation_text,
    problem,
    said,
    warps_text,
)
from zooaudit.errors import InvalidRequest

DEFAULT_URL = "http://127.0.0.1:8000"
"""The address of the service, unless an argument or the environment gives another."""


class DeformationOptions(TypedDict, total=False):
    """What there is to say of deformations; an empty dict asks for the usual ones."""

    displacements_px: Iterable[float]
    cutoff: int


class WarpAmounts(TypedDict, total=False):
    """The amounts of warps by kind, such as ``{"rotation": [15, 30]}``."""

    translation: Iterable[float]
    rotation: Iterable[float]
    scale: Iterable[float]
    shear: Iterable[float]


WarpOptions = WarpAmounts | Iterable[Warps]


class Options(TypedDict, total=False):
    """What :meth:`AuditClient.audit` takes besides the model. Defaults and limits are those of AuditRequest."""

    weights: str
    checkpoint_version: str
    dataset: str
    num_images: int
    seed: int
    translations_px: Iterable[int]
    direction: Literal["diagonal", "right", "down"]
    rotations_deg: Iterable[int]
    reflections: Iterable[Literal["horizontal", "vertical"]]
    warps: WarpOptions
    deformation: DeformationOptions | Deformations
    local: bool
    consistency_draws: int
    variance: bool
    similarity: Literal["correlation", "cosine", "both"]
    border: Literal["crop", "zero", "circular", "all"]
    precision: Literal["float32", "tf32", "bfloat16"]
    tolerance: float
    baseline: bool
    baseline_seeds: int
    repetition: int
    priority: Literal["low", "normal", "high"]
    callback_url: str


def request_from(model: str, options: Options) -> AuditRequest:
    """Make the request, and raise :class:`InvalidRequest` for a mistake before anything is sent."""
    values: dict[str, Any] = {"model": model, **options}
    for transforms in ("translations_px", "rotations_deg", "reflections"):
        if transforms in values:
            values[transforms] = several(values[transforms])
    with _refusing_mistakes():
        if "warps" in values:
            values["warps"] = _warps(values["warps"])
        if values.get("deformation") is not None:
            values["deformation"] = _deformation(values["deformation"])
        return AuditRequest.model_validate(values)


def several(value: Any) -> tuple[Any, ...]:
    """Make a tuple of many things, or of the only one: text and records are one thing, though Python could split them.

    >>> several([1, 2]), several("horizontal"), several(8)
    ((1, 2), ('horizontal',), (8,))
    """
    return (value,) if isinstance(value, str | BaseModel) or not isinstance(value, Iterable) else tuple(value)


class _Mistake(ValueError):
    """A field that no record could be made of."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@contextmanager
def _refusing_mistakes() -> Iterator[None]:
    """Raise InvalidRequest, which names the fields, instead of what tells of a mistake."""
    try:
        yield
    except ValidationError as invalid:
        errors = tuple(_field_error(error["loc"], said(error)) for error in invalid.errors(include_url=False))
    except _Mistake as mistake:
        errors = (_field_error((mistake.field,), str(mistake)),)
    else:
        return
    raise InvalidRequest(problem("invalid-request", "The request is not valid.", errors=errors))


def _warps(warps: Any) -> tuple[Any, ...]:
    """Return warps as a request takes them, from a mapping or from records."""
    if isinstance(warps, Mapping):
        return tuple({"kind": kind, "amounts": several(amounts)} for kind, amounts in warps.items())
    if isinstance(warps, str) or not isinstance(warps, Iterable):
        raise _Mistake("warps", 'give amounts by kind, such as {"rotation": [15, 30]}')
    return several(warps)


def _deformation(deformation: Any) -> Any:
    """Return deformations as a request takes them."""
    if isinstance(deformation, Mapping):
        displacements = "displacements_px"
        many = {displacements: several(deformation[displacements])} if displacements in deformation else {}
        return {**deformation, **many}
    if not isinstance(deformation, Deformations):
        usual = 'give {"displacements_px": [0.5, 1, 2, 4], "cutoff": 3} or the like, or {} for just this'
        raise _Mistake("deformation", usual)
    return deformation


def _field_error(path: tuple[int | str, ...], message: str) -> FieldError:
    return FieldError(field=".".join(map(str, path)) or "body", message=message)


class LeaderboardOptions(TypedDict, total=False):
    """The options of a leaderboard: settings that choose the method, filters, the order and the page."""

    dataset: str
    num_images: int
    seed: int
    translations_px: Iterable[int] | str
    direction: str
    rotations_deg: Iterable[int] | str
    reflections: Iterable[str] | str
    warps: WarpOptions | str
    deformation: DeformationOptions | Deformations | str
    local: bool
    consistency_draws: int
    variance: bool
    similarity: str
    border: str
    precision: str
    tolerance: float | str
    protocol: str
    images_sha256: str
    q: str
    family: str
    source: str
    weights: str
    min_parameters: int
    max_parameters: int
    min_top1: float
    max_top1: float
    sort: str
    limit: int
    offset: int


def leaderboard_query(options: LeaderboardOptions) -> dict[str, str | int]:
    """Write the options as the service takes them; lists of numbers as "1,2,8" or "none"."""
    options = options.copy()
    with _refusing_mistakes():
        if "warps" in options and not isinstance(options["warps"], str):
            options["warps"] = warps_text([Warps.model_validate(each) for each in _warps(options["warps"])])
        if not isinstance(deformation := options.get("deformation"), str | None):
            options["deformation"] = deformation_text(Deformations.model_validate(_deformation(deformation)))

    def text(value: object) -> str | int:
        if isinstance(value, str | int):
            return value
        return (",".join(map(str, value)) or "none") if isinstance(value, Iterable) else str(value)

    return {name: text(value) for name, value in options.items() if value is not None}
