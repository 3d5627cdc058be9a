"""Explain an audit that has succeeded: the maps of one block for one image, or the least equivariant images.

It needs no queue, no server and no Redis. The model, the images, the views and the alignment of maps are those of
:mod:`worker.audit`; docs/method.md, "Seeing it", defines what is shown.
"""

from collections.abc import Mapping
from pathlib import Path

from zooaudit.contract import (
    Explanation,
    ExplanationQuestion,
    LeastEquivariant,
    LeastEquivariantRequest,
    Report,
    request_of,
)

from worker.audit import Prepared, prepare_audit
from worker.errors import AuditError
from worker.explain.least import find_least
from worker.explain.maps import show_maps
from worker.explain.precision import precision_of
from worker.images.canvas_cache import CanvasCache
from worker.measure.experiment import borders_of
from worker.measure.transforms import Reflection, Rotation, Shift, Transform
from worker.measure.warps import Warp

__all__ = ["explain"]

MEMORY_GIB = 3.0
"""For how much memory the batches are planned."""


def explain(
    question: ExplanationQuestion,
    report: Report,
    *,
    datasets: Mapping[str, Path] | None = None,
    checkpoints: str | Path | None = None,
    cache: CanvasCache | None = None,
) -> Explanation | LeastEquivariant:
    """Answer ``question`` about the audit of ``report``, on the CPU, where a running audit has the GPU.

    Raises AuditError, also where the weights, the code or the list of images are no longer those of the report.
    """
    request = request_of(report)
    request = request.model_copy(update={"precision": precision_of(request)})
    prepared = prepare_audit(
        request,
        datasets=datasets,
        checkpoints=checkpoints,
        device="cpu",
        memory_gib=MEMORY_GIB,
        decode_processes=0,
        cache=cache,
    )
    _refuse_another(prepared, report)
    if question.maps is not None:
        transform = _transform(question.maps, prepared)
        return show_maps(prepared, report, question.maps, transform, question.pictures)
    assert question.least is not None
    return find_least(prepared, report, question.least, _transform(question.least, prepared), question.pictures)


def _transform(asked: LeastEquivariantRequest, prepared: Prepared) -> Transform:
    if asked.shift_px is not None:
        return Shift(asked.shift_px, borders_of(prepared.request)[0], prepared.request.direction)
    if asked.axis is not None:
        return Reflection(asked.axis)
    if asked.warp is not None:
        assert asked.amount is not None
        return Warp(asked.warp, asked.amount)
    assert asked.angle_deg is not None
    return Rotation(asked.angle_deg)


def _refuse_another(prepared: Prepared, report: Report) -> None:
    """Raise AuditError if what would be shown is not what was measured."""
    weights, code = prepared.loaded.weights, prepared.loaded.code
    again = "Ask for the audit again under another repetition, and look at that."
    if weights.sha256 != report.model.weights.sha256:
        detail = (
            f"The weights of {report.model.name} have the SHA-256 {weights.sha256[:12]}… now, and "
            f"{report.model.weights.sha256[:12]}… in the report. {again}"
        )
        raise AuditError("model-changed", detail)
    if code != report.model.code:
        raise AuditError("model-changed", f"The code of {report.model.name} is not that of the report. {again}")
    if prepared.experiment.stream.sample.sha256 != report.images.sha256:
        detail = f"The data set {report.images.dataset!r} has other images than the audit measured. {again}"
        raise AuditError("dataset-changed", detail)
