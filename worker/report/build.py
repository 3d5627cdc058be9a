"""Scores to a report: the tables, the comparisons that were asked for, and the provenance of it all."""

import platform
from collections.abc import Sequence
from typing import Any

import timm
import torch
import torchvision
import zooaudit
from zooaudit.contract import (
    PROTOCOL,
    Aligned,
    AngleRow,
    Block,
    Cosine,
    Environment,
    Images,
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

from worker.images.stream import Stream
from worker.measure.outcome import Frame, Outcome, intervals
from worker.measure.scores import Kind, Results, Scores
from worker.measure.similarity import Score, constant
from worker.measure.transforms import Rotation, Shift, Transform
from worker.report.activation import activation, over_depth
from worker.report.baseline import baseline
from worker.zoo.loading import LoadedModel


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
        cosine=Cosine(parts=_parts(frame, cosine, outcome), activation=over_depth(frame, main, cosine, outcome))
        if cosine
        else None,
        baseline=baseline(frame, main, untrained, outcome.groups) if untrained else None,
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
                    for interval in intervals(score, groups):
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
            activation=activation(
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
    channel, layer = intervals(score, groups)
    return {**_values(score), "channel_interval": channel, "layer_interval": layer}
