"""From scores to a report: its tables, the comparisons that the request asks for, and where all of it comes from."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import timm
import torch
import torchvision
import zooaudit
from zooaudit.contract import (
    Aligned,
    AngleRow,
    AuditRequest,
    Block,
    Cosine,
    Environment,
    Images,
    Method,
    MirrorRow,
    Model,
    Part,
    PartName,
    ReflectionScore,
    Report,
    RotationScore,
    SecondOpinion,
    ShiftRow,
    Timing,
    TransformName,
    TranslationScore,
    WarpRow,
    WarpScore,
    audit_id,
    protocol_of,
)

from worker.measure.agreement import decides, mean_agreement
from worker.measure.device_name import device_name
from worker.measure.experiment import Experiment
from worker.measure.jackknife import exact, intervals, share_interval
from worker.measure.model_scores import ModelScores, in_all
from worker.measure.scores import Curve, Curves, ScoreTable
from worker.measure.similarity import Equivariance, constant
from worker.measure.transforms import Reflection, Rotation, Shift, Transform
from worker.measure.warps import Warp
from worker.report import second_opinion
from worker.report.activation import over_channels, over_depth
from worker.report.baseline import baseline
from worker.report.deviations import deviations_of
from worker.zoo import LoadedModel


def build(
    request: AuditRequest,
    model: LoadedModel,
    experiment: Experiment,
    scores: ModelScores,
    untrained: Sequence[ModelScores],
    device: torch.device,
    timing: Timing,
) -> Report:
    """Put the report of ``model`` together from its ``scores``; ``untrained`` has those of the baseline, by seed."""
    main = experiment.table(scores.results)
    cosine = experiment.table(scores.results, "cosine") if request.similarity == "both" else None
    found = second_opinion.findings([scores])
    return Report(
        id=audit_id(request),
        protocol=protocol_of(request),
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
            code=model.code,
        ),
        images=_images(request, experiment, scores),
        method=_method(request, model, experiment),
        parts=_parts(experiment, main, scores, second_opinion.of_parts(found, request, experiment) if found else {}),
        deviations=deviations_of(main, scores),
        blocks=_blocks(experiment, main, cosine, scores, found, request),
        borders={
            border: _parts(experiment, experiment.table(scores.results, border=border), scores)
            for border in experiment.borders
        }
        if request.border == "all"
        else None,
        cosine=Cosine(
            parts=_parts(experiment, cosine, scores),
            activation=over_depth(experiment, main, cosine, scores.reference_spreads),
        )
        if cosine
        else None,
        baseline=baseline(request, experiment, main, untrained, scores.groups) if untrained else None,
        consistency=second_opinion.consistency(found, request, experiment, model) if found else None,
        environment=_environment(device, [scores, *untrained]),
        timing=timing,
    )


def _images(request: AuditRequest, experiment: Experiment, scores: ModelScores) -> Images:
    return Images(
        dataset=request.dataset,
        requested=request.num_images,
        count=scores.images,
        stopped="tolerance" if scores.images + len(scores.skipped) < request.num_images else "num_images",
        groups=len(scores.groups),
        seed=request.seed,
        sha256=experiment.stream.sample.sha256,
        skipped=tuple(sorted(scores.skipped)),
    )


def _method(request: AuditRequest, model: LoadedModel, experiment: Experiment) -> Method:
    return Method(
        similarity=request.similarity,
        border=request.border,
        resize=max(model.preprocessing.resize, experiment.stream.side),
        canvas_size=experiment.stream.side,
        translations_px=request.translations_px,
        direction=request.direction,
        rotations_deg=request.rotations_deg,
        reflections=request.reflections,
        warps=request.warps,
        deformation=request.deformation,
        local=request.local,
        consistency_draws=request.consistency_draws,
        variance=request.variance,
        precision=request.precision,
        tolerance=request.tolerance,
    )


def _parts(
    experiment: Experiment,
    table: ScoreTable,
    scores: ModelScores,
    opinions: Mapping[PartName, SecondOpinion | None] = {},
) -> dict[PartName, Part]:
    sizes = Counter(representation.part for representation in experiment.representations)
    return {
        name: Part(
            blocks=sizes[name],
            **_scores(curves, scores, name == "Final"),
            second_opinion=opinions.get(name),
        )
        for name, curves in table.parts.items()
    }


def _blocks(
    experiment: Experiment,
    table: ScoreTable,
    cosine: ScoreTable | None,
    scores: ModelScores,
    found: second_opinion.Findings | None,
    request: AuditRequest,
) -> tuple[Block, ...]:
    return tuple(
        Block(
            **asdict(representation),
            dead_channels=int(constant(spread).sum()),
            **_scores(curves, scores, representation.part == "Final"),
            activation=over_channels(spread, curves, cosine.blocks[index]) if cosine else None,
            second_opinion=second_opinion.of_block(found, request, index) if found else None,
        )
        for index, (representation, curves, spread) in enumerate(
            zip(experiment.representations, table.blocks, scores.reference_spreads, strict=True)
        )
    )


def _scores(
    curves: Curves, scores: ModelScores, is_final: bool
) -> dict[TransformName, TranslationScore | RotationScore | ReflectionScore | WarpScore]:
    """Return the scores of a part or a block, by the name of the transforms."""
    return {name: _score(name, curve, scores, is_final) for name, curve in curves.items()}


def _score(
    name: TransformName, curve: Curve, scores: ModelScores, is_final: bool
) -> TranslationScore | RotationScore | ReflectionScore | WarpScore:
    fields = {
        **score_fields(curve.mean, scores.groups),
        **(_agreement_fields(curve, scores) if is_final else {}),
        "by_transform": tuple(_row(transform, score, scores, is_final) for transform, score in curve.rows.items()),
    }
    match name:
        case "translation":
            return TranslationScore(**fields, aligned=Aligned(**_values(curve.aligned), shifts=curve.whole_shifts))
        case "rotation":
            return RotationScore(**fields)
        case "reflection":
            return ReflectionScore(**fields)
    return WarpScore(**fields, interpolation=curve.mean.interpolation)


def _row(
    transform: Transform, score: Equivariance, scores: ModelScores, is_final: bool
) -> ShiftRow | AngleRow | MirrorRow | WarpRow:
    fields = {**_values(score), "layer_held_out": score.layer_held_out}
    if is_final and decides(score):
        share = scores.agreement(transform).share
        fields |= {"top1_agreement": share, "top1_agreement_interval": exact(share, scores.images)}
    match transform:
        case Shift(shift_px):
            return ShiftRow(shift_px=shift_px, **fields)
        case Rotation(angle_deg):
            return AngleRow(angle_deg=angle_deg, **fields)
        case Reflection(axis):
            return MirrorRow(axis=axis, **fields)
        case Warp():
            return WarpRow(amount=transform.amount, interpolation=score.interpolation, **fields)


def _agreement_fields(curve: Curve, scores: ModelScores) -> dict[str, Any]:
    agreements = [scores.agreement(transform) for transform, score in curve.rows.items() if decides(score)]
    found = mean_agreement(agreements)
    if found is None:
        return {}
    return {
        "top1_agreement": found.share,
        "top1_agreement_interval": share_interval(found.share, found.deviations, scores.groups, len(agreements)),
    }


def score_fields(score: Equivariance, groups: Sequence[int]) -> dict[str, Any]:
    """Return the fields of a contract's score: channel and layer with their intervals over ``groups`` of images."""
    of_scores = {f"{name}_interval": interval for name, interval in intervals(score, groups).items()}
    return {**_values(score), **of_scores, "layer_held_out": score.layer_held_out}


def _values(score: Equivariance) -> dict[str, Any]:
    return {"channel": score.channel, "layer": score.layer, "reason": score.reason}


def _environment(device: torch.device, models: Sequence[ModelScores]) -> Environment:
    latest = models[-1]
    devices = sorted({device for scores in models for device in scores.devices})
    return Environment(
        zooaudit=zooaudit.__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        timm=timm.__version__,
        torchvision=torchvision.__version__,
        device=device_name(device),
        devices=tuple(devices) if len(devices) > 1 else (),
        threads=torch.get_num_threads(),
        batch_size=latest.batch_size,
        cuda_graphs=latest.used_graphs,
        tensor_cores=in_all(scores.used_tensor_cores for scores in models),
    )
