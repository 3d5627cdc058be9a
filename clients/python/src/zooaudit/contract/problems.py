"""The one record that describes an error, and the list of all types of error."""

from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field

from zooaudit.contract.base import Contract, omit_none

URN: Final = "urn:zooaudit:problem:"


class FieldError(Contract):
    """A field of a refused request, and what is wrong with it."""

    field: str
    message: str


class Problem(Contract):
    """An RFC 9457 problem. ``type`` is ``urn:zooaudit:problem:`` followed by a slug of :data:`PROBLEM_TYPES`; scripts
    can rely on it. ``detail`` says what happened this time and what to do about it."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] | None = Field(default=None, exclude_if=omit_none)
    suggestions: Annotated[tuple[str, ...] | None, Field(description="Known names close to one that is not known.")] = (
        Field(default=None, exclude_if=omit_none)
    )


class ProblemType(NamedTuple):
    """The title and the HTTP status that all problems of one type share."""

    title: str
    status: int


PROBLEM_TYPES: Final[dict[str, ProblemType]] = {
    # The HTTP request
    "malformed-http": ProblemType("Malformed HTTP", 400),
    "malformed-json": ProblemType("Malformed JSON", 400),
    "unauthorized": ProblemType("API key needed", 401),
    "foreign-host": ProblemType("Foreign host", 403),
    "submit-key-needed": ProblemType("Key of the role submit needed", 403),
    "admin-key-needed": ProblemType("Key of the role admin needed", 403),
    "not-found": ProblemType("Not Found", 404),
    "method-not-allowed": ProblemType("Method Not Allowed", 405),
    "request-timeout": ProblemType("Request took too long", 408),
    "body-too-large": ProblemType("Body too large", 413),
    "unsupported-media-type": ProblemType("Unsupported media type", 415),
    "invalid-request": ProblemType("Invalid request", 422),
    "callback-refused": ProblemType("Callback refused", 422),
    "too-many-audits": ProblemType("Too many audits queued", 429),
    "too-many-images": ProblemType("Too many images in 24 hours", 429),
    # Audits and their reports
    "unknown-audit": ProblemType("Unknown audit", 404),
    "report-lost": ProblemType("Report lost", 404),
    "not-ready": ProblemType("No report yet", 409),
    "not-cancelable": ProblemType("Too late to cancel", 409),
    "not-deletable": ProblemType("Too early to delete", 409),
    "report-unsealed": ProblemType("Report cannot be checked", 422),
    "report-altered": ProblemType("Report was changed", 422),
    "report-not-wanted": ProblemType("Report cannot join the store", 409),
    "methods-differ": ProblemType("Audits of different methods", 422),
    # Explanations
    "unknown-explanation": ProblemType("Not asked for", 404),
    "not-explainable": ProblemType("Nothing to see", 422),
    "model-changed": ProblemType("The model changed", 409),
    "images-hidden": ProblemType("Images are not shown", 403),
    "too-many-explanations": ProblemType("Too many explanations waiting", 429),
    # The model
    "unknown-model": ProblemType("Unknown model", 422),
    "unsupported-model": ProblemType("Unsupported model", 422),
    "unsuitable-model": ProblemType("This model cannot be audited", 422),
    "unsuitable-module": ProblemType("This module cannot be audited", 422),
    "unrepeatable-model": ProblemType("The model does not repeat itself", 422),
    "unexpected-output": ProblemType("Unexpected output of a block", 500),
    "shift-too-large": ProblemType("Shift too large", 422),
    "no-baseline": ProblemType("No baseline", 422),
    # The weights
    "weights-not-published": ProblemType("No published weights", 422),
    "weights-unsafe": ProblemType("Weights are not plain tensors", 422),
    "weights-mismatch": ProblemType("Weights of another model", 422),
    "weights-corrupt": ProblemType("Corrupt weights", 422),
    "cache-unavailable": ProblemType("Cache of weights cannot be written", 503),
    "hub-unreachable": ProblemType("Weights cannot be fetched", 503),
    "unknown-checkpoint": ProblemType("Unknown checkpoint", 422),
    "checkpoint-options": ProblemType("Wrong options of a checkpoint", 422),
    "checkpoint-replaced": ProblemType("Checkpoint was replaced", 422),
    "checkpoints-unavailable": ProblemType("Checkpoints unavailable", 422),
    # The images
    "unknown-dataset": ProblemType("Unknown data set", 422),
    "dataset-unavailable": ProblemType("Data set unavailable", 422),
    "too-few-images": ProblemType("Too few images", 422),
    "undecodable-images": ProblemType("Too many images cannot be decoded", 422),
    "dataset-changed": ProblemType("The data set changed", 409),
    # The machines
    "no-device": ProblemType("No such device", 422),
    "unsupported-precision": ProblemType("Precision not supported", 422),
    "out-of-memory": ProblemType("Out of memory", 507),
    "timed-out": ProblemType("Timed out", 500),
    "store-unavailable": ProblemType("Report store unavailable", 503),
    "worker-died": ProblemType("Worker died", 500),
    "internal-error": ProblemType("Internal error", 500),
    "unavailable": ProblemType("Service unavailable", 503),
}
"""Every type of problem that the service, a worker or the client reports, by its slug."""


def problem(slug: str, detail: str, **extensions: Any) -> Problem:
    """Build a :class:`Problem` of the type ``slug``. ``extensions`` are its fields ``errors`` and ``suggestions``.

    >>> problem("unknown-audit", "There is no audit with this id.").status
    404
    """
    title, status = PROBLEM_TYPES[slug]
    return Problem(type=URN + slug, title=title, status=status, detail=detail, **extensions)
