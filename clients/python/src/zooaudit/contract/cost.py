"""What an audit would cost, told before it is asked for."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from zooaudit.contract.audit import QueuePosition, Status
from zooaudit.contract.base import Contract, omit_none
from zooaudit.contract.report import BORDERS, Method
from zooaudit.contract.request import AuditRequest
from zooaudit.contract.second_opinion import GENERATORS

Certainty = Literal["exact", "at least", "at most", "at most about"]


class CostBasis(Contract):
    """The audit on whose measured speed an estimate rests: of the same model, or of one of about its size.

    ``images_per_second`` is the number of its ``forward_images`` in the time in which it measured; before that it took
    ``preparing_seconds``, such as to load the model. ``scale`` is how many times as long one forward image of the
    estimated audit is taken to last: 1 for the same model, else the ratio of parameters times input pixels. So the
    estimate is ``preparing_seconds`` + forward images of the estimated audit * ``scale`` / ``images_per_second``.
    """

    id: str
    model: str
    same_model: bool
    device: str
    finished_at: datetime
    forward_images: int
    images_per_second: float
    preparing_seconds: float
    scale: float


class Cost(Contract):
    """What a request for an audit would cost now. Nothing is accepted, and nothing is counted against a key.

    ``request`` has its defaults filled in, and ``id`` is the audit's. Where that audit waits, runs or has a report
    already, ``status`` says so, and asking for it costs nothing: ``forward_images`` and ``seconds`` are 0. An image
    counts once for each of its views that goes through a model.

    ``certainty`` is that of ``forward_images``. "at least": a worker with too little memory for all transforms at once
    goes over the images several times, and each time adds a view. "at most": the tolerance may end the audit earlier.
    "at most about": both. Images that cannot be decoded are left out; nobody knows of them beforehand.

    ``seconds`` are those on one worker from the start of the audit, by the speed of the audit ``basis``; where there is
    none, ``reason`` says why. ``queued``, ``running`` and ``workers`` are the numbers of audits and workers now, and
    ``queue`` is where the audit would wait; it is absent if the audit exists.
    """

    id: str
    request: AuditRequest
    status: Annotated[Status | None, Field(description="Of the audit if it exists; null if it would be measured.")]
    forward_images: Annotated[int, Field(ge=0)]
    certainty: Certainty
    seconds: Annotated[float | None, Field(ge=0)]
    reason: Annotated[str | None, Field(description="Why the seconds cannot be estimated.")] = Field(
        default=None, exclude_if=omit_none
    )
    basis: CostBasis | None
    queued: Annotated[int, Field(ge=0)]
    running: Annotated[int, Field(ge=0)]
    workers: Annotated[int, Field(ge=0)]
    queue: QueuePosition | None = Field(default=None, exclude_if=omit_none)


def transforms_in(asked: AuditRequest | Method) -> int:
    """Count the transforms: shifts under each border, rotations, reflections, and warps."""
    borders = len(BORDERS) if asked.border == "all" else 1
    warps = sum(len(each.amounts) for each in asked.warps)
    return borders * len(asked.translations_px) + len(asked.rotations_deg) + len(asked.reflections) + warps


def probe_views(asked: AuditRequest | Method) -> int:
    """Count the views of an image that the other measures see: each goes over the images by itself."""
    deformation = 1 + 2 * len(asked.deformation.displacements_px) if asked.deformation else 0
    local = 1 + 2 * len(GENERATORS) if asked.local else 0
    kinds = [asked.translations_px, asked.rotations_deg, asked.reflections, *(each.amounts for each in asked.warps)]
    variance = sum(1 + len(of_kind) for of_kind in kinds if of_kind) if asked.variance else 0
    return deformation + local + 2 * asked.consistency_draws + variance


def forward_images_of(request: AuditRequest, passes: int = 1) -> int:
    """Count the forward images of an audit that goes over its images this often for its transforms: each pass sees the
    reference view, too."""
    models = 1 + request.baseline * request.baseline_seeds
    return models * request.num_images * (passes + transforms_in(request) + probe_views(request))
