"""One audit, from a request to a report. It needs no queue, no server and no Redis."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from zooaudit.contract import AuditRequest, Progress, Report, Timing, problem

from worker import report, zoo
from worker.blocks import depth
from worker.budget import keep_freed_memory, plan_budget
from worker.errors import AuditError
from worker.fold import Trace
from worker.forward import Subject, shapes
from worker.images import open_dataset
from worker.measure import Measurement, measure
from worker.stream import Stream
from worker.transforms import Rotation, Shift, Transform, Views

OnProgress = Callable[[Progress], None]


def run(
    request: AuditRequest,
    *,
    datasets: Mapping[str, Path] | None = None,
    device: str | None = None,
    memory_gib: float | None = None,
    decode_processes: int | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Audit one model.

    ``datasets`` maps names to image folders; ``device`` is by default CUDA where there is one, else the CPU. Memory,
    decoding processes and batch size choose themselves unless given; scores do not depend on them beyond 1e-5.
    Raises AuditError, with the Problem a user should read, for whatever can be foreseen.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    on_device = choose_device(device, request.precision)
    keep_freed_memory()
    on_progress = on_progress or _ignore
    sample = open_dataset(request.dataset, datasets or {}, request.num_images, request.seed)
    model = zoo.load(request.model, request.weights, on_progress)
    views = Views(model.preprocessing.input_size, max(request.translations_px, default=0), request.border)
    if views.room >= views.size:
        detail = f"A shift of {views.room} px leaves nothing of the model's input of {views.size} px."
        raise AuditError(problem("shift-too-large", "Shift too large", 422, detail))

    subject = Subject(
        module=model.module.to(on_device, memory_format=torch.channels_last),  # type: ignore[call-overload]
        depth=depth(model.module, model.source, model.family),
        mean=model.preprocessing.mean,
        std=model.preprocessing.std,
        precision=request.precision,
        device=on_device,
    )
    with Trace() as trace:
        plan = shapes(subject, views.size)
    if request.precision == "float32":
        trace.fold(subject.module)
    transforms: list[Transform] = [*map(Shift, request.translations_px), *map(Rotation, request.rotations_deg)]
    budget = plan_budget(subject, plan, views.size, transforms, memory_gib, batch_size)
    stream = Stream(sample, model.preprocessing, views.size + views.room, budget.batch_size, decode_processes)
    forwards = Forwards(request.num_images * (len(transforms) + len(budget.passes)), on_progress)

    results: report.Results = {}
    for group in budget.passes:
        attempt = partial(measure, subject, views, plan, group, stream, forwards.count)
        measured = _within_memory(stream, forwards, attempt)
        results |= report.score_all(measured, request.similarity, subject.depth.has_final)
        reference = measured.reference
        # The moments of one pass must be gone before the next one gathers its own.
        del measured
    timing = Timing(
        started_at=started,
        finished_at=datetime.now(UTC),
        seconds=(seconds := time.perf_counter() - clock),
        forward_images=forwards.done,
        images_per_second=forwards.done / seconds,
    )
    return report.build(request, model, subject, plan, stream, results, reference, timing)


def _ignore(_progress: Progress) -> None:
    pass


def choose_device(name: str | None, precision: str) -> torch.device:
    """The device to measure on. AuditError if it is not there or cannot compute in that precision."""
    device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        detail = f"There is no CUDA device for {name!r}; the operator can set ZOOAUDIT_DEVICE=cpu."
        raise AuditError(problem("no-device", "No such device", 422, detail))
    if precision == "tf32" and device.type != "cuda":
        detail = "tf32 is a mode of NVIDIA GPUs and this worker has none; ask for float32 or bfloat16."
        raise AuditError(problem("unsupported-precision", "Precision not supported", 422, detail))
    return device


class Forwards:
    """Counts the images that went through the model and estimates when the last one will have."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self.done, self.total = 0, total
        self._on_progress = on_progress
        self._start = time.perf_counter()

    def count(self, images: int) -> None:
        self.done += images
        left = max(0, self.total - self.done)
        eta_s = (time.perf_counter() - self._start) / self.done * left
        self._on_progress(Progress(phase="measuring", done=self.done, total=self.total, eta_s=eta_s))


def _within_memory(stream: Stream, forwards: Forwards, attempt: Callable[[], Measurement]) -> Measurement:
    """Run ``attempt``, again from its start with half the batch size whenever the device runs out of memory."""
    while True:
        done = forwards.done
        try:
            return attempt()
        except (torch.OutOfMemoryError, MemoryError) as error:
            if stream.batch_size == 1:
                detail = "Even one image at a time does not fit into the memory of this worker's device."
                raise AuditError(problem("out-of-memory", "Out of memory", 507, detail)) from error
        stream.batch_size //= 2
        forwards.done = done
        torch.cuda.empty_cache()
