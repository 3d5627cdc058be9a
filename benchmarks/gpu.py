"""What an audit adds to its forward passes on a GPU: ``python -m benchmarks.gpu [--images N] [--out FILE] [MODEL ...]``

For each model and precision a process that has the GPU to itself measures two things:

audit     the whole audit of untrained weights under all 35 transforms, on synthetic images, from the model to the
          report. The loading of the model and the decoding are excluded: the canvases lie in a cache that was filled
          before. So is the start of CUDA and of all that libraries compile once: a first, small audit warms the process
          up. How long that one takes is the column "first".
forwards  the same number of forward passes of the same batch size and precision alone, of pixels that are on the GPU
          already: as one would write them (channels_last, inference mode), and replayed as one CUDA graph, if the model
          can be recorded; warmed up, too. Every pass takes equally long, so at most 36 are made, and the time of all is
          worked out.

Printed are the ratios of wall times, audit / forwards and audit / forwards as a graph. Launches are those for each
representation and transformed view (benchmarks.kernels, counted on the CPU). Everything is written to FILE as JSON,
row by row. Near six minutes nothing further is begun, and what was left out is named.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from zooaudit.contract import AuditRequest

from benchmarks.kernels import launches
from benchmarks.overhead import MODELS, ROTATIONS_DEG, TRANSLATIONS_PX
from worker import zoo
from worker.audit import run
from worker.children import ChildDied, ChildTimedOut, in_child
from worker.images.canvas_cache import CanvasCache
from worker.images.dataset import open_dataset
from worker.images.stream import Stream
from worker.measure.budget import keep_freed_memory
from worker.measure.forward import forward_precision
from worker.measure.transforms import Views

IMAGES = {"float32": 512, "bfloat16": 1024}
"""How many images are measured by default in each precision: of batches of 128, enough for graphs to be recorded."""
LIMIT_S = 330.0
"""After this time nothing further is begun."""
LIMIT_OF_ONE_S = 150.0
WARM_UP, WARM_UP_IMAGES = 3, 512
MOST_PASSES = 36
"""So many forward passes show what more would take."""
CACHE_GIB = 8.0

Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=int, help="(default: 512 in float32, 1024 in bfloat16)")
    parser.add_argument("--batch-size", type=int, help="(default: chosen by the audit)")
    parser.add_argument("--device", default="cuda:0", help="cpu shows that the benchmark runs, and nothing else")
    parser.add_argument("--out", type=Path, help="(default: benchmarks/data/gpu-NAME-OF-CARD.json)")
    options = parser.parse_args()
    try:
        card = in_child(lambda: name_of(options.device), LIMIT_OF_ONE_S)
    except (ChildDied, ChildTimedOut) as error:
        sys.exit(f"The benchmark finds no {options.device}: the process that asked for its name {error}.")
    if not card:
        sys.exit("The benchmark needs an NVIDIA GPU, and torch finds none here.")
    out = options.out or Path(__file__).parent / "data" / f"gpu-{slug(card)}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "card": card,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "date": datetime.now(UTC).date().isoformat(),
    }
    images = {precision: options.images or count for precision, count in IMAGES.items()}
    left_out = [f"{model} in {precision}" for model in options.models for precision in images]
    rows: list[Result] = []
    for row in measure_each(options.models, images, options.batch_size, options.device):
        rows.append(row)
        left_out.remove(f"{row['model']} in {row['precision']}")
        out.write_text(json.dumps({**about, "left_out": left_out, "measured": rows}, indent=1) + "\n")
    print(f"{card}, torch {torch.__version__}: {out}")
    if left_out:
        sys.exit(
            f"Left out: {', '.join(left_out)}. What failed is told above; for want of time, ask for fewer --images."
        )


def measure_each(models: list[str], images: Mapping[str, int], batch_size: int | None, device: str) -> Iterator[Result]:
    """Measure each model in each precision, with so many ``images``; print a line, and yield what it says and more."""
    begun = time.monotonic()
    print(
        f"{'model':40} {'precision':9} {'batch':>5} {'images/s':>8} {'audit/eager':>11} {'audit/graph':>11} "
        f"{'first':>6} {'peak GiB':>8} {'launches':>8} graphs",
        flush=True,
    )
    counted: dict[str, Result] = {}
    with tempfile.TemporaryDirectory() as folder:
        cache = CanvasCache(Path(folder), CACHE_GIB)
        for model, precision in product(models, images):
            if time.monotonic() - begun > LIMIT_S:
                break
            try:
                if model not in counted:
                    for count in {*images.values(), *(min(count, WARM_UP_IMAGES) for count in images.values())}:
                        in_own_process(partial(fill, cache, model, count))
                    counted[model] = in_own_process(partial(launched, model))
                row = measured(model, precision, images[precision], batch_size, device, cache)
            except (ChildDied, ChildTimedOut) as error:
                print(f"{model:40} {precision:9} a process {error}", flush=True)
            else:
                print(line(row | {"launches": counted[model]}), flush=True)
                yield row | {"launches": counted[model]}


def measured(
    model: str, precision: str, images: int, batch_size: int | None, device: str, cache: CanvasCache
) -> Result:
    """Measure a model in one precision."""

    def both() -> Result:
        audit = audited(model, precision, images, batch_size, device, cache)
        passes = audit["forward_images"] // audit["batch_size"]
        torch.cuda.empty_cache()
        return {"audit": audit, "forwards": forwards(model, precision, passes, audit["batch_size"], device)}

    return {"model": model, "precision": precision, "images": images, **in_own_process(both)}


def line(row: Result) -> str:
    audit, alone, counted = row["audit"], row["forwards"], row["launches"]
    as_graph = f"{audit['seconds'] / alone['graph_seconds']:11.2f}" if alone["graph_seconds"] else f"{'-':>11}"
    peak = f"{audit['peak_bytes'] / 2**30:8.2f}" if audit["peak_bytes"] else f"{'-':>8}"
    graphs = {True: "yes", False: "no", None: "-"}[audit["cuda_graphs"]]
    images_per_s = audit["forward_images"] / audit["seconds"]
    return (
        f"{row['model']:40} {row['precision']:9} {audit['batch_size']:5d} {images_per_s:8.0f} "
        f"{audit['seconds'] / alone['seconds']:11.2f} {as_graph} {audit['first_seconds']:5.1f}s {peak} "
        f"{counted['mean']:8.1f} {graphs}"
    )


def in_own_process(work: Callable[[], Result]) -> Result:
    """Return what ``work()`` returns, in a fork of this process, which has imported everything and computed nothing."""
    result: Result = json.loads(in_child(lambda: json.dumps(work()), LIMIT_OF_ONE_S))
    return result


def name_of(device: str) -> str:
    """Return the name of the card, "cpu" for the CPU, or nothing if the device is not there."""
    if device == "cpu":
        return device
    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else ""


def slug(card: str) -> str:
    """Write the name of a card as part of a file's name.

    >>> slug("NVIDIA H100 80GB HBM3")
    'nvidia-h100-80gb-hbm3'
    """
    return re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")


def launched(model: str) -> Result:
    counted = launches(model, 1, 2000, translations_px=TRANSLATIONS_PX, rotations_deg=ROTATIONS_DEG)
    return {key: counted[key] for key in ("representations", "reference", "mean", "largest")}


def fill(cache: CanvasCache, model: str, images: int) -> Result:
    """Decode the images as the audits of the ``model`` see them, so that they find them in the ``cache``."""
    preprocessing = load(model).preprocessing
    views = Views(preprocessing.input_size, max(TRANSLATIONS_PX))
    stream = Stream(open_dataset("synthetic", {}, images, 0), preprocessing, views.size + views.room, cache=cache)
    return {"images": sum(len(batch) for batch in stream.batches(128))}


def load(model: str) -> zoo.LoadedModel:
    return zoo.load(model, "untrained", lambda _progress: None)


def audited(model: str, precision: str, images: int, batch_size: int | None, device: str, cache: CanvasCache) -> Result:
    loaded = load(model)
    asked = {"model": model, "weights": "untrained", "dataset": "synthetic", "precision": precision}
    few = {
        "num_images": min(images, WARM_UP_IMAGES),
        "translations_px": [1, max(TRANSLATIONS_PX)],
        "rotations_deg": [90],
    }
    seconds = []
    for request in (AuditRequest(**asked, **few), AuditRequest(**asked, num_images=images)):
        start = time.perf_counter()
        report = run(request, model=loaded, device=device, batch_size=batch_size, cache=cache)
        seconds.append(time.perf_counter() - start)
    return {
        "seconds": seconds[1],
        "first_seconds": seconds[0],
        "preparing_seconds": report.timing.preparing_seconds,
        "forward_images": report.timing.forward_images,
        "batch_size": report.environment.batch_size,
        "cuda_graphs": report.environment.cuda_graphs,
        "tensor_cores": report.environment.tensor_cores,
        "peak_bytes": peak_bytes(device),
    }


def forwards(model: str, precision: str, count: int, batch_size: int, device: str) -> Result:
    """Time ``count`` forward passes alone: launched one by one, and replayed as a graph."""
    keep_freed_memory()
    loaded = load(model)
    module, place = loaded.module.to(device), torch.device(device)
    module = module.to(memory_format=torch.channels_last)
    size = loaded.preprocessing.input_size
    view = torch.randn(batch_size, 3, size, size, device=device).to(memory_format=torch.channels_last)

    def forward() -> Tensor:
        with forward_precision(precision, place):  # type: ignore[arg-type]
            output: Tensor = module(view)
        return output

    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
    with torch.inference_mode():
        seconds = timed(forward, count, device)
        peak = peak_bytes(device)
        graph_seconds, why_not = None, None
        if place.type == "cuda":
            try:
                graph_seconds = timed(recorded(forward), count, device)
            except RuntimeError as error:
                why_not = str(error).partition("\n")[0]
    return {
        "seconds": seconds,
        "passes": count,
        "graph_seconds": graph_seconds,
        "no_graph_because": why_not,
        "peak_bytes": peak,
    }


def recorded(forward: Callable[[], Tensor]) -> Callable[[], None]:
    """Record ``forward``, which has run before, as a CUDA graph, and return what replays it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward()
    return graph.replay


def timed(work: Callable[[], object], count: int, device: str) -> float:
    """Return the seconds that ``count`` calls of ``work`` take, after some that warm up; beyond MOST_PASSES they are
    worked out."""
    for _ in range(min(WARM_UP, count)):
        work()
    synchronize(device)
    start = time.perf_counter()
    for _ in range(min(count, MOST_PASSES)):
        work()
    synchronize(device)
    return (time.perf_counter() - start) * count / min(count, MOST_PASSES)


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def peak_bytes(device: str) -> int | None:
    return None if device == "cpu" else torch.cuda.max_memory_allocated(device)


if __name__ == "__main__":
    main()
