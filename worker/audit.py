"""One audit, from a request to a report. It needs no queue, no server and no Redis."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TypedDict, Unpack

import timm
import torch
import torchvision
import zooaudit
from torch import nn
from zooaudit.contract import AuditRequest, Progress, Report, Timing, protocol_of, sealed

from worker import report, zoo
from worker.depth import Representation
from worker.errors import FAULTS, AuditError, explaining
from worker.images.canvas_cache import DECODERS, CanvasCache
from worker.images.dataset import open_dataset
from worker.images.decoding import naming_deaths
from worker.images.stream import Stream
from worker.measure.budget import Budget, keep_freed_memory, plan_budget
from worker.measure.experiment import Experiment, borders_of, similarities_of, transforms_of, views_of, warps_of
from worker.measure.fold import Trace
from worker.measure.forward import Subject, find_representations
from worker.measure.groups import choices
from worker.measure.model_scores import added_up
from worker.measure.plan import Measured, Plan
from worker.measure.probes.kinds import probes_of
from worker.measure.progress import ForwardCounter, OnProgress
from worker.measure.repeatable import refuse_unrepeatable
from worker.measure.shards import OwnShards, Shards, measure_shards
from worker.measure.transforms import Views

ADVICE = "Look for what ties it to another size, device or batch, and correct it."


class Options(TypedDict, total=False):
    """How and where an audit is measured.

    ``model``        is audited in place of the one that the request names
    ``datasets``     maps names to image folders
    ``checkpoints``  the folder or bucket of the operator's checkpoints
    ``device``       by default CUDA if there is a GPU, else the CPU
    ``cache``        keeps decoded images for later audits; without it every pass over the images decodes them anew
    ``on_progress``  is called with a Progress a few times for each batch

    ``memory_gib``, ``decode_processes`` and ``batch_size`` are chosen unless they are given; scores do not depend on
    them beyond 1e-5.
    """

    model: zoo.LoadedModel | None
    datasets: Mapping[str, Path] | None
    checkpoints: str | Path | None
    device: str | None
    memory_gib: float | None
    decode_processes: int | None
    batch_size: int | None
    cache: CanvasCache | None
    on_progress: OnProgress | None


def run(request: AuditRequest, *, shards: Shards | None = None, **options: Unpack[Options]) -> Report:
    """Audit one model: load it, cut views of images, measure it under each transform, score it, report.

    ``shards`` shares the audit with workers that :func:`help_with` it; by default all of it is measured here. Raises
    AuditError, with the Problem that a user should read, for everything foreseeable.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    shards = shards or OwnShards()
    prepared = prepare_audit(request, **options)
    preparing_s = time.perf_counter() - clock
    measured = _measure(prepared, shards)
    scores, *untrained = (added_up(parts) for parts in measured)
    images = sum(each.forward_images for each in (scores, *untrained))
    seconds = preparing_s + sum(each.seconds for each in (scores, *untrained))
    timing = Timing(
        started_at=min(started, scores.started_at),
        finished_at=datetime.now(UTC),
        seconds=seconds,
        preparing_seconds=preparing_s,
        forward_images=images,
        images_per_second=images / seconds,
        workers=shards.workers,
        repeated_images=shards.repeated,
    )
    device = prepared.subject.device
    return sealed(
        report.build(prepared.request, prepared.loaded, prepared.experiment, scores, untrained, device, timing)
    )


def help_with(request: AuditRequest, shards: Shards, **options: Unpack[Options]) -> None:
    """Measure some shards of an audit that another worker runs. Raises AuditError."""
    _measure(prepare_audit(request, **options), shards)


@dataclass(frozen=True)
class Prepared:
    """All that is needed to measure a shard of an audit, or to explain it."""

    request: AuditRequest
    loaded: zoo.LoadedModel
    subject: Subject
    experiment: Experiment


def prepare_audit(
    request: AuditRequest,
    *,
    model: zoo.LoadedModel | None = None,
    datasets: Mapping[str, Path] | None = None,
    checkpoints: str | Path | None = None,
    device: str | None = None,
    memory_gib: float | None = None,
    decode_processes: int | None = None,
    batch_size: int | None = None,
    cache: CanvasCache | None = None,
    on_progress: OnProgress | None = None,
) -> Prepared:
    """Load the model and the list of images, and refuse what cannot be measured."""
    target = choose_device(device, request.precision)
    if target.index is not None:
        torch.cuda.set_device(target)  # or whatever names no device would go to the first GPU
    keep_freed_memory()
    on_progress = on_progress or _ignore

    sample = open_dataset(request.dataset, datasets or {}, request.num_images, request.seed)
    loaded = model or zoo.load(request.model, request.weights, on_progress, checkpoints=checkpoints)
    views = views_of(request, loaded.preprocessing.input_size)
    refuse_what_cannot_be_measured(request, loaded, views)
    # Completed as the service does it, so that the same question has the same id without a service.
    request = request.model_copy(update={"model": loaded.name, "checkpoint_version": loaded.weights.version})

    of_a_zoo = loaded.source in ("timm", "torchvision")
    slug, faults = ("unsuitable-model", FAULTS) if of_a_zoo else ("unsuitable-module", Exception)
    with explaining(slug, f"{loaded.name} does not run on images of {views.size} px on {target}", ADVICE, faults):
        subject, representations = prepare(loaded, loaded.module, request, views, target)
        refuse_unrepeatable(subject, representations, views.size)
    ends = [*choices(len(sample.names), always=request.tolerance is not None), len(sample.names)]
    transforms = transforms_of(request)
    budget = plan_budget(subject, representations, views.size, transforms, memory_gib, batch_size, ends)
    pinned = target.type == "cuda"
    stream = Stream(sample, loaded.preprocessing, views.side, decode_processes, cache=cache, pinned=pinned)
    experiment = set_up(request, loaded, representations, views, budget, stream, on_progress)
    return Prepared(request, loaded, subject, experiment)


def _measure(prepared: Prepared, shards: Shards) -> list[Measured]:
    """Measure whatever shards there are to take. Return all that is measured then, by whomever, for each model."""
    request, experiment = prepared.request, prepared.experiment
    plan = plan_of(request, prepared.loaded, experiment)
    with naming_deaths():
        measure_shards(experiment, _subjects(prepared), plan, shards, request.tolerance)
    return plan.of_models(shards.measured())


def plan_of(request: AuditRequest, loaded: zoo.LoadedModel, experiment: Experiment) -> Plan:
    """Return the plan of an audit.

    With a tolerance, each pass finds out how many images it needs, so the passes must be the same wherever they are
    measured. Images may be replaced between two attempts, or on one machine only: their sizes show that in no time.
    """
    transforms, adaptive = experiment.transforms, request.tolerance is not None
    units = experiment.budget.passes(transforms) if adaptive else tuple((transform,) for transform in transforms)
    sample = experiment.stream.sample
    software = [zooaudit.__version__, torch.__version__, timm.__version__, torchvision.__version__, *DECODERS]
    sizes = [sample.size(name) for name in sample.names]
    same = [protocol_of(request), *software, loaded.weights.model_dump_json(), sample.sha256, repr(sizes), repr(units)]
    same += [repr(experiment.probes)] if experiment.probes else []
    same += [loaded.code.model_dump_json()] if loaded.code else []
    return Plan(
        fingerprint=sha256("\n".join(same).encode()).hexdigest()[:16],
        units=units,
        models=1 + request.baseline * request.baseline_seeds,
        images=len(sample.names),
        most=experiment.budget.transforms,
        adaptive=adaptive,
        probes=experiment.probes,
    )


def _subjects(prepared: Prepared) -> Callable[[int], Subject]:
    """Return a function that gives the model of a number, as a plan numbers them, and keeps one untrained one."""

    @lru_cache(maxsize=1)
    def untrained(seed: int) -> Subject:
        loaded = prepared.loaded
        assert loaded.initialised is not None
        module = loaded.initialised(seed)
        subject, _ = prepare(loaded, module, prepared.request, prepared.experiment.views, prepared.subject.device)
        return subject

    return lambda model: untrained(model - 1) if model else prepared.subject


def _ignore(_progress: Progress) -> None:
    pass


def choose_device(name: str | None, precision: str) -> torch.device:
    """Return the device to measure on. Raises AuditError if it is absent or cannot compute in ``precision``."""
    available = {"cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))}
    available |= {"cuda"} if torch.cuda.is_available() else set()
    wanted = name or ("cuda" if "cuda" in available else "cpu")
    if wanted not in available:
        known = ", ".join(sorted(available))
        raise AuditError(
            "no-device", f"There is no device {wanted!r} here. Name one of: {known}; or set ZOOAUDIT_DEVICE to it."
        )
    device = torch.device(wanted)
    if precision == "tf32" and device.type != "cuda":
        detail = "tf32 is a mode of NVIDIA GPUs and this worker has none; ask for float32 or bfloat16."
        raise AuditError("unsupported-precision", detail)
    return device


def refuse_what_cannot_be_measured(request: AuditRequest, loaded: zoo.LoadedModel, views: Views) -> None:
    """Raise AuditError for what only the loaded model shows: it was replaced, has no baseline, or is too small."""
    version = loaded.weights.version
    if request.checkpoint_version not in (None, version):
        now = f"its version is {version}, not {request.checkpoint_version}"
        detail = f"{request.weights} has been replaced since the audit was asked for: {now}. Ask for it anew."
        raise AuditError("checkpoint-replaced", detail)
    if request.baseline and loaded.initialised is None:
        detail = f"{loaded.name} cannot be made anew, untrained: leave the baseline out."
        raise AuditError("no-baseline", detail)
    real_shifts = (abs(warp.amount) for warp in warps_of(request) if warp.kind == "translation")
    largest = max((0, *request.translations_px, *real_shifts))
    if largest >= views.size:
        detail = f"A shift of {largest:g} px leaves nothing of the model's input of {views.size} px."
        raise AuditError("shift-too-large", detail)


def prepare(
    loaded: zoo.LoadedModel, module: nn.Module, request: AuditRequest, views: Views, device: torch.device
) -> tuple[Subject, tuple[Representation, ...]]:
    """Put ``module`` on the device in the form in which it is measured, and find its representations.

    ``module`` is that of ``loaded``, or the same architecture with other weights.
    """
    module = module.to(device)
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
        representations = find_representations(subject, views.size)
    if request.precision == "float32":
        trace.fold(subject.module)
    return subject, representations


def set_up(
    request: AuditRequest,
    loaded: zoo.LoadedModel,
    representations: Sequence[Representation],
    views: Views,
    budget: Budget,
    stream: Stream,
    on_progress: OnProgress,
) -> Experiment:
    """Put together what all passes have in common, for the model and for its untrained baselines."""
    models = 1 + request.baseline * request.baseline_seeds
    transforms = transforms_of(request)
    probes = probes_of(request, transforms)
    views_of_image = len(budget.passes(transforms)) + len(transforms)  # each pass sees the reference view, too
    views_of_image += sum(probe.views for probe in probes)
    return Experiment(
        representations=representations,
        absent=dict(loaded.depth.absent),
        views=views,
        similarities=similarities_of(request),
        borders=borders_of(request),
        transforms=transforms,
        probes=probes,
        seed=request.seed,
        budget=budget,
        stream=stream,
        forwards=ForwardCounter(models * request.num_images * views_of_image, on_progress, report.provisional),
    )
