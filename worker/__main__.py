"""``python -m worker`` takes audits from the queue until a signal stops it, with ``--devices all`` on every GPU."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from pydantic import ValidationError
from zooaudit.contract import AuditRequest, Catalogue, Progress, Report
from zooaudit.contract.logs import configure
from zooaudit.contract.settings import faults_of, unknown_settings

from worker.children import FORK
from worker.devices import ALL, DevicesRefused, NoAnswer, Share, choose, count_gpus, share_out
from worker.processes import start_as_child
from worker.settings import WorkerSettings, canvases_folder, faults_here, forget_empty
from worker.supervisor import Supervisor

log = logging.getLogger("zooaudit.worker")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal stops the process. Returns 2 when the settings cannot be used, 1 when the worker gave up."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="Take audits from the queue.")
    parser.add_argument(
        "--devices",
        help="run a worker for each of these: all (the GPUs, or the CPU if there is none), or names with commas "
        "between them, such as cuda:0,cuda:2; by default there is one worker, on the device of ZOOAUDIT_DEVICE",
    )
    options = parser.parse_args(arguments)
    forget_empty(os.environ)
    try:
        settings = WorkerSettings()
        faults = list(faults_here(settings, os.environ))
    except ValidationError as error:
        faults = faults_of(error)
    if faults:
        print(*faults, sep="\n", file=sys.stderr)
        return 2
    configure(settings.log_format)
    for unknown in unknown_settings(os.environ):
        log.warning(unknown)
    # No checkpoint, wherever it comes from, may run code while it is read.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    # Imported before the first worker and the first job, because their processes are forks of this one and so find
    # torch imported. But not with this module: the processes that decode images import it too, and need no torch.
    from worker import audit  # noqa: F401

    try:
        if options.devices is not None:
            return _run_workers(settings, options.devices)
        if settings.device is None:
            (device,) = choose(ALL, count_gpus())[:1]
            settings = settings.model_copy(update={"device": device})
    except DevicesRefused as error:
        print(f"--devices: {error}", file=sys.stderr)
        return 2
    except NoAnswer as error:
        log.error("%s", error)
        return 1
    return _run_worker(settings)


def _run_workers(settings: WorkerSettings, wanted: str) -> int:
    """Run a worker for each of the ``wanted`` devices: a single one in this process, several in processes of their own.

    Raises DevicesRefused and NoAnswer.
    """
    from worker.queue.side_processes import show_at

    shares = share_out(settings, choose(wanted, count_gpus()))
    names = ", ".join(share.name for share in shares)
    if settings.device is not None:
        log.warning("ZOOAUDIT_DEVICE has no effect beside --devices")
    if wanted.strip() == ALL and names == "cpu":
        names = "cpu, because torch finds no GPU here"
    log.info("%s: %s", "1 worker" if len(shares) == 1 else f"{len(shares)} workers", names)
    if len(shares) == 1:
        return _run_worker(shares[0].settings)
    return Supervisor(shares, _run_share, partial(show_at, settings.redis_url.get_secret_value())).work()


def _run_share(share: Share) -> int:
    return _run_worker(share.settings, share.threads)


def _run_worker(settings: WorkerSettings, threads: int | None = None) -> int:
    from worker import audit, zoo
    from worker.explain import explain
    from worker.images.canvas_cache import CanvasCache
    from worker.measure.shards import Shards
    from worker.queue import checkpoint_versions, explanations, model_depths, worker
    from worker.queue.side_processes import SideProcess, SideProcesses

    if status := _calibrate(settings.device, threads):
        if status != 2:
            log.error("no audit is taken: this worker fails its calibration; see above, or python -m worker.calibrate")
        return status
    zoo.register(settings.models)
    catalogue = _catalogue(settings)
    log.info("%d models, data sets: %s", len(catalogue.entries), ", ".join(sorted(catalogue.datasets)))

    cache = CanvasCache(canvases_folder(os.environ), settings.cache_gib)

    options: audit.Options = {
        "datasets": settings.datasets,
        "checkpoints": settings.checkpoints,
        "device": settings.device,
        "memory_gib": settings.memory_gib,
        "decode_processes": settings.decode_processes,
        "cache": cache,
    }

    def run_audit(request: AuditRequest, on_progress: Callable[[Progress], None], shards: Shards) -> Report:
        _compute_with(threads)
        return audit.run(request, shards=shards, **(options | {"on_progress": on_progress}))

    def help_with(request: AuditRequest, on_progress: Callable[[Progress], None], shards: Shards) -> None:
        _compute_with(threads)
        audit.help_with(request, shards, **(options | {"on_progress": on_progress}))

    redis_url = settings.redis_url.get_secret_value()
    beside = SideProcesses(
        [
            SideProcess("finds the blocks of models", partial(model_depths.answer_service, redis_url)),
            # Two, so that a file that takes long does not hold up the questions about others.
            *(
                SideProcess(
                    "checks checkpoints", partial(checkpoint_versions.answer_service, redis_url, settings.checkpoints)
                )
                for _ in range(2)
            ),
            SideProcess(
                "makes explanations",
                partial(
                    explanations.answer_service,
                    redis_url,
                    settings.store,
                    partial(explain, datasets=settings.datasets, checkpoints=settings.checkpoints, cache=cache),
                ),
            ),
        ]
    )
    beside.start()
    try:
        return 0 if worker.work(settings, catalogue, run_audit, help_with, beside.look_after) else 1
    finally:
        beside.kill()


def _compute_with(threads: int | None) -> None:
    """Let torch compute with so many threads. Never call this in a process that forks: it may start them."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def _calibrate(device: str | None, threads: int | None) -> int:
    """Return 0 when networks with known scores get these scores on this machine, 2 when it has no such device, else 1.

    This runs in a process of its own: if this process computed anything before it forks, its jobs would wait for
    threads that they have not inherited.
    """
    check = FORK.Process(target=_check_device, args=(device, threads, os.getpid()))
    check.start()
    check.join()
    return check.exitcode if check.exitcode in (0, 2) else 1


def _check_device(device: str | None, threads: int | None, parent: int) -> None:
    start_as_child(parent)
    _compute_with(threads)
    from worker import audit, calibrate
    from worker.errors import AuditError

    try:
        audit.choose_device(device, "float32")
    except AuditError as error:
        print(f"ZOOAUDIT_DEVICE: {error.problem.detail}", file=sys.stderr)
        sys.exit(2)
    calibrate.check(device)


def _catalogue(settings: WorkerSettings) -> Catalogue:
    """List the models of the zoos, and the data sets whose folders can be read."""
    from worker import zoo
    from worker.images import dataset

    datasets: dict[str, int | None] = {"synthetic": None}
    for name, folder in settings.datasets.items():
        try:
            datasets[name] = dataset.count(folder)
        except OSError as error:
            log.error("ZOOAUDIT_DATASETS: data set %s is left out: %s", name, error)
            continue
        if datasets[name] == 0:
            # Not a fault: so looks the folder of a network drive that is not mounted yet.
            log.warning("ZOOAUDIT_DATASETS: data set %s: %s holds no images yet", name, folder)
    entries = zoo.catalogue()
    for entry in entries:
        if entry.source == "own" and not entry.supported:
            log.warning("ZOOAUDIT_MODELS: %s cannot be audited: %s", entry.architecture, entry.reason)
    return Catalogue(entries=entries, datasets=datasets)


if __name__ == "__main__":
    sys.exit(main())
