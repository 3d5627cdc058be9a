"""Scores in a table: by transform, their mean at each block, and the mean of the blocks over each part."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from zooaudit.contract import ALL_TRANSFORMS, PARTS, TRANSFORMS, WARPS, Border, PartName, TransformName

from worker.depth import Representation
from worker.measure.similarity import Equivariance, Similarity
from worker.measure.transforms import Reflection, Rotation, Shift, Transform, is_whole
from worker.measure.warps import Warp

Results = Mapping[Transform, Sequence[Mapping[Similarity, Equivariance]]]
"""The scores of every representation under every transform, by each similarity of the experiment."""

TOO_FEW = "the model has too few blocks"


@dataclass(frozen=True)
class Curve:
    """The scores of one block or part over the transforms of one name: over the shifts, the rotations, and so on.

    ``rows`` has a score for each transform, and ``mean`` is their mean. ``aligned`` is the mean over the shifts by a
    whole number of a block's cells (:func:`worker.measure.transforms.is_whole`); ``whole_shifts`` counts them.
    """

    rows: Mapping[Transform, Equivariance]
    mean: Equivariance
    aligned: Equivariance
    whole_shifts: int


Curves = Mapping[TransformName, Curve]
"""The curves of one block or part: of translation and rotation, and of whatever else was asked for."""


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
    named = {name: [one for one in results if _is_of(one, name, border)] for name in ALL_TRANSFORMS}
    named = {name: transforms for name, transforms in named.items() if transforms or name in TRANSFORMS}
    blocks: list[Curves] = [
        {
            name: _of_block(
                {transform: results[transform][index][similarity] for transform in transforms},
                name,
                {
                    one
                    for one in transforms
                    if isinstance(one, Shift) and is_whole(one, block.height, block.width, size)
                },
            )
            for name, transforms in named.items()
        }
        for index, block in enumerate(representations)
    ]
    parts: dict[PartName, Curves] = {}
    for part in PARTS:
        members = [curves for curves, block in zip(blocks, representations, strict=True) if block.part == part]
        parts[part] = {
            name: _over_blocks([curves[name] for curves in members], transforms, absent.get(part, TOO_FEW))
            for name, transforms in named.items()
        }
    return ScoreTable(blocks, parts)


def _is_of(transform: Transform, name: TransformName, border: Border) -> bool:
    """Tell whether ``transform`` is of that ``name``, and if it is a shift, under that ``border``."""
    match transform:
        case Shift():
            return name == "translation" and transform.border == border
        case Rotation():
            return name == "rotation"
        case Reflection():
            return name == "reflection"
        case Warp():
            return name == WARPS[transform.kind]


def _of_block(rows: Mapping[Transform, Equivariance], transform_name: str, whole: Collection[Shift]) -> Curve:
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
    interpolation = [score.interpolation for score in scores if score.interpolation is not None]
    if not channel:
        return Equivariance(None, None, next((score.reason for score in scores if score.reason), absent))
    return Equivariance(
        fmean(channel),
        fmean(layer),
        layer_held_out=fmean(held_out) if len(held_out) == len(layer) else None,
        interpolation=fmean(interpolation) if interpolation else None,
        own=_mean([score.own for score in scores]),
        deviations=_mean([score.deviations for score in scores]),
    )


def _mean(arrays: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    known = [array for array in arrays if array is not None]
    same_shape = len({array.shape for array in known}) == 1
    return np.mean(known, axis=0) if same_shape else None
