"""The keywords of a request for an audit, and the contract's request made from them."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict

from pydantic import ValidationError

from zooaudit.contract import (
    AuditRequest,
    Deformations,
    FieldError,
    Warps,
    deformation_text,
    problem,
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
            values[transforms] = tuple(values[transforms])
    if "warps" in values:
        values["warps"] = _warps(values["warps"])
    if isinstance(displacements := values.get("deformation"), Mapping):
        values["deformation"] = {
            name: tuple(value) if isinstance(value, Iterable) else value for name, value in displacements.items()
        }
    try:
        return AuditRequest.model_validate(values)
    except ValidationError as invalid:
        errors = tuple(_field_error(error["loc"], error["msg"]) for error in invalid.errors(include_url=False))
        detail = "The request is not valid."
        raise InvalidRequest(problem("invalid-request", detail, errors=errors)) from None


def _warps(warps: WarpOptions) -> Any:
    """Return warps as a request takes them; what is neither a mapping nor a list of warps, as it is."""
    if not isinstance(warps, Mapping):
        return tuple(warps) if isinstance(warps, Iterable) else warps
    by_kind: Mapping[str, Any] = warps
    return tuple(
        {"kind": kind, "amounts": tuple(amounts) if isinstance(amounts, Iterable) else amounts}
        for kind, amounts in by_kind.items()
    )


def _field_error(path: tuple[int | str, ...], message: str) -> FieldError:
    return FieldError(field=".".join(map(str, path)) or "body", message=message.removeprefix("Value error, "))


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
    if "warps" in options and not isinstance(options["warps"], str):
        options["warps"] = warps_text([Warps.model_validate(each) for each in _warps(options["warps"])])
    if isinstance(deformation := options.get("deformation"), Mapping):
        deformation = Deformations.model_validate(deformation)
    if isinstance(deformation, Deformations):
        options["deformation"] = deformation_text(deformation)

    def text(value: object) -> str | int:
        if isinstance(value, str | int):
            return value
        return (",".join(map(str, value)) or "none") if isinstance(value, Iterable) else str(value)

    return {name: text(value) for name, value in options.items() if value is not None}
