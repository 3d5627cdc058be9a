"""What ``torch.compile`` would gain: ``python -m benchmarks.compiling [MODEL ...]``

The model is compiled as an audit would need it, with the output of every block as an output, in a process of its own
and with an empty cache. Then the compiled model and the same model as an audit runs it (channels_last, batch norms
folded, freed memory kept) take turns. Printed are, per batch, the median seconds of both and the median of their
ratios, turn by turn; how long compiling took; and the hours that an audit of 2000 images under 35 transforms, 72,000
forward images, would gain or lose.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.overhead import MODELS

FORWARD_IMAGES = 72_000
BATCH_SIZE = 16
TURNS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.models[0])))
        return
    heads = f"{'s/batch':>8} {'compiled':>8} {'ratio':>5} {'compiling':>9} {'gain':>7}"
    print(f"{'model':42} {heads}", flush=True)
    for model in options.models:
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-m", "benchmarks.compiling", model, "--one"]
            environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        result = json.loads(done.stdout)
        gain_s = (result["eager_s"] - result["compiled_s"]) * FORWARD_IMAGES / BATCH_SIZE - result["compiling_s"]
        print(
            f"{model:42} {result['eager_s']:8.3f} {result['compiled_s']:8.3f} {result['ratio']:5.2f} "
            f"{result['compiling_s']:7.0f} s {gain_s / 3600:+5.2f} h",
            flush=True,
        )


def one(name: str) -> dict[str, float]:
    import torch
    from torch import Tensor, nn
    from zooaudit.contract import AuditRequest

    from worker import zoo
    from worker.audit import choose_device, prepare
    from worker.measure.budget import keep_freed_memory
    from worker.measure.transforms import Views

    keep_freed_memory()
    loaded = zoo.load(name, "untrained", lambda _progress: None)
    views = Views(loaded.preprocessing.input_size, 0)
    device = choose_device(None, "float32")
    subject, _ = prepare(loaded, loaded.module, AuditRequest(model=name, weights="untrained"), views, device)

    class WithBlocks(nn.Module):
        """The model, with the output of each block beside its own."""

        def __init__(self) -> None:
            super().__init__()
            self.module = subject.module
            self.outputs: list[object] = []
            for tap in subject.depth.blocks:
                self.module.get_submodule(tap.name).register_forward_hook(self.keep)

        def keep(self, _block: nn.Module, _inputs: object, output: object) -> None:
            self.outputs.append(output)

        def forward(self, view: Tensor) -> tuple[object, list[object]]:
            self.outputs = []
            return self.module(view), self.outputs

    eager = WithBlocks()
    view = torch.randn(BATCH_SIZE, 3, views.size, views.size, device=device)
    view = view.contiguous(memory_format=torch.channels_last)

    def seconds(run: object) -> float:
        assert callable(run)
        start = time.perf_counter()
        output, _ = run(view)
        torch.as_tensor(output).sum().item()
        return time.perf_counter() - start

    with torch.no_grad():
        compiled = torch.compile(eager)
        compiling_s = seconds(compiled)
        expected = eager(view)[0]
        assert (compiled(view)[0] - expected).norm() <= 1e-4 * expected.norm()
        turns = [(seconds(eager), seconds(compiled)) for _ in range(TURNS)]
    return {
        "eager_s": statistics.median(eager for eager, _ in turns),
        "compiled_s": statistics.median(compiled for _, compiled in turns),
        "ratio": statistics.median(compiled / eager for eager, compiled in turns),
        "compiling_s": compiling_s,
    }


if __name__ == "__main__":
    main()
