"""Scores in a table: by transform, their mean at each block, and the mean of the blocks over each part."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from zooaudit.contract import PARTS, Border, PartName, TransformName

from worker.depth import Representation
from worker.measure.similarity import Equivariance, Similarity
from worker.measure.transforms import Reflection, Rotation, Shift, Transform, is_whole

Results = Mapping[Transform, Sequence[Mapping[Similarity, Equivariance]]]
"""The scores of every representation under every transform, by each similarity of the experiment."""

TOO_FEW = "the model has too few blocks"


@dataclass(frozen=True)
class Curve:
    """The scores of one block or part over the shifts, over the rotations, or over the reflections.

    ``rows`` has a score for each transform, and ``mean`` is their mean. ``aligned`` is the mean over the shifts by a
    whole number of a block's cells (:func:`worker.measure.transforms.is_whole`); ``whole_shifts`` counts them.
    """

    rows: Mapping[Transform, Equivariance]
    mean: Equivariance
    aligned: Equivariance
    whole_shifts: int


@dataclass(frozen=True)
class Curves:
    """The curves of one block or part. ``reflection`` is None where there is none."""

    translation: Curve
    rotation: Curve
    reflection: Curve | None = None

    def by_transform(self) -> dict[TransformName, Curve]:
        """Return the curves that there are, by the name of the transform."""
        always: dict[TransformName, Curve] = {"translation": self.translation, "rotation": self.rotation}
        return always if self.reflection is None else always | {"reflection": self.reflection}


@dataclass(frozen=True)
class ScoreTable:
    """The curves of every representation, in order, and of every part."""

    blocks: Sequence[Curves]
    parts: Mapping[PartName, Curves]


def tabulate(
    results: Results,
    representations: Sequence[Representation],
    absent: Mapping[PartName, str],
    size: int,
    similarity: Similarity,
    border: Border,
) -> ScoreTable:
    """Arrange the scores by ``similarity``, with translations under ``border``, by block and by part.

    ``results`` has the scores of ``representations`` for an input of ``size`` pixels; ``absent`` says why the model has
    no Pool or no Final.
    """
    shifts = [transform for transform in results if isinstance(transform, Shift) and transform.border == border]
    rotations = [transform for transform in results if isinstance(transform, Rotation)]
    reflections = [transform for transform in results if isinstance(transform, Reflection)]
    blocks = []
    for index, representation in enumerate(representations):
        whole = {shift for shift in shifts if is_whole(shift, representation.height, representation.width, size)}
        shifted, rotated, reflected = (
            {transform: results[transform][index][similarity] for transform in of_kind}
            for of_kind in (shifts, rotations, reflections)
        )
        blocks.append(
            Curves(
                _of_block(shifted, "translation", whole),
                _of_block(rotated, "rotation"),
                _of_block(reflected, "reflection") if reflected else None,
            )
        )
    parts = {}
    for name in PARTS:
        members = [
            curves
            for curves, representation in zip(blocks, representations, strict=True)
            if representation.part == name
        ]
        reason = absent.get(name, TOO_FEW)
        parts[name] = Curves(
            _over_blocks([curves.translation for curves in members], shifts, reason),
            _over_blocks([curves.rotation for curves in members], rotations, reason),
            _over_blocks([curves.reflection for curves in members if curves.reflection], reflections, reason)
            if reflections
            else None,
        )
    return ScoreTable(blocks, parts)


def _of_block(rows: Mapping[Transform, Equivariance], transform_name: str, whole: Collection[Shift] = ()) -> Curve:
    aligned = [score for transform, score in rows.items() if transform in whole]
    absent = f"no {transform_name} was asked for"
    none_aligned = absent if not rows else "no shift asked for is a whole number of cells here"
    return Curve(rows, mean(rows.values(), absent), mean(aligned, none_aligned), len(aligned))


def _over_blocks(curves: Sequence[Curve], transforms: Iterable[Transform], absent: str) -> Curve:
    return Curve(
        {transform: mean([curve.rows[transform] for curve in curves], absent) for transform in transforms},
        mean([curve.mean for curve in curves], absent),
        mean([curve.aligned for curve in curves], absent),
        sum(curve.whole_shifts for curve in curves),
    )


def mean(scores: Iterable[Equivariance], absent: str) -> Equivariance:
    """Average the scores that could be measured. If none could, the mean is null with the first score's reason, or with
    ``absent`` where no score has one."""
    scores = list(scores)
    channel = [score.channel for score in scores if score.channel is not None]
    layer = [score.layer for score in scores if score.layer is not None]
    held_out = [score.layer_held_out for score in scores if score.layer_held_out is not None]
    if not channel:
        return Equivariance(None, None, next((score.reason for score in scores if score.reason), absent))
    return Equivariance(
        fmean(channel),
        fmean(layer),
        layer_held_out=fmean(held_out) if len(held_out) == len(layer) else None,
        own=_mean([score.own for score in scores]),
        deviations=_mean([score.deviations for score in scores]),
    )


def _mean(arrays: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    known = [array for array in arrays if array is not None]
    same_shape = len({array.shape for array in known}) == 1
    return np.mean(known, axis=0) if same_shape else None
