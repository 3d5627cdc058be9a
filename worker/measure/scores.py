"""From sums to the scores of a report: by transform, their mean at each block, and the mean of those over each part."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from zooaudit.contract import PARTS, Border, PartName

from worker.depth.depth import Depth
from worker.measure.forward import Shape
from worker.measure.jackknife import Sums
from worker.measure.measurement import Measurement
from worker.measure.similarity import Score, Similarity
from worker.measure.transforms import Rotation, Shift, Transform, is_whole

Results = Mapping[Transform, Sequence[Mapping[Similarity, Score]]]
"""The score of every representation under every transform, by every similarity asked for."""

TOO_FEW = "the model has too few blocks"


def score_all(measured: Measurement, similarities: Sequence[Similarity]) -> Results:
    """The scores of all that was measured."""
    return {
        transform: [
            {
                similarity: sums.score(similarity) if isinstance(sums, Sums) else Score(None, None, sums)
                for similarity in similarities
            }
            for sums in row
        ]
        for transform, row in measured.sums.items()
    }


@dataclass(frozen=True)
class Kind:
    """The scores of one kind of transform at a block or over a part: by transform, and their ``mean``; that of the
    ``aligned`` ones, the ``whole`` shifts, by :func:`worker.measure.transforms.is_whole`."""

    rows: Mapping[Transform, Score]
    mean: Score
    aligned: Score
    whole: int


@dataclass(frozen=True)
class Scores:
    """Translation and rotation of every representation, and of every part."""

    blocks: Sequence[tuple[Kind, Kind]]
    parts: Mapping[PartName, tuple[Kind, Kind]]


def tabulate(
    results: Results,
    plan: Sequence[Shape],
    depth: Depth,
    size: int,
    similarity: Similarity,
    border: Border,
) -> Scores:
    """The scores by ``similarity`` with translations under ``border``; representation i, of shape ``plan[i]`` for an
    input of ``size`` pixels, is the i-th of ``depth``."""
    shifts = [transform for transform in results if isinstance(transform, Shift) and transform.border == border]
    rotations = [transform for transform in results if isinstance(transform, Rotation)]
    blocks = []
    for index, shape in enumerate(plan):
        whole = {shift for shift in shifts if is_whole(shift.shift_px, shape.height, shape.width, size)}
        blocks.append(
            (
                _of_block({shift: results[shift][index][similarity] for shift in shifts}, "translation", whole),
                _of_block({angle: results[angle][index][similarity] for angle in rotations}, "rotation", set()),
            )
        )
    parts = {}
    for name in PARTS:
        mine = [block for block, part in zip(blocks, depth.parts(), strict=True) if part == name]
        translation, rotation = ([block[kind] for block in mine] for kind in (0, 1))
        absent = dict(depth.absent).get(name, TOO_FEW)
        parts[name] = (_over_blocks(translation, shifts, absent), _over_blocks(rotation, rotations, absent))
    return Scores(blocks, parts)


def _of_block(rows: Mapping[Transform, Score], kind: str, whole: set[Shift]) -> Kind:
    aligned = [score for transform, score in rows.items() if transform in whole]
    absent = f"no {kind} was asked for"
    none = absent if not rows else "no shift asked for is a whole number of cells here"
    return Kind(rows, mean(rows.values(), absent), mean(aligned, none), len(aligned))


def _over_blocks(blocks: Sequence[Kind], transforms: Iterable[Transform], absent: str) -> Kind:
    return Kind(
        {transform: mean([block.rows[transform] for block in blocks], absent) for transform in transforms},
        mean([block.mean for block in blocks], absent),
        mean([block.aligned for block in blocks], absent),
        sum(block.whole for block in blocks),
    )


def mean(scores: Iterable[Score], absent: str) -> Score:
    """The mean of what could be measured; where nothing could, None and the first reason, or ``absent``."""
    scores = list(scores)
    channel = [score.channel for score in scores if score.channel is not None]
    layer = [score.layer for score in scores if score.layer is not None]
    if not channel:
        return Score(None, None, next((score.reason for score in scores if score.reason), absent))
    return Score(
        fmean(channel),
        fmean(layer),
        own=_mean([score.own for score in scores]),
        deviations=_mean([score.deviations for score in scores]),
    )


def _mean(arrays: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    known = [array for array in arrays if array is not None]
    same = len({array.shape for array in known}) == 1
    return np.mean(known, axis=0) if same else None
