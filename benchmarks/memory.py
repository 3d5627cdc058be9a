"""Peak memory of an audit: ``python -m benchmarks.memory [--model NAME] [--images N ...]``

Runs audits of untrained weights with all 35 transforms, one process each, which keep decoded images as a worker does,
and prints the peak resident memory of the measuring process (decoding processes share it, copy on write). The peak must
not grow with the number of images.
"""

import argparse
import subprocess
import sys
import tempfile

AUDIT = """
import resource, sys
from zooaudit.contract import AuditRequest
from pathlib import Path
from worker.audit import run
from worker.images.canvas_cache import CanvasCache
request = AuditRequest(model=sys.argv[1], weights="untrained", dataset="synthetic", num_images=int(sys.argv[2]))
report = run(request, cache=CanvasCache(Path(sys.argv[3]), 10))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
passes = report.timing.forward_images // report.images.count - 35
print(f"{report.images.count:8d} {peak:9.2f} {report.environment.batch_size:11d} {passes:7d}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="timm/resnet18.a1_in1k")
    parser.add_argument("--images", type=int, nargs="+", default=[64, 512])
    options = parser.parse_args()
    print("  images  peak GiB  batch size  passes", flush=True)
    for images in options.images:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-c", AUDIT, options.model, str(images), folder], check=True)


if __name__ == "__main__":
    main()
