"""What a batch makes a GPU do, counted on the CPU: few kernels, and nothing that the host would have to wait for."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from zooaudit.contract import AuditRequest

from benchmarks.kernels import Launches, launches
from worker.audit import run
from worker.measure import passes

# Small relatives of the five families, and of ConvNeXt, Swin and RegNet.
MODELS = [
    "timm/resnext26ts",
    "torchvision/inception_v3",
    "timm/test_efficientnet",
    "timm/test_vit",
    "timm/mixer_s32_224",
    "timm/test_convnext",
    "timm/swin_tiny_patch4_window7_224",
    "timm/regnetx_002",
]
ASKED = {"translations_px": (1, 16), "rotations_deg": (90,)}


@pytest.mark.parametrize("model", MODELS)
def test_a_transform_of_a_batch_is_at_most_twelve_launches_for_each_representation(model: str) -> None:
    counted = launches(model, 1, 2000, **ASKED)
    assert counted["largest"] <= 12
    assert counted["reference"] <= 25


@pytest.mark.parametrize("asked", [{"similarity": "both"}, {"border": "all"}, {"similarity": "cosine"}])
def test_any_request_launches_as_few(asked: dict[str, Any]) -> None:
    counted = launches("timm/test_efficientnet", 3, 2000, **ASKED, **asked)
    assert counted["largest"] <= 12
    assert counted["reference"] <= 25


def test_launches_depend_neither_on_the_batch_size_nor_on_the_sample() -> None:
    counts = [launches("timm/test_resnet", *sizes, **ASKED) for sizes in ((1, 2000), (2, 2), (16, 20))]
    assert counts == [pytest.approx(counts[0])] * len(counts)


def test_counting_sees_kernels_and_no_views() -> None:
    with Launches() as counted:
        torch.ones(4, 4).T.reshape(2, 8).add_(1).sum(0)
    assert {"aten.ones.default", "aten.clone.default", "aten.add_.Tensor", "aten.sum.dim_IntList"} <= set(
        counted.counts
    )
    assert not {"aten.t.default", "aten.view.default", "aten.transpose.int"} & set(counted.counts)


class Waiting(AssertionError):
    """An operation that has to know what the device has computed."""


class NoWaiting(TorchDispatchMode):
    """Within this context, refuse every operation for which the host would wait for a GPU."""

    def __torch_dispatch__(
        self, function: OpOverload, _types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        shaped_by_data = torch.Tag.dynamic_output_shape in function.tags
        if name in ("_local_scalar_dense", "item", "equal", "is_nonzero") or shaped_by_data:
            raise Waiting(str(function))
        return function(*args, **(kwargs or {}))


def test_refusing_to_wait_refuses() -> None:
    values = torch.tensor([1.0, 2.0])
    for asks in (lambda: values[0].item(), lambda: bool(values.sum() > 0), lambda: values[values > 1]):
        with NoWaiting(), pytest.raises(Waiting):
            asks()


@pytest.mark.parametrize("model", ["timm/test_efficientnet", "timm/test_vit"])
def test_the_host_never_waits_while_a_pass_runs(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measure, passed = passes.measure, []

    def watched(*arguments: Any) -> Any:
        with NoWaiting():
            passed.append(measure(*arguments))
        return passed[-1]

    monkeypatch.setattr(passes, "measure", watched)
    # Whether a provisional score is due is asked after each batch; that one is computed is not waiting in the loop.
    monkeypatch.setattr(passes, "_enough", lambda *_arguments: lambda _measured: False)
    request = AuditRequest(
        model=model, weights="untrained", dataset="synthetic", num_images=8, border="all", similarity="both", **ASKED
    )
    report = run(request, batch_size=3, decode_processes=0)
    assert report.images.count == 8
    assert passed
