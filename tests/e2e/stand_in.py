"""A real worker that sleeps instead of computing, in shards that other workers share: ``python -m tests.e2e.stand_in``

``--workers N`` runs N of them, as forks of one process. A forward image takes ``STAND_IN_S`` seconds (default 0.001).
Scores follow from the seed and the transform, so a report shows whether each shard was measured for it. Each worker
adds a line to the audit's file in FAKE_RUNS for each step that it has taken, so that what was measured twice can be
counted from outside.
"""

import argparse
import hashlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from zooaudit.contract import AuditRequest, Catalogue, Progress, Report, audit_id

from tests.fakes import entry, report_of
from worker.children import FORK
from worker.measure.experiment import transforms_of
from worker.measure.model_scores import ModelScores, added_up
from worker.measure.plan import Plan
from worker.measure.scores import Results
from worker.measure.shards import Shards
from worker.measure.similarity import Equivariance
from worker.measure.transforms import Transform
from worker.processes import start_as_child
from worker.queue import worker
from worker.settings import WorkerSettings

WAYS = ("quick", "poor", "poison", "broken")
"""What the name of a model says: nothing special; few transforms fit into memory; one transform kills whoever measures
it; one transform cannot be measured."""
CATALOGUE = Catalogue(entries=tuple(entry(f"timm/{way}", "v1") for way in WAYS), datasets={"synthetic": None})
STEPS = 10
"""In how many steps the images of a shard are measured."""
POISON_PX = 13


def run(request: AuditRequest, on_progress: Callable[[Progress], None], shards: Shards) -> Report:
    """Take shards until all are measured, and report."""
    plan = measure(request, on_progress, shards)
    models = [added_up(parts) for parts in plan.of_models(shards.measured())]
    report = report_with(request, [scores.results for scores in models])
    timing = report.timing.model_copy(
        update={
            "forward_images": sum(scores.forward_images for scores in models),
            "workers": shards.workers,
            "repeated_images": shards.repeated,
        }
    )
    return report.model_copy(update={"timing": timing})


def expected(request: AuditRequest) -> Report:
    """Return the report that ``request`` must get, apart from its timing, computed without any worker."""
    models = range(1 + request.baseline * request.baseline_seeds)
    transforms = transforms_of(request)
    return report_with(
        request, [{transform: _result(request, model, transform) for transform in transforms} for model in models]
    )


def report_with(request: AuditRequest, models: Sequence[Results]) -> Report:
    """Return a report whose first block shows the scores of the audited model, and the next ones those of baselines."""
    report = report_of(request)
    blocks = list(report.blocks)
    for number, results in enumerate(models):
        value = {str(transform): row[0]["correlation"].channel for transform, row in results.items()}
        shown = blocks[number]
        shifts = [
            row.model_copy(update={"channel": value[f"{row.shift_px} px"]}) for row in shown.translation.by_transform
        ]
        angles = [row.model_copy(update={"channel": value[f"{row.angle_deg}°"]}) for row in shown.rotation.by_transform]
        blocks[number] = shown.model_copy(
            update={
                "translation": shown.translation.model_copy(update={"by_transform": tuple(shifts)}),
                "rotation": shown.rotation.model_copy(update={"by_transform": tuple(angles)}),
            }
        )
    return report.model_copy(update={"blocks": tuple(blocks)})


def help_with(request: AuditRequest, on_progress: Callable[[Progress], None], shards: Shards) -> None:
    measure(request, on_progress, shards)


def measure(request: AuditRequest, on_progress: Callable[[Progress], None], shards: Shards) -> Plan:
    """Take shards and sleep, until there are no more."""
    on_progress(Progress(phase="loading"))
    transforms = transforms_of(request)
    way = request.model.removeprefix("timm/").removesuffix(".v1")
    plan = Plan(
        fingerprint="stand-in",
        units=tuple((transform,) for transform in transforms),
        models=1 + request.baseline * request.baseline_seeds,
        images=request.num_images,
        most=5 if way == "poor" else len(transforms),
    )
    shards.begin(plan)
    pause_s = float(os.environ.get("STAND_IN_S", "0.001")) * request.num_images / STEPS
    runs = Path(os.environ["FAKE_RUNS"]) / audit_id(request)
    done = 0
    while (shard := shards.take()) is not None:
        started_at, clock = datetime.now(UTC), time.perf_counter()
        for step in range(STEPS):
            left = [transform for transform in shard.transforms if transform not in set(shards.given_away())]
            if not left:
                break
            if way == "poison" and f"{POISON_PX} px" in map(str, left):
                os.kill(os.getpid(), signal.SIGKILL)
            if way == "broken" and f"{POISON_PX} px" in map(str, left):
                raise ZeroDivisionError("a bug in this shard")
            for view in ("reference", *map(str, left)):
                time.sleep(pause_s)
                done += request.num_images // STEPS
                with runs.open("a") as lines:
                    lines.write(f"{os.getpid()} {shard.model} {step} {view}\n")
                on_progress(Progress(phase="measuring", done=done, total=done))
        scores = ModelScores(
            results={transform: _result(request, shard.model, transform) for transform in left},
            same_class=dict.fromkeys(left, (request.num_images,)),
            reference_spreads=[],
            groups=[request.num_images],
            skipped=(),
            batch_size=1,
            used_graphs=None,
            used_tensor_cores=None,
            devices=("stand-in",),
            forward_images=0,
            started_at=started_at,
            seconds=time.perf_counter() - clock,
        )
        shards.put(shard, scores)
    return plan


def _result(request: AuditRequest, model: int, transform: Transform) -> list[dict[str, Equivariance]]:
    digest = hashlib.sha256(f"{request.seed} {model} {transform}".encode()).digest()
    value = int.from_bytes(digest[:4], "big") / 2**32
    return [{"correlation": Equivariance(value, value)}]


def main() -> int:
    parser = argparse.ArgumentParser(description="Run workers that sleep instead of computing.")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if options.workers == 1:
        return _work()
    workers = [FORK.Process(target=_work_as_child, args=(os.getpid(),)) for _ in range(options.workers)]
    for process in workers:
        process.start()
    signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in workers])
    for process in workers:
        process.join()
    return 0


def _work() -> int:
    return 0 if worker.work(WorkerSettings(), CATALOGUE, run, help_with) else 1


def _work_as_child(parent: int) -> None:
    start_as_child(parent)
    _work()


if __name__ == "__main__":
    sys.exit(main())
