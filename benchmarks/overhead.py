"""What an audit costs beyond its forward passes: ``python -m benchmarks.overhead [--images N] [MODEL ...]``

For each model three processes share the machine. Each runs for a second while the two others are stopped, and so on in
turns until the audit is done, so that a drift of the machine's speed hits all of them alike:

audit   the whole audit of untrained weights on JPEG files of 500 x 375 px, in batches of 16, decoding, comparison and
        scores included, the loading of the model excluded
plain   forward passes of the same batch size alone, as one would write them: eager float32
tuned   the same, with what the audit does for speed: channels_last, inference mode, and freed memory kept

Printed are medians of the time of the audit over that of as many forward passes: audit / plain and audit / tuned.
"""

import argparse
import os
import select
import shutil
import signal
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
VARIANTS = ("audit", "plain", "tuned")
BATCH = 16
SLICE_S = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--one", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one, options.models[0], options.images)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the processes end with this one
    print(f"{'model':42} {'images/s':>8} {'audit/plain':>11} {'audit/tuned':>11}", flush=True)
    for model in options.models:
        runs = [side_by_side(model, options.images) for _ in range(options.repeats)]
        images_per_second, plain, tuned = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"{model:42} {images_per_second:8.1f} {plain:11.2f} {tuned:11.2f}", flush=True)


def side_by_side(model: str, images: int) -> tuple[float, float, float]:
    """Return the forward images per second of an audit, and how many times as long it takes as plain and as tuned
    forward passes of as many images."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for variant in VARIANTS:
            processes[variant] = start(variant, model, images)
        seconds = dict.fromkeys(processes, 0.0)
        ended = False
        while not ended:
            for variant, process in processes.items():
                begun = time.perf_counter()
                os.killpg(process.pid, signal.SIGCONT)
                if variant == "audit":
                    ended = bool(select.select([process.stdout], [], [], SLICE_S)[0])
                else:
                    time.sleep(SLICE_S)
                os.killpg(process.pid, signal.SIGSTOP)
                seconds[variant] += time.perf_counter() - begun
    finally:
        for process in processes.values():
            os.killpg(process.pid, signal.SIGKILL)
    passes = {variant: len(process.communicate()[0]) for variant, process in processes.items()}
    if not passes["audit"]:
        raise SystemExit(f"the audit of {model} has failed")
    rates = {variant: seconds[variant] / passes[variant] / BATCH for variant in ("plain", "tuned")}
    views = images * VIEWS
    return views / seconds["audit"], *(seconds["audit"] / (views * rates[variant]) for variant in ("plain", "tuned"))


def start(variant: str, model: str, images: int) -> "subprocess.Popen[bytes]":
    """Start a process of its own group, and return it when it has stopped itself, ready to begin."""
    command = [sys.executable, "-m", "benchmarks.overhead", model, "--one", variant, "--images", str(images)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        raise SystemExit(f"{variant} of {model} has failed")
    return process


def run_one(variant: str, name: str, images: int) -> None:
    """Prepare, stop, and when continued write a byte for each forward pass, for ever, or for the whole audit."""
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
        os.kill(os.getpid(), signal.SIGSTOP)
        run(request, model=model, datasets={"files": folder}, batch_size=BATCH)
        shutil.rmtree(folder)
        os.write(1, b".")
        return

    device = choose_device(None, "float32")
    module, view = model.module.to(device), torch.randn(BATCH, 3, *[model.preprocessing.input_size] * 2).to(device)
    if variant == "tuned":
        keep_freed_memory()
        module, view = (item.to(memory_format=torch.channels_last) for item in (module, view))
    with torch.inference_mode() if variant == "tuned" else torch.no_grad():
        module(view)
        os.kill(os.getpid(), signal.SIGSTOP)
        while True:
            module(view).sum().item()
            os.write(1, b".")


if __name__ == "__main__":
    main()
