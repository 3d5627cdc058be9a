"""Measurements to a report: scores per representation and transform, their means, and the provenance of it all."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, TypeVar

import timm
import torch
import torchvision
import zooaudit
from zooaudit.contract import (
    PARTS,
    PROTOCOL,
    AngleRow,
    AuditRequest,
    Block,
    Environment,
    Images,
    Method,
    Model,
    Part,
    PartName,
    Report,
    RotationScore,
    ShiftRow,
    Timing,
    TranslationScore,
    audit_id,
)

from worker.forward import Shape, Subject
from worker.measure import Measurement
from worker.moments import Spread
from worker.similarity import Score, constant, score
from worker.stream import Stream
from worker.transforms import Rotation, Shift, Transform
from worker.zoo import LoadedModel

Kind = TypeVar("Kind", TranslationScore, RotationScore)
Scored = TranslationScore | RotationScore | ShiftRow | AngleRow

ABSENT: dict[PartName, str] = dict.fromkeys(PARTS, "the model has too few blocks") | {
    "Final": "the model has no classifier"
}


@dataclass(frozen=True)
class Result:
    """What one transform gave at one representation; ``top1_agreement`` at Final only."""

    score: Score
    top1_agreement: float | None = None


Results = dict[Transform, list[Result]]


def score_all(measured: Measurement, similarity: Literal["correlation", "cosine"], has_final: bool) -> Results:
    """The scores of every transform at every representation; the top-1 agreement goes with Final's."""
    results: Results = {}
    for transform, row in measured.moments.items():
        scores = [Score(None, None, item) if isinstance(item, str) else score(item, similarity) for item in row]
        results[transform] = [Result(item) for item in scores]
        # Logits that never vary decide nothing, so it says nothing that the decision stays.
        if has_final and scores[-1].channel is not None:
            results[transform][-1] = Result(scores[-1], measured.agreements[transform] / measured.images)
    return results


def build(
    request: AuditRequest,
    model: LoadedModel,
    subject: Subject,
    plan: Sequence[Shape],
    stream: Stream,
    results: Results,
    reference: Sequence[Spread],
    timing: Timing,
) -> Report:
    """Put a report together."""
    taps = subject.depth
    names = [*((tap.name, tap.layout) for tap in taps.blocks), (taps.pool, "NCHW"), (taps.classifier, "NCHW")]
    of_part: list[PartName] = [*taps.parts(), "Pool", "Final"]
    blocks = [
        Block(
            name=names[index][0],
            part=of_part[index],
            channels=shape.channels,
            height=shape.height,
            width=shape.width,
            layout=names[index][1],
            dead_channels=int(constant(reference[index]).sum()),
            translation=_translation({t: row[index] for t, row in results.items()}),
            rotation=_rotation({t: row[index] for t, row in results.items()}),
        )
        for index, shape in enumerate(plan)
    ]
    skipped = stream.skipped or ()
    return Report(
        id=audit_id(request),
        protocol=PROTOCOL,
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
            count=len(stream.sample.names) - len(skipped),
            seed=request.seed,
            sha256=stream.sample.sha256,
            skipped=skipped,
        ),
        method=Method(
            similarity=request.similarity,
            border=request.border,
            resize=max(model.preprocessing.resize, stream.side),
            canvas_size=stream.side,
            translations_px=request.translations_px,
            rotations_deg=request.rotations_deg,
            precision=request.precision,
        ),
        parts={name: _part([block for block in blocks if block.part == name], ABSENT[name]) for name in PARTS},
        blocks=tuple(blocks),
        environment=Environment(
            zooaudit=zooaudit.__version__,
            python=platform.python_version(),
            torch=torch.__version__,
            timm=timm.__version__,
            torchvision=torchvision.__version__,
            device=torch.cuda.get_device_name(subject.device) if subject.device.type == "cuda" else "cpu",
            threads=torch.get_num_threads(),
            batch_size=stream.batch_size,
        ),
        timing=timing,
    )


def _translation(results: dict[Transform, Result]) -> TranslationScore:
    rows = tuple(
        ShiftRow(shift_px=transform.shift_px, **_fields(result))
        for transform, result in results.items()
        if isinstance(transform, Shift)
    )
    return TranslationScore(**_means(rows, "no translation was asked for"), by_transform=rows)


def _rotation(results: dict[Transform, Result]) -> RotationScore:
    rows = tuple(
        AngleRow(angle_deg=transform.angle_deg, **_fields(result))
        for transform, result in results.items()
        if isinstance(transform, Rotation)
    )
    return RotationScore(**_means(rows, "no rotation was asked for"), by_transform=rows)


def _fields(result: Result) -> dict[str, Any]:
    return {**vars(result.score), "top1_agreement": result.top1_agreement}


def _part(blocks: Sequence[Block], absent: str) -> Part:
    """A part's scores are the means of its blocks'; ``absent`` says why there are none if there are no blocks."""
    return Part(
        blocks=len(blocks),
        translation=_over_blocks(TranslationScore, [block.translation for block in blocks], absent),
        rotation=_over_blocks(RotationScore, [block.rotation for block in blocks], absent),
    )


def _over_blocks(kind: type[Kind], scores: Sequence[Kind], absent: str) -> Kind:
    rows = tuple(
        same_transform[0].model_copy(update=_means(same_transform, absent))
        for same_transform in zip(*(score.by_transform for score in scores), strict=True)
    )
    return kind(**_means(scores, absent), by_transform=rows)


def _means(items: Sequence[Scored], absent: str) -> dict[str, Any]:
    """Means of what could be measured; where nothing could, None and the first reason."""
    channel = [item.channel for item in items if item.channel is not None]
    layer = [item.layer for item in items if item.layer is not None]
    reasons = [item.reason for item in items if item.reason is not None]
    return {
        "channel": fmean(channel) if channel else None,
        "layer": fmean(layer) if layer else None,
        "reason": None if channel else (reasons or [absent])[0],
    }
