"""What warps and the other measures cost beside a shift by whole pixels: ``python -m benchmarks.measures [MODEL ...]``

Measured are the steps of an audit for one batch: under each transform a view is made, goes through the model, and its
maps are compared; each probe does all that it does with a batch. All take turns, so that a drift of the machine's
speed hits all of them alike. Printed are the seconds of the shift and, turn by turn, the median ratio to the shift's
time: of a warp of each kind, and of *one view* of each probe, which has several (docs/method.md says how many).
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from zooaudit.contract import AuditRequest

from worker.audit import prepare_audit
from worker.images.stream import Batch
from worker.measure.groups import group_of, members_of
from worker.measure.measurement import Measurement
from worker.measure.probe_pass import sums_of
from worker.measure.probes.variance import Variance
from worker.measure.transforms import Shift
from worker.measure.warps import Warp

MODELS = ["timm/efficientnet_b0.ra_in1k", "timm/resnet50.a1_in1k"]
ASKED: dict[str, Any] = {
    "weights": "untrained",
    "dataset": "synthetic",
    "translations_px": [8],
    "rotations_deg": [],
    "warps": [
        {"kind": "translation", "amounts": [0.5]},
        {"kind": "rotation", "amounts": [15]},
        {"kind": "scale", "amounts": [1.1]},
        {"kind": "shear", "amounts": [0.1]},
    ],
    "deformation": {"displacements_px": [1]},
    "local": True,
    "consistency_draws": 1,
    "variance": True,
}
COLUMNS = ("translation", "rotation", "scale", "shear", "deformation", "local", "consistency", "variance")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    print(f"{'model':30} {'shift, s':>9} " + " ".join(f"{column:>11}" for column in COLUMNS), flush=True)
    for model in options.models:
        shift, ratios = costs(model, options.batch_size, options.turns)
        print(f"{model:30} {shift:9.3f} " + " ".join(f"{ratio:11.2f}" for ratio in ratios), flush=True)


def costs(model: str, batch_size: int, turns: int) -> tuple[float, list[float]]:
    """Return the median seconds of a shift, and the ratio to it for each of the ``COLUMNS``."""
    with torch.inference_mode():
        timed = list(_timed(model, batch_size))
        seconds: list[list[float]] = [[] for _ in timed]
        for _ in range(1 + turns):
            for (step, views), of_step in zip(timed, seconds, strict=True):
                began_s = time.perf_counter()
                step()
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                of_step.append((time.perf_counter() - began_s) / views)
    shift, *others = (of_step[1:] for of_step in seconds)
    return statistics.median(shift), [
        statistics.median(other / of_shift for other, of_shift in zip(each, shift, strict=True)) for each in others
    ]


def _timed(model: str, batch_size: int) -> Iterator[tuple[Callable[[], object], int]]:
    """Yield what is timed, the shift and then the ``COLUMNS``, and how many views of each image it has."""
    prepared = prepare_audit(AuditRequest(model=model, num_images=batch_size, **ASKED), batch_size=batch_size)
    experiment, subject = prepared.experiment, prepared.subject
    side = experiment.views.side
    pixels = torch.randint(0, 256, (batch_size, side, side, 3), dtype=torch.uint8, generator=torch.manual_seed(0))
    batch = Batch(pixels, torch.arange(batch_size))
    measured = Measurement(experiment, subject, experiment.transforms)
    canvas = measured.begin(batch)
    for transform, step in measured.steps(canvas, experiment.views).items():
        step()  # The first is the reference view, which the others are compared with.
        if isinstance(transform, Shift | Warp):
            yield step, 1
    members = members_of(group_of(batch.places, batch_size)).to(subject.device)
    for probe in experiment.probes:
        if not isinstance(probe, Variance) or probe.name == "translation":
            see = sums_of(probe, experiment, subject.device).see
            yield partial(see, canvas, batch.places, members, subject.forward), probe.views


if __name__ == "__main__":
    main()
