"""What a warp costs beside a shift by whole pixels: ``python -m benchmarks.warps [MODEL ...]``

Measured are the steps of an audit under one transform each: a view of a batch is made, goes through the model, and its
maps are compared. All transforms take turns, so that a drift of the machine's speed hits all of them alike. Printed are
the seconds of the shift, and for each kind of warp the median ratio of its time to the shift's, turn by turn.
"""

import argparse
import statistics
import time
from typing import Any

import torch
from zooaudit.contract import WARPS, AuditRequest

from worker.audit import prepare_audit
from worker.images.stream import Batch
from worker.measure.measurement import Measurement
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
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    print(f"{'model':36} {'shift, s':>9} " + " ".join(f"{kind:>11}" for kind in WARPS), flush=True)
    for model in options.models:
        shift, warps = costs(model, options.batch_size, options.turns)
        print(f"{model:36} {shift:9.3f} " + " ".join(f"{warps[kind]:11.2f}" for kind in WARPS), flush=True)


def costs(model: str, batch_size: int, turns: int) -> tuple[float, dict[str, float]]:
    """Return the median seconds of a shift, and the ratio for each kind of warp."""
    request = AuditRequest(model=model, num_images=batch_size, **ASKED)
    prepared = prepare_audit(request, batch_size=batch_size)
    experiment, device = prepared.experiment, prepared.subject.device
    side = experiment.views.side
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (batch_size, side, side, 3), dtype=torch.uint8, generator=generator)
    taken: dict[str, list[float]] = {}
    with torch.inference_mode():
        measured = Measurement(experiment, prepared.subject, experiment.transforms)
        canvas = measured.begin(Batch(pixels, torch.arange(batch_size)))
        steps = measured.steps(canvas, experiment.views)
        for turn in range(1 + turns):
            for transform, step in steps.items():
                began_s = time.perf_counter()
                step()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                if turn and isinstance(transform, Shift | Warp):
                    name = transform.kind if isinstance(transform, Warp) else "shift"
                    taken.setdefault(name, []).append(time.perf_counter() - began_s)
    return statistics.median(taken["shift"]), {
        kind: statistics.median(warp / shift for warp, shift in zip(taken[kind], taken["shift"], strict=True))
        for kind in WARPS
    }


if __name__ == "__main__":
    main()
