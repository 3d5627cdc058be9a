"""One audit, from a request to a report. It needs no queue, no server and no Redis."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from zooaudit.contract import AuditRequest, Progress, Report, Timing

from worker import report, zoo
from worker.errors import AuditError
from worker.images.dataset import open_dataset
from worker.images.stream import Stream
from worker.measure.budget import keep_freed_memory, plan_budget
from worker.measure.fold import Trace
from worker.measure.forward import Shape, Subject, shapes
from worker.measure.outcome import Frame
from worker.measure.passes import Forwards, OnProgress, measure_in_passes
from worker.measure.transforms import Rotation, Shift, Transform, Views


def run(
    request: AuditRequest,
    *,
    model: zoo.LoadedModel | None = None,
    datasets: Mapping[str, Path] | None = None,
    checkpoints: str | Path | None = None,
    device: str | None = None,
    memory_gib: float | None = None,
    decode_processes: int | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Audit one model: the one that the request names, or ``model`` in its place.

    ``datasets`` maps names to image folders, ``checkpoints`` is the folder or bucket of checkpoint:NAME; ``device`` is
    by default CUDA where there is one, else the CPU. Memory, decoding processes and batch size choose themselves unless
    given; scores do not depend on them beyond 1e-5.
    Raises AuditError, with the Problem a user should read, for whatever can be foreseen.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    on_device = choose_device(device, request.precision)
    keep_freed_memory()
    on_progress = on_progress or _ignore
    sample = open_dataset(request.dataset, datasets or {}, request.num_images, request.seed)
    loaded = model or zoo.load(request.model, request.weights, on_progress, checkpoints=checkpoints)
    if request.checkpoint_version not in (None, loaded.weights.version):
        now = f"its version is {loaded.weights.version}, not {request.checkpoint_version}"
        detail = f"{request.weights} has been replaced since the audit was asked for: {now}. Ask for it anew."
        raise AuditError("checkpoint-replaced", detail)
    # Completed as the service does it, so that the same question has the same id without one.
    request = request.model_copy(update={"model": loaded.name, "checkpoint_version": loaded.weights.version})
    if request.baseline and loaded.initialised is None:
        detail = f"{loaded.name} cannot be made anew, untrained: leave the baseline out."
        raise AuditError("no-baseline", detail)
    views = Views(loaded.preprocessing.input_size, max(request.translations_px, default=0))
    if views.room >= views.size:
        detail = f"A shift of {views.room} px leaves nothing of the model's input of {views.size} px."
        raise AuditError("shift-too-large", detail)

    subject, plan = _prepare(loaded, request, views, on_device)
    frame = Frame(request, subject, plan, views.size)
    transforms: list[Transform] = [Shift(px, border) for border in frame.borders() for px in request.translations_px]
    transforms += map(Rotation, request.rotations_deg)
    budget = plan_budget(subject, plan, views.size, transforms, memory_gib, batch_size)
    stream = Stream(sample, loaded.preprocessing, views.size + views.room, budget.batch_size, decode_processes)
    models = 1 + request.baseline * request.baseline_seeds
    total = models * request.num_images * (len(transforms) + len(budget.passes))
    forwards = Forwards(total, on_progress)

    outcome = measure_in_passes(frame, views, budget, stream, forwards, request.tolerance)
    untrained = []
    for seed in range(models - 1):
        assert loaded.initialised is not None
        # The same images in the same pieces, so that what the two have in common cancels in the difference.
        stream.limit = outcome.images
        beginner = replace(loaded, module=loaded.initialised(seed))
        other, _ = _prepare(beginner, request, views, on_device)
        untrained.append(measure_in_passes(replace(frame, subject=other), views, budget, stream, forwards))
    timing = Timing(
        started_at=started,
        finished_at=datetime.now(UTC),
        seconds=(seconds := time.perf_counter() - clock),
        forward_images=forwards.done,
        images_per_second=forwards.done / seconds,
    )
    return report.build(frame, loaded, stream, outcome, untrained, timing)


def _ignore(_progress: Progress) -> None:
    pass


def choose_device(name: str | None, precision: str) -> torch.device:
    """The device to measure on. AuditError if it is not there or cannot compute in that precision."""
    device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        detail = f"There is no CUDA device for {name!r}; the operator can set ZOOAUDIT_DEVICE=cpu."
        raise AuditError("no-device", detail)
    if precision == "tf32" and device.type != "cuda":
        detail = "tf32 is a mode of NVIDIA GPUs and this worker has none; ask for float32 or bfloat16."
        raise AuditError("unsupported-precision", detail)
    return device


def _prepare(
    loaded: zoo.LoadedModel, request: AuditRequest, views: Views, device: torch.device
) -> tuple[Subject, tuple[Shape, ...]]:
    """The model as it is measured, and the shapes of its representations."""
    module = loaded.module.to(device)
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    subject = Subject(
        module=module,
        depth=loaded.depth,
        mean=loaded.preprocessing.mean,
        std=loaded.preprocessing.std,
        precision=request.precision,
        device=device,
    )
    with Trace() as trace:
        plan = shapes(subject, views.size)
    if request.precision == "float32":
        trace.fold(subject.module)
    return subject, plan
