"""``python -m worker`` takes audits from the queue until a signal stops it."""

import logging
import os
import sys
from collections.abc import Callable
from functools import partial

from pydantic import ValidationError
from zooaudit.contract import AuditRequest, Catalogue, Progress, Report

from worker.children import FORK
from worker.settings import WorkerSettings

log = logging.getLogger("zooaudit.worker")


def main() -> int:
    """Run until a signal stops the process. Returns 2 when the settings cannot be used, 1 when the worker gave up."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        for item in error.errors(include_input=False):
            print(f"ZOOAUDIT_{'.'.join(map(str, item['loc'][:1])).upper()}: {item['msg']}", file=sys.stderr)
        return 2
    # No checkpoint, wherever it comes from, may run code while it is read.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    return _run_worker(settings)


def _run_worker(settings: WorkerSettings) -> int:
    # Imported before the first job, because its process is a fork of this one and so finds torch imported. But not
    # imported with this module: the processes that decode images import it too, and need no torch.
    from worker import audit
    from worker.queue import checkpoint_versions, model_depths, worker
    from worker.queue.side_processes import SideProcess, SideProcesses

    if not _is_calibrated(settings.device):
        log.error("no audit is taken: this worker fails its calibration; see above, or python -m worker.calibrate")
        return 1
    catalogue = _catalogue(settings)
    log.info("%d models, data sets: %s", len(catalogue.entries), ", ".join(sorted(catalogue.datasets)))

    def run_audit(request: AuditRequest, on_progress: Callable[[Progress], None]) -> Report:
        return audit.run(
            request,
            datasets=settings.datasets,
            checkpoints=settings.checkpoints,
            device=settings.device,
            memory_gib=settings.memory_gib,
            decode_processes=settings.decode_processes,
            on_progress=on_progress,
        )

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
        ]
    )
    beside.start()
    try:
        return 0 if worker.work(settings, catalogue, run_audit, beside.look_after) else 1
    finally:
        beside.kill()


def _is_calibrated(device: str | None) -> bool:
    """Whether networks with known scores get these scores on this machine.

    This runs in a process of its own: if this process computed anything before it forks, its jobs would wait for
    threads that they have not inherited.
    """
    from worker import calibrate

    check = FORK.Process(target=calibrate.check, args=(device,))
    check.start()
    check.join()
    return check.exitcode == 0


def _catalogue(settings: WorkerSettings) -> Catalogue:
    """List the models of the zoos, and the data sets whose folders can be read."""
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
