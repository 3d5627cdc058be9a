"""What confidence intervals cost: ``python -m benchmarks.intervals [--images N] [MODEL ...]``

Two processes take turns, so that a drift of the machine's speed hits both alike: whole audits of untrained weights on
synthetic images, with the groups that the intervals are made from, and without them (whole batches added to the
moments, no provisional scores). Printed is the median ratio of wall times, loading excluded.
"""

import argparse
import statistics
import subprocess
import sys
import time
from unittest import mock

MODELS = ["timm/resnet18.a1_in1k", "timm/tf_efficientnet_b0.ns_jft_in1k", "timm/vit_base_patch16_224.augreg_in1k"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", choices=["with", "without"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(one(options.one, options.models[0], options.images))
        return
    print(f"{'model':42} {'images':>6} {'with/without':>12}", flush=True)
    for model in options.models:
        ratios = []
        for _ in range(options.repeats):
            times = {variant: in_process(variant, model, options.images) for variant in ("with", "without")}
            ratios.append(times["with"] / times["without"])
        spread = " ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"{model:42} {options.images:6d} {statistics.median(ratios):12.3f}   ({spread})", flush=True)


def in_process(variant: str, model: str, images: int) -> float:
    command = [sys.executable, "-m", "benchmarks.intervals", model, "--one", variant, "--images", str(images)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def one(variant: str, name: str, images: int) -> float:
    from zooaudit.contract import AuditRequest

    from worker import zoo
    from worker.audit import run
    from worker.measure import jackknife, passes
    from worker.measure.measurement import Measurement
    from worker.measure.moments import Moments
    from worker.measure.similarity import score

    model = zoo.load(name, "untrained", lambda _progress: None)
    request = AuditRequest(
        model=name,
        weights="untrained",
        dataset="synthetic",
        num_images=images,
        translations_px=(1, 2, 4, 8, 16, 32),
        rotations_deg=(90, 180),
    )
    start = time.perf_counter()
    if variant == "with":
        run(request, model=model)
        return time.perf_counter() - start

    def add(self: jackknife.Sums, _images: int, piece: Moments) -> None:
        self.moments += piece

    with (
        mock.patch.object(jackknife.Sums, "add", add),
        mock.patch.object(jackknife.Sums, "score", lambda self, similarity: score(self.moments, similarity)),
        mock.patch.object(passes, "piece_size", lambda _images, batch_size: batch_size),
        mock.patch.object(passes, "_watch", return_value=False),
        mock.patch.object(Measurement, "groups", lambda self: [self.images]),
    ):
        run(request, model=model)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
