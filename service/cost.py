"""What an audit would cost: how many forward images it takes, and about how long."""

import math
from collections.abc import Iterable
from typing import Any

from zooaudit.contract import (
    AuditRequest,
    Catalogue,
    Certainty,
    Cost,
    CostBasis,
    ModelDepth,
    Status,
    audit_id,
    forward_images_of,
    transforms_in,
)

from service.queue import AuditRow, QueueLoad
from service.speeds import Choice, Size, Speeds, size_of


def estimate(
    request: AuditRequest,
    status: Status | None,
    speeds: Speeds,
    rows: Iterable[AuditRow],
    catalogue: Catalogue,
    depth: ModelDepth | None,
    load: QueueLoad,
) -> Cost:
    """Estimate what ``request`` costs, which has its model's full name.

    ``status``  of the audit that answers the request already; None if there is none
    ``rows``    of all audits
    ``depth``   of the model, if a worker has found it
    ``load``    of the queue now
    """
    now: dict[str, Any] = {"queued": load.queued, "running": load.running, "workers": load.workers}
    known: dict[str, Any] = {"id": audit_id(request), "request": request, "status": status, **now}
    if status is not None:
        return Cost(**known, forward_images=0, certainty="exact", seconds=0.0, basis=None)
    size = size_of(request.model, catalogue, depth)
    choice = speeds.choose(request, forward_images_of(request), size, rows, catalogue)
    passes = _passes(request, choice)
    known |= {"forward_images": _forward_images(request, passes), "certainty": _certainty(request, passes)}
    if choice is None:
        return Cost(**known, seconds=None, reason=_reason(request, size), basis=None)
    return Cost(**known, seconds=_seconds(request, choice, size), basis=_basis(choice, size))


def estimated_seconds(
    request: AuditRequest, speeds: Speeds, rows: Iterable[AuditRow], catalogue: Catalogue, depth: ModelDepth | None
) -> float | None:
    """Estimate how long a worker takes for ``request``, as :func:`estimate` does; None where nothing is known."""
    size = size_of(request.model, catalogue, depth)
    choice = speeds.choose(request, forward_images_of(request), size, rows, catalogue)
    return None if choice is None else _seconds(request, choice, size)


def _seconds(request: AuditRequest, choice: Choice, size: Size | None) -> float:
    basis = _basis(choice, size)
    forward_images = _forward_images(request, _passes(request, choice))
    return basis.preparing_seconds + forward_images * basis.scale / basis.images_per_second


def _passes(request: AuditRequest, choice: Choice | None) -> tuple[int, int] | None:
    """Return the least and the most passes over the images that the transforms of ``request`` can need, by those that
    an audit of the same model needed on the same device; None where that is not known.

    A pass measures as many transforms as fit into memory at once. If n of them took p passes, at least n / p fit, and
    fewer than n / (p - 1).
    """
    if choice is None or choice.speed.passes is None or not (choice.same_model and choice.same_device):
        return None
    wanted, known, passes = transforms_in(request), choice.speed.transforms, choice.speed.passes
    least = 1 if passes == 1 else math.ceil(wanted / max(1, (known - 1) // (passes - 1)))
    return least, math.ceil(wanted / math.ceil(known / passes))


def _forward_images(request: AuditRequest, passes: tuple[int, int] | None) -> int:
    return forward_images_of(request, passes[0] if passes else 1)


def _certainty(request: AuditRequest, passes: tuple[int, int] | None) -> Certainty:
    """Say how certain the forward images are, given the least and the most passes if these are known."""
    if request.tolerance is not None:
        # Several passes may end after different numbers of images, and those that saw fewer are run again.
        return "at most" if passes == (1, 1) else "at most about"
    return "exact" if passes and passes[0] == passes[1] else "at least"


def _basis(choice: Choice, size: Size | None) -> CostBasis:
    speed = choice.speed
    return CostBasis(
        id=speed.id,
        model=speed.model,
        same_model=choice.same_model,
        device=speed.device,
        finished_at=speed.finished_at,
        forward_images=speed.forward_images,
        images_per_second=speed.images_per_second,
        preparing_seconds=speed.preparing_seconds,
        scale=1.0 if choice.same_model or size is None else size.work / speed.size.work,
    )


def _reason(request: AuditRequest, size: Size | None) -> str:
    without = f"in {request.precision} no audit of {request.model} has been measured here"
    if size is None:
        return f"I{without[1:]}, and its size, by which another model could stand for it, is not known yet."
    return f"I{without[1:]}, nor one of a model of about this size."
