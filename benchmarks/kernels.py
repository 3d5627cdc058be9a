"""How many kernels the statistics launch: ``python -m benchmarks.kernels [--batch-size N] [--images N] [MODEL ...]``

On a GPU every operation of torch that computes something is a kernel that the host launches, in 5 to 10 microseconds
each. This counts them for one batch of each model on the CPU, where the operations are the same: all operations of ATen
but views. Printed are, per representation, those beyond the forward pass: for the reference view, for a transformed
view (mean and largest over the transforms), and for the choice of partners, which is made twice in an audit. The last
column is how many multiplications and additions a transformed view costs beyond its forward pass, as a share of those
of the forward pass.
"""

import argparse
from collections import Counter
from collections.abc import Mapping
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from zooaudit.contract import AuditRequest

from benchmarks.overhead import MODELS as FAMILIES
from worker import zoo
from worker.audit import prepare
from worker.images.dataset import open_dataset
from worker.images.stream import Batch, Stream
from worker.measure.budget import Budget
from worker.measure.experiment import Experiment, borders_of, similarities_of, transforms_of, views_of
from worker.measure.groups import GROUPS
from worker.measure.measurement import Measurement
from worker.measure.progress import ForwardCounter

MODELS = [
    *FAMILIES,
    "timm/convnext_tiny.fb_in1k",
    "timm/swin_tiny_patch4_window7_224.ms_in1k",
    "timm/regnety_016.tv2_in1k",
]


class Launches(TorchDispatchMode):
    """Within this context, count the operations that are no views, by name, and their multiplications and additions."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.flops = 0

    def __torch_dispatch__(
        self, function: OpOverload, _types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if not function.is_view:
            self.counts[str(function)] += 1
        output = function(*args, **(kwargs or {}))
        if function.overloadpacket in flop_registry:
            self.flops += flop_registry[function.overloadpacket](*args, **(kwargs or {}), out_val=output)
        return output


def launches(name: str, batch_size: int, images: int, **asked: Any) -> dict[str, Any]:
    """Count what one batch of the model launches beyond its forward passes, per representation.

    ``images`` is the size of the sample, of which the batch is the first part; ``asked`` changes the request.
    """
    request = AuditRequest(**{"model": name, "weights": "untrained", "dataset": "synthetic", **asked})
    loaded = zoo.load(name, "untrained", lambda _progress: None)
    views = views_of(request, loaded.preprocessing.input_size)
    subject, representations = prepare(loaded, loaded.module, request, views, torch.device("cpu"))
    transforms = transforms_of(request)
    sample = open_dataset("synthetic", {}, images, 0)
    experiment = Experiment(
        representations=representations,
        absent=dict(loaded.depth.absent),
        views=views,
        similarities=similarities_of(request),
        borders=borders_of(request),
        transforms=transforms,
        probes=(),
        seed=0,
        budget=Budget(batch_size, len(transforms)),
        stream=Stream(sample, loaded.preprocessing, views.side, 0),
        forwards=ForwardCounter(1, lambda _progress: None, lambda _table, _groups: None),  # type: ignore[arg-type,return-value]
    )
    pixels = torch.randint(0, 255, (batch_size, views.side, views.side, 3), dtype=torch.uint8)
    measured = Measurement(experiment, subject, transforms)
    # Not in inference mode, in which composite operations, such as matmul, are seen whole.
    with torch.no_grad():
        canvas = subject.canvas(pixels)

        def beyond_forward(view: Tensor, see: Any) -> tuple[float, float]:
            with Launches() as alone:
                subject.forward(view, lambda _index, _maps: None)
            with Launches() as both:
                see()
            launched = both.counts.total() - alone.counts.total()
            return launched / len(representations), both.flops / alone.flops - 1

        measured.begin(Batch(pixels, torch.arange(batch_size)))
        view = views.reference(canvas)
        reference, _ = beyond_forward(view, lambda: measured.see_reference(view))
        transformed = []
        for transform in transforms:
            view = views.transformed(canvas, transform)
            transformed.append(
                beyond_forward(view, lambda transform=transform, view=view: measured.see_transformed(transform, view))
            )
        with Launches() as choosing:
            measured.choose_partners(GROUPS // 4)
    return {
        "representations": len(representations),
        "reference": reference,
        "mean": fmean(launched for launched, _ in transformed),
        "largest": max(launched for launched, _ in transformed),
        "flops": fmean(share for _, share in transformed),
        "choosing": choosing.counts.total() / len(representations) / len(transforms),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--similarity", choices=["correlation", "cosine", "both"], default="correlation")
    options = parser.parse_args()
    print(f"{'model':42} representations reference transformed (largest) choosing flops", flush=True)
    for model in options.models:
        counted = launches(model, options.batch_size, options.images, similarity=options.similarity)
        print(
            f"{model:42} {counted['representations']:15d} {counted['reference']:9.1f} {counted['mean']:11.1f} "
            f"{counted['largest']:9.1f} {counted['choosing']:8.1f} {counted['flops']:5.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
