"""Scores to a report: the tables, the intervals, the comparisons that were asked for, and the provenance of it all."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import timm
import torch
import torchvision
import zooaudit
from numpy.typing import NDArray
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from zooaudit.contract import (
    BORDERS,
    PARTS,
    PROTOCOL,
    Activation,
    ActivationCheck,
    Aligned,
    AngleRow,
    AuditRequest,
    Baseline,
    Block,
    Border,
    Cosine,
    Environment,
    Estimate,
    Images,
    Learned,
    LearnedPart,
    LearnedScore,
    Method,
    Model,
    Part,
    PartName,
    Provisional,
    ProvisionalPart,
    Report,
    RotationScore,
    ShiftRow,
    Timing,
    TranslationScore,
    audit_id,
)
from zooaudit.contract import Score as ScoreOut

from worker.forward import Shape, Subject
from worker.jackknife import half_width
from worker.moments import Spread
from worker.scores import Kind, Results, Scores, tabulate
from worker.similarity import Score, Similarity, constant
from worker.stream import Stream
from worker.transforms import Rotation, Shift, Transform
from worker.zoo import LoadedModel


@dataclass(frozen=True)
class Outcome:
    """What measuring one model gave: scores, on which share of the images the top-1 class stayed, the spreads of the
    reference view's representations, how many images there were in each group, and which could not be decoded."""

    results: Results
    agreements: Mapping[Transform, float]
    reference: Sequence[Spread]
    groups: Sequence[int]
    skipped: tuple[str, ...]

    @property
    def images(self) -> int:
        return sum(self.groups)


@dataclass(frozen=True)
class Frame:
    """What the tables of one audit have in common."""

    request: AuditRequest
    subject: Subject
    plan: Sequence[Shape]
    size: int

    def borders(self) -> tuple[Border, ...]:
        """The borders asked for; that of ``parts`` and ``blocks`` first."""
        return BORDERS if self.request.border == "all" else (self.request.border,)

    def similarities(self) -> tuple[Similarity, ...]:
        """The similarities asked for; that of ``parts`` and ``blocks`` first."""
        return ("correlation", "cosine") if self.request.similarity == "both" else (self.request.similarity,)

    def table(self, results: Results, similarity: Similarity | None = None, border: Border | None = None) -> Scores:
        return tabulate(
            results,
            self.plan,
            self.subject.depth,
            self.size,
            similarity or self.similarities()[0],
            border or self.borders()[0],
        )


def build(
    frame: Frame,
    model: LoadedModel,
    stream: Stream,
    outcome: Outcome,
    untrained: Sequence[Outcome],
    timing: Timing,
) -> Report:
    """Put a report together; ``untrained`` are the outcomes of the baseline's seeds."""
    request = frame.request
    main = frame.table(outcome.results)
    cosine = frame.table(outcome.results, "cosine") if request.similarity == "both" else None
    return Report(
        id=audit_id(request),
        protocol=PROTOCOL,
        repetition=request.repetition,
        model=Model(
            name=model.name,
            source=model.source,
            family=model.family,
            architecture=model.architecture,
            parameters=model.parameters,
            input_size=model.preprocessing.input_size,
            weights=model.weights,
            imagenet_top1=model.imagenet_top1,
        ),
        images=Images(
            dataset=request.dataset,
            requested=request.num_images,
            count=outcome.images,
            stopped="tolerance" if outcome.images + len(outcome.skipped) < request.num_images else "num_images",
            groups=len(outcome.groups),
            seed=request.seed,
            sha256=stream.sample.sha256,
            skipped=tuple(sorted(outcome.skipped)),
        ),
        method=Method(
            similarity=request.similarity,
            border=request.border,
            resize=max(model.preprocessing.resize, stream.side),
            canvas_size=stream.side,
            translations_px=request.translations_px,
            rotations_deg=request.rotations_deg,
            precision=request.precision,
            tolerance=request.tolerance,
        ),
        parts=_parts(frame, main, outcome),
        blocks=_blocks(frame, main, cosine, outcome),
        borders={b: _parts(frame, frame.table(outcome.results, border=b), outcome) for b in frame.borders()}
        if request.border == "all"
        else None,
        cosine=Cosine(parts=_parts(frame, cosine, outcome), activation=_over_depth(frame, main, cosine, outcome))
        if cosine
        else None,
        baseline=_baseline(frame, main, untrained, outcome.groups) if untrained else None,
        environment=Environment(
            zooaudit=zooaudit.__version__,
            python=platform.python_version(),
            torch=torch.__version__,
            timm=timm.__version__,
            torchvision=torchvision.__version__,
            device=torch.cuda.get_device_name(frame.subject.device) if frame.subject.device.type == "cuda" else "cpu",
            threads=torch.get_num_threads(),
            batch_size=stream.batch_size,
        ),
        timing=timing,
    )


def provisional(frame: Frame, results: Results, groups: Sequence[int]) -> Provisional:
    """What the report would say of its parts if the audit ended now."""
    table = frame.table(results)
    return Provisional(
        images=sum(groups),
        parts={
            name: ProvisionalPart(
                translation=ScoreOut(**_score(translation.mean, groups)),
                rotation=ScoreOut(**_score(rotation.mean, groups)),
            )
            for name, (translation, rotation) in table.parts.items()
        },
    )


def is_narrow(frame: Frame, results: Results, groups: Sequence[int], tolerance: float) -> bool:
    """Whether the confidence interval of every part's score, under every border and by every similarity, is at most
    ``tolerance`` wide."""
    for similarity in frame.similarities():
        for border in frame.borders():
            for kinds in frame.table(results, similarity, border).parts.values():
                for score in (kind.mean for kind in kinds if kind.mean.channel is not None):
                    for interval in _intervals(score, groups):
                        if interval is None or interval[1] - interval[0] > tolerance:
                            return False
    return True


def _parts(frame: Frame, scores: Scores, outcome: Outcome) -> dict[PartName, Part]:
    return {
        name: Part(
            blocks=frame.subject.depth.parts().count(name),
            translation=_translation(translation, outcome, name == "Final"),
            rotation=_rotation(rotation, outcome, name == "Final"),
        )
        for name, (translation, rotation) in scores.parts.items()
    }


def _blocks(frame: Frame, scores: Scores, cosine: Scores | None, outcome: Outcome) -> tuple[Block, ...]:
    names = frame.subject.depth.names()
    return tuple(
        Block(
            name=names[index][0],
            part=part,
            channels=shape.channels,
            height=shape.height,
            width=shape.width,
            layout=names[index][1],
            dead_channels=int(constant(outcome.reference[index]).sum()),
            translation=_translation(scores.blocks[index][0], outcome, part == "Final"),
            rotation=_rotation(scores.blocks[index][1], outcome, part == "Final"),
            activation=_activation(
                outcome.reference[index].mean.abs().cpu().numpy(),
                [[kind.mean.own for kind in table.blocks[index]] for table in (scores, cosine)],
            )
            if cosine
            else None,
        )
        for index, (shape, part) in enumerate(zip(frame.plan, frame.subject.depth.parts(), strict=True))
    )


def _translation(kind: Kind, outcome: Outcome, is_final: bool) -> TranslationScore:
    return TranslationScore(
        **_score(kind.mean, outcome.groups),
        aligned=Aligned(**_values(kind.aligned), shifts=kind.whole),
        by_transform=tuple(
            ShiftRow(shift_px=shift.shift_px, **_row(shift, score, outcome, is_final))
            for shift, score in kind.rows.items()
            if isinstance(shift, Shift)
        ),
    )


def _rotation(kind: Kind, outcome: Outcome, is_final: bool) -> RotationScore:
    return RotationScore(
        **_score(kind.mean, outcome.groups),
        by_transform=tuple(
            AngleRow(angle_deg=rotation.angle_deg, **_row(rotation, score, outcome, is_final))
            for rotation, score in kind.rows.items()
            if isinstance(rotation, Rotation)
        ),
    )


def _values(score: Score) -> dict[str, Any]:
    return {"channel": score.channel, "layer": score.layer, "reason": score.reason}


def _row(transform: Transform, score: Score, outcome: Outcome, is_final: bool) -> dict[str, Any]:
    # Logits that never vary decide nothing, so it says nothing that the decision stays.
    decides = is_final and score.channel is not None
    return {**_values(score), "top1_agreement": outcome.agreements[transform] if decides else None}


def _score(score: Score, groups: Sequence[int]) -> dict[str, Any]:
    channel, layer = _intervals(score, groups)
    return {**_values(score), "channel_interval": channel, "layer_interval": layer}


def _intervals(score: Score, groups: Sequence[int]) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """The 95 % confidence intervals of the channel and the layer score, within [0, 1]."""
    if score.deviations is None or score.channel is None or score.layer is None:
        return None, None
    channel, layer = (
        _interval(value, deviations, groups, 0.0)
        for value, deviations in zip((score.channel, score.layer), score.deviations, strict=True)
    )
    return channel, layer


def _interval(
    value: float, deviations: NDArray[np.float64], groups: Sequence[int], lowest: float
) -> tuple[float, float] | None:
    half = half_width(deviations, groups)
    return None if half is None else (max(lowest, value - half), min(1.0, value + half))


def _activation(
    magnitude: NDArray[np.float64], scores: Sequence[Sequence[NDArray[np.float64] | None]]
) -> ActivationCheck:
    """The rank correlations of ``scores`` (by similarity: of translation, of rotation) with ``magnitude``."""
    (translation, rotation), (cosine_translation, cosine_rotation) = scores
    return ActivationCheck(
        translation=Activation(
            correlation=_spearman(magnitude, translation), cosine=_spearman(magnitude, cosine_translation)
        ),
        rotation=Activation(correlation=_spearman(magnitude, rotation), cosine=_spearman(magnitude, cosine_rotation)),
    )


def _over_depth(frame: Frame, scores: Scores, cosine: Scores, outcome: Outcome) -> ActivationCheck:
    depth = range(len(frame.subject.depth.blocks))
    magnitude = np.array([float(outcome.reference[index].mean.abs().mean()) for index in depth])
    channel = [
        [np.array([table.blocks[index][kind].mean.channel for index in depth], dtype=np.float64) for kind in (0, 1)]
        for table in (scores, cosine)
    ]
    return _activation(magnitude, channel)


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64] | None) -> float | None:
    """Spearman's rank correlation over the pairs that both have; None for fewer than 3, or where one is constant."""
    if y is None:
        return None
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.clip(spearmanr(x, y).statistic, -1.0, 1.0))


def _baseline(frame: Frame, scores: Scores, untrained: Sequence[Outcome], groups: Sequence[int]) -> Baseline:
    tables = [frame.table(outcome.results) for outcome in untrained]
    return Baseline(
        seeds=tuple(range(len(tables))),
        parts={
            name: LearnedPart(
                **{
                    transform: LearnedScore(
                        **{
                            score: _learned(
                                scores.parts[name][kind].mean,
                                [table.parts[name][kind].mean for table in tables],
                                score,
                                groups,
                            )
                            for score in ("channel", "layer")
                        }
                    )
                    for kind, transform in enumerate(("translation", "rotation"))
                }
            )
            for name in PARTS
        },
    )


def _learned(trained: Score, untrained: Sequence[Score], kind: str, groups: Sequence[int]) -> Learned:
    row = ("channel", "layer").index(kind)

    def estimate(
        value: float | None, scores: Sequence[Score], weights: Sequence[float], lowest: float = 0.0
    ) -> Estimate:
        if value is None:
            return Estimate(value=None, interval=None, reason=next(score.reason for score in scores if score.reason))
        known = [score.deviations for score in scores if score.deviations is not None]
        if len(known) < len(scores):
            return Estimate(value=value, interval=None)
        deviations = sum(weight * one[row] for weight, one in zip(weights, known, strict=True))
        return Estimate(value=value, interval=_interval(value, np.asarray(deviations), groups, lowest))

    share = 1 / len(untrained)
    value: float | None = getattr(trained, kind)
    by_seed: tuple[float | None, ...] = tuple(getattr(score, kind) for score in untrained)
    measured = [one for one in by_seed if one is not None]
    base = sum(measured) * share if len(measured) == len(by_seed) else None
    difference = None if value is None or base is None else value - base
    return Learned(
        pretrained=estimate(value, [trained], [1.0]),
        untrained=estimate(base, untrained, [share] * len(untrained)),
        difference=estimate(difference, [trained, *untrained], [1.0, *[-share] * len(untrained)], -1.0),
        by_seed=by_seed,
    )
