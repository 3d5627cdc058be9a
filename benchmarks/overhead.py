"""What an audit costs beyond its forward passes: ``python -m benchmarks.overhead [--images N] [MODEL ...]``

For each model three processes take turns, so that a drift of the machine's speed hits all of them alike:

audit   the whole audit of untrained weights on JPEG files of 500 x 375 px, decoding, comparison and scores included,
        the loading of the model excluded
plain   the same number of forward passes of the same batch size alone, as one would write them: eager float32
tuned   the same, with what the audit does for speed: channels_last, inference mode, and freed memory kept

Printed are the median ratios of wall times, turn by turn: audit / plain and audit / tuned.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODELS = [
    "timm/resnext101_32x8d.tv_in1k",
    "timm/inception_v3.tv_in1k",
    "timm/tf_efficientnet_b0.ns_jft_in1k",
    "timm/vit_base_patch16_224.augreg_in1k",
    "timm/mixer_b16_224.goog_in21k_ft_in1k",
]
TRANSLATIONS_PX = (1, 2, 4, 8, 16, 32)
ROTATIONS_DEG = (90, 180)
VIEWS = 1 + len(TRANSLATIONS_PX) + len(ROTATIONS_DEG)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", choices=["audit", "plain", "tuned"], help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.models[0], options.images, options.batch_size)))
        return
    print(f"{'model':42} {'batch':>5} {'images/s':>8} {'audit/plain':>11} {'audit/tuned':>11}", flush=True)
    for model in options.models:
        turns = [turn(model, options.images) for _ in range(options.repeats)]
        print(
            f"{model:42} {turns[0]['batch_size']:5d} {statistics.median(t['images_per_second'] for t in turns):8.1f} "
            f"{statistics.median(t['audit'] / t['plain'] for t in turns):11.2f} "
            f"{statistics.median(t['audit'] / t['tuned'] for t in turns):11.2f}",
            flush=True,
        )


def turn(model: str, images: int) -> dict[str, float]:
    audit = in_process("audit", model, images, 0)
    times = {
        variant: in_process(variant, model, images, audit["batch_size"])["seconds"] for variant in ("plain", "tuned")
    }
    return {
        "audit": audit["seconds"],
        "batch_size": audit["batch_size"],
        "images_per_second": images * VIEWS / audit["seconds"],
        **times,
    }


def in_process(variant: str, model: str, images: int, batch_size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.overhead", model, "--one", variant]
    command += ["--images", str(images), "--batch-size", str(batch_size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def one(variant: str, name: str, images: int, batch_size: int) -> dict[str, float]:
    import torch
    from zooaudit.contract import AuditRequest

    from worker import zoo
    from worker.audit import choose_device, run
    from worker.images.synthetic import dead_leaves
    from worker.measure.budget import keep_freed_memory

    model = zoo.load(name, "untrained", lambda _progress: None)
    if variant == "audit":
        folder = Path(tempfile.mkdtemp())
        for index in range(images):
            dead_leaves(0, index).crop((0, 0, 500, 375)).save(folder / f"{index}.jpg", quality=90)
        request = AuditRequest(
            model=name,
            weights="untrained",
            dataset="files",
            num_images=images,
            translations_px=TRANSLATIONS_PX,
            rotations_deg=ROTATIONS_DEG,
        )
        start = time.perf_counter()
        report = run(request, model=model, datasets={"files": folder})
        seconds = time.perf_counter() - start
        shutil.rmtree(folder)
        return {"seconds": seconds, "batch_size": report.environment.batch_size}

    device = choose_device(None, "float32")
    module, view = model.module.to(device), torch.randn(batch_size, 3, *[model.preprocessing.input_size] * 2).to(device)
    if variant == "tuned":
        keep_freed_memory()
        module, view = (item.to(memory_format=torch.channels_last) for item in (module, view))
    with torch.inference_mode() if variant == "tuned" else torch.no_grad():
        module(view)
        start = time.perf_counter()
        for _ in range(VIEWS * images // batch_size):
            output = module(view)
        output.sum().item()
        return {"seconds": time.perf_counter() - start, "batch_size": batch_size}


if __name__ == "__main__":
    main()
