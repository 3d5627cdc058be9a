"""The images on which a model is least equivariant, by what enters its classifier and what leaves it.

An image gives one vector there, so it has no correlation over images or cells, which is what the audit's scores are.
Its *similarity* is another number: how much of what sets the image apart from the others is still there after T. With
the mean m and the standard deviation s of each channel over all images looked at::

    similarity = cosine of (f(x) - m) / s and (f(T(x)) - m) / s, over the channels
"""

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from zooaudit.contract import ImageSimilarity, LeastEquivariant, LeastEquivariantRequest, Prediction, Report
from zooaudit.contract.explanation import MAX_LOOKED_AT

from worker.audit import Prepared
from worker.errors import AuditError
from worker.explain.classes import prediction
from worker.explain.pictures import picture
from worker.explain.precision import precision_of
from worker.images.decoding import printable
from worker.measure.similarity import CONSTANT
from worker.measure.transforms import Transform

SHOWN = 12
"""How many images are shown for Pool, and how many for Final."""
PICTURE_PX = 96
ENOUGH_S = 240.0
"""No further batch is begun after this time: a large model gets fewer images, and the answer says how many."""


def find_least(
    prepared: Prepared, report: Report, asked: LeastEquivariantRequest, transform: Transform, pictures: bool
) -> LeastEquivariant:
    """Find the images whose vectors at Pool and Final change most under ``transform``. Raises AuditError."""
    looked = _Looked(prepared, transform, pictures)
    limit = min(MAX_LOOKED_AT, report.images.count)
    deadline_s = time.monotonic() + ENOUGH_S
    experiment = prepared.experiment
    for batch in experiment.stream.batches(experiment.budget.batch_size, limit):
        looked.add(batch.places.tolist(), prepared.subject.canvas(batch.pixels))
        if time.monotonic() > deadline_s:
            break
    pool, final = looked.similarities("Pool"), looked.similarities("Final")
    if pool is None and final is None:
        detail = "There is nothing to tell the images apart by: give the audit two images or more that differ."
        raise AuditError("not-explainable", detail)
    return LeastEquivariant(
        audit=report.id,
        shift_px=asked.shift_px,
        direction=prepared.request.direction if asked.shift_px is not None else "diagonal",
        angle_deg=asked.angle_deg,
        axis=asked.axis,
        warp=asked.warp,
        amount=asked.amount,
        border=experiment.borders[0],
        precision=precision_of(prepared.request),
        images=len(looked.places),
        changed=looked.changed(),
        mean_pool=_mean(pool),
        mean_final=_mean(final),
        least=tuple(looked.image(index, pool, final) for index in lowest(pool, final)),
    )


def similarities(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Compute the similarity of each image, (N,) in [-1, 1], from its vectors ``a`` before and ``b`` after, (N, K).

    Channels that do not vary over the images, or are not finite, are left out. None where no channel is left. An image
    that is the mean of all, which nothing sets apart, has NaN.

    >>> a = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]])
    >>> similarities(a, a)
    array([1., 1., 1.])
    """
    mean, deviation = a.mean(0), a.std(0)
    varies = np.isfinite(a).all(0) & np.isfinite(b).all(0) & (deviation > CONSTANT * np.abs(mean)) & (deviation > 0)
    if not varies.any():
        return None
    a, b = ((values[:, varies] - mean[varies]) / deviation[varies] for values in (a, b))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.divide((a * b).sum(1), norms, out=np.full(len(a), np.nan), where=norms > 0)
    within: NDArray[np.float64] = cosines.clip(-1.0, 1.0).round(6)
    return within


def lowest(pool: NDArray[np.float64] | None, final: NDArray[np.float64] | None) -> list[int]:
    """Return the images among the SHOWN lowest at Pool or at Final, by the lower of their two similarities."""
    known = [values for values in (pool, final) if values is not None]
    found = {int(index) for values in known for index in np.argsort(values, kind="stable")[:SHOWN]}
    lower = np.fmin.reduce(known)
    return sorted((index for index in found if np.isfinite(lower[index])), key=lambda index: (lower[index], index))


class _Looked:
    """What has been seen of the images so far."""

    def __init__(self, prepared: Prepared, transform: Transform, pictures: bool) -> None:
        self._prepared = prepared
        self._transform = transform
        self._pictures = pictures
        self._ends = {
            index: one.part
            for index, one in enumerate(prepared.experiment.representations)
            if one.part in ("Pool", "Final")
        }
        self._vectors: dict[tuple[str, bool], list[Tensor]] = {}
        self._predictions: list[Prediction | None] = []
        self._images: list[str | None] = []
        self._names: Sequence[str] = prepared.experiment.stream.sample.shuffled()
        self.places: list[int] = []

    def add(self, places: Sequence[int], canvas: Tensor) -> None:
        """Look at the images of a batch, which have these ``places``, on their ``canvas``."""
        views = self._prepared.experiment.views
        reference = views.reference(canvas)
        before = self._forward(reference, transformed=False)
        after = self._forward(views.transformed(canvas, self._transform), transformed=True)
        loaded, subject = self._prepared.loaded, self._prepared.subject
        self._predictions += [prediction(loaded, *outputs) for outputs in zip(before, after, strict=True)]
        for view in torch.split(reference, 1):
            self._images.append(picture(subject, view, PICTURE_PX) if self._pictures else None)
        self.places += places

    def _forward(self, view: Tensor, transformed: bool) -> Tensor:
        def receive(index: int, maps: Tensor) -> None:
            if index in self._ends:
                self._vectors.setdefault((self._ends[index], transformed), []).append(maps.flatten(1).double())

        with torch.inference_mode():
            return self._prepared.subject.forward(view, receive).float()

    def similarities(self, part: str) -> NDArray[np.float64] | None:
        """Compute the similarity of each image at Pool or Final; None where the model has no such part."""
        if (part, False) not in self._vectors:
            return None
        a, b = (torch.cat(self._vectors[part, transformed]).numpy() for transformed in (False, True))
        return similarities(a, b)

    def changed(self) -> int | None:
        """Count the images that get another class after the transform; None where there are no classes."""
        known = [one for one in self._predictions if one is not None]
        return sum(one.before.index != one.after.index for one in known) if known else None

    def image(self, index: int, pool: NDArray[np.float64] | None, final: NDArray[np.float64] | None) -> ImageSimilarity:
        return ImageSimilarity(
            place=self.places[index],
            image=printable(self._names[self.places[index]]),
            pool=_value(pool, index),
            final=_value(final, index),
            prediction=self._predictions[index],
            picture=self._images[index],
        )


def _value(values: NDArray[np.float64] | None, index: int) -> float | None:
    return None if values is None or np.isnan(values[index]) else float(values[index])


def _mean(values: NDArray[np.float64] | None) -> float | None:
    return None if values is None or np.isnan(values).all() else round(float(np.nanmean(values)), 6)
