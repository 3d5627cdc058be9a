"""``python -m worker``: takes audits from the queue until told to stop."""

import logging
import multiprocessing
import os
import sys

from pydantic import ValidationError
from zooaudit.contract import AuditRequest, Catalogue, Report

from worker.settings import WorkerSettings

log = logging.getLogger("zooaudit.worker")

FORK = multiprocessing.get_context("fork")


def main() -> int:
    """Runs until told to stop. Returns 2 when the settings cannot be used, 1 when it had to give up."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        for item in error.errors(include_input=False):
            print(f"ZOOAUDIT_{'.'.join(map(str, item['loc'][:1])).upper()}: {item['msg']}", file=sys.stderr)
        return 2
    # No checkpoint, wherever it comes from, may run code while it is read.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"

    # Imported here, and before the first job: a job's process is a fork of this one and finds torch imported, while
    # the processes that it spawns for decoding, which import this module again, do not pay for it.
    from worker import audit
    from worker.measure import progress
    from worker.queue import checkpoint_versions, model_depths, worker

    if not _measures_what_is_known(settings.device):
        log.error("no audit is taken: this worker fails its calibration; see above, or python -m worker.calibrate")
        return 1

    def run(request: AuditRequest, on_progress: "progress.OnProgress") -> Report:
        return audit.run(
            request,
            datasets=settings.datasets,
            checkpoints=settings.checkpoints,
            device=settings.device,
            memory_gib=settings.memory_gib,
            decode_processes=settings.decode_processes,
            on_progress=on_progress,
        )

    catalogue = _catalogue(settings)
    log.info("%d models, data sets: %s", len(catalogue.entries), ", ".join(sorted(catalogue.datasets)))
    redis_url = settings.redis_url.get_secret_value()
    beside = [
        FORK.Process(target=model_depths.serve, args=(redis_url,)),
        FORK.Process(target=checkpoint_versions.serve, args=(redis_url, settings.checkpoints)),
    ]
    for process in beside:
        process.start()
    try:
        return 0 if worker.work(settings, catalogue, run) else 1
    finally:
        for process in beside:
            process.kill()


def _measures_what_is_known(device: str | None) -> bool:
    """Whether networks of known scores get them here. In a process of its own: this one must not compute anything
    before it forks, or its jobs would wait for threads that they have not inherited."""
    from worker import calibrate

    check = FORK.Process(target=calibrate.check, args=(device,))
    check.start()
    check.join()
    return check.exitcode == 0


def _catalogue(settings: WorkerSettings) -> Catalogue:
    from worker import zoo
    from worker.images import dataset

    datasets: dict[str, int | None] = {"synthetic": None}
    for name, folder in settings.datasets.items():
        try:
            datasets[name] = dataset.count(folder)
        except OSError as error:
            log.error("data set %s is left out: %s", name, error)
    return Catalogue(entries=zoo.catalogue(), datasets=datasets)


if __name__ == "__main__":
    sys.exit(main())
