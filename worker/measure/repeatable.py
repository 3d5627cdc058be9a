"""Refuse a model whose features of an image do not follow from that image alone, before anything is measured.

A model that is random in eval mode, keeps a state, or takes statistics over its batch has no score: another run or
another batch size would give another one.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from worker.depth import Representation
from worker.errors import AuditError
from worker.measure.forward import Subject

MAX_CHANGE = 0.01
"""How much of the spread between two images a representation may change by in another batch, besides by rounding."""
MAX_ROUNDING = 1e-4
"""How much of its size a representation may change by through rounding."""

CHANCE = (
    "is another each time that the same image goes through the model, in eval mode, too: something in or before it is "
    "random or keeps a state, such as dropout without training=self.training. Make it depend on the image alone."
)
BATCH = (
    "for an image depends on the other images of its batch, in eval mode, too: something in or before it looks at the "
    "whole batch, such as a batch norm with track_running_stats=False. Make it depend on the image alone."
)


def refuse_unrepeatable(subject: Subject, representations: Sequence[Representation], size: int) -> None:
    """Raise AuditError if the features of one image of ``size`` px change with the run, or with its batch.

    The model computes in float32, whatever the precision of the audit, so honest differences are as small as they can
    be. It sees one image twice in a batch, the same batch again, the image in another batch, and alone: ten images.
    """
    subject = replace(subject, precision="float32")
    image, companion, other = torch.split(_images(size).to(subject.device), 1)
    batch = torch.cat([image, companion, image])
    first = _features(subject, batch)
    for representation, maps in zip(representations, first, strict=True):
        if not maps.isfinite().all():
            detail = f"{_name(representation)} holds infinite values, or values that are no numbers: correct the model."
            raise AuditError("unrepeatable-model", detail)
    if (changed := _changed_by_chance(first, _features(subject, batch))) is not None:
        raise AuditError("unrepeatable-model", f"{_name(representations[changed])} {CHANCE}")
    for later in (torch.cat([image, 3 * other, image]), image):
        if (changed := _changed_by_batch(first, _features(subject, later))) is not None:
            raise AuditError("unrepeatable-model", f"{_name(representations[changed])} {BATCH}")


def _name(representation: Representation) -> str:
    what = representation.part if representation.part in ("Pool", "Final") else "the block"
    return f"The output of {what} {representation.name}"


def _images(size: int) -> Tensor:
    """Return three images (3, 3, size, size) of coloured blots, normalised."""
    blots = torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(blots, (size, size), mode="bicubic", align_corners=False)


def _features(subject: Subject, view: Tensor) -> list[Tensor]:
    """Return a copy of every representation of ``view``."""
    features: list[Tensor] = []
    with torch.inference_mode():
        subject.forward(view, lambda _index, maps: features.append(maps.to(torch.float32, copy=True)))
    return features


def _changed_by_chance(first: Sequence[Tensor], later: Sequence[Tensor]) -> int | None:
    """Return the index of the first representation that another run of the same batch has changed; None if none has.

    The same operations on the same numbers differ by rounding at most, so no spread between images excuses a change.
    """
    for index, (maps, others) in enumerate(zip(first, later, strict=True)):
        if not _rms(others - maps) <= MAX_ROUNDING * _rms(maps):
            return index
    return None


def _changed_by_batch(first: Sequence[Tensor], later: Sequence[Tensor]) -> int | None:
    """Return the index of the first representation whose map of the image another batch has changed; None if none has.

    ``first`` are the representations of the image, its companion and the image again; ``later`` have the image first
    and last. How much the companion differs from the image is the measure of a change.
    """
    for index, (maps, others) in enumerate(zip(first, later, strict=True)):
        image, companion, again = maps
        allowed = MAX_CHANGE * _rms(companion - image) + MAX_ROUNDING * _rms(image)
        if any(not _rms(map_of_image - image) <= allowed for map_of_image in (again, others[0], others[-1])):
            return index
    return None


def _rms(values: Tensor) -> float:
    return values.square().mean().sqrt().item()
