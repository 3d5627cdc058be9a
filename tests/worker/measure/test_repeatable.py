"""Models that do not repeat themselves are refused before they are measured, and honest ones never are."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from zooaudit.contract import AuditRequest

from worker import audit, zoo
from worker.audit import run
from worker.depth import Representation
from worker.errors import AuditError
from worker.measure.forward import Subject
from worker.measure.repeatable import refuse_unrepeatable
from worker.measure.transforms import Views
from worker.zoo.own import from_module

REQUEST = AuditRequest(
    model="module/own",
    weights="checkpoint:own",
    dataset="synthetic",
    num_images=4,
    translations_px=(4,),
    rotations_deg=(90,),
)


class Net(nn.Module):
    """Three blocks and a classifier; ``between`` changes the maps between the blocks."""

    def __init__(self, **norm: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        widths = (3, 8, 12, 16)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o, **norm), nn.GELU()) for i, o in pairwise(widths)
        )
        self.fc = nn.Linear(16, 10)

    def between(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Any:
        for block in self.blocks:
            x = self.between(block(x))
        return self.fc(x.mean((2, 3)))


class Dropping(Net):
    def between(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.01)


class SkippingBlocks(Net):
    """Stochastic depth that is left on."""

    def between(self, x: Tensor) -> Tensor:
        return x * torch.empty(len(x), 1, 1, 1).bernoulli_(0.5)


class Counting(Net):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def between(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls / 100


class Noisy(Net):
    def between(self, x: Tensor) -> Tensor:
        return x + 1e-3 * torch.randn_like(x)


class AcrossTheBatch(Net):
    def between(self, x: Tensor) -> Tensor:
        return x - x.mean(0, keepdim=True) / 10


class BySizeOfTheBatch(Net):
    def between(self, x: Tensor) -> Tensor:
        return x / len(x)


class AlwaysTraining(Net):
    def forward(self, x: Tensor) -> Any:
        for block in self.blocks:
            block[1].training = True
        return super().forward(x)


class NotANumber(Net):
    def between(self, x: Tensor) -> Tensor:
        return (x - x.mean((2, 3), keepdim=True)).sqrt()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Dropping, "another each time"),
        (Noisy, "another each time"),
        (SkippingBlocks, "another each time"),
        (Counting, "another each time"),
        (AlwaysTraining, "depends on the other images of its batch"),
        (lambda: Net(track_running_stats=False), "depends on the other images of its batch"),
        (AcrossTheBatch, "depends on the other images of its batch"),
        (BySizeOfTheBatch, "depends on the other images of its batch"),
        (NotANumber, "no numbers"),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_does_not_repeat_itself_is_refused(make: Any, said: str, precision: str) -> None:
    torch.manual_seed(1)
    blocks = ["blocks.0", "blocks.1", "blocks.2"]
    with pytest.raises(AuditError, match=said) as raised:
        run(
            REQUEST.model_copy(update={"precision": precision}),
            model=from_module(make(), "own", 64, blocks, layout="NCHW"),
        )
    assert raised.value.problem.type.endswith("unrepeatable-model")


def checked(module: nn.Module, **how: Any) -> int:
    """Check ``module``, and return how many images it saw in doing so."""
    loaded = from_module(module, "own", 64, **how)
    subject, representations = audit.prepare(loaded, loaded.module, REQUEST, Views(64, 4), torch.device("cpu"))
    return images_seen(subject, representations, 64)


def images_seen(subject: Subject, representations: tuple[Representation, ...], size: int) -> int:
    seen: list[int] = []
    with subject.module.register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0]))):
        refuse_unrepeatable(subject, representations, size)
    return sum(seen)


def test_an_honest_model_passes_for_the_price_of_ten_images() -> None:
    assert checked(Net()) == 10


def test_features_that_rounding_dominates_are_no_reason_to_refuse() -> None:
    class NearlyConstant(Net):
        def between(self, x: Tensor) -> Tensor:
            return 1 + x * 1e-7

    checked(NearlyConstant())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "name", ["timm/xcit_nano_12_p16_224", "timm/test_efficientnet", "timm/test_vit", "torchvision/shufflenet_v2_x0_5"]
)
def test_models_of_the_zoos_pass(name: str, precision: str) -> None:
    loaded = zoo.load(name, "untrained", lambda _progress: None)
    size = loaded.preprocessing.input_size
    request = REQUEST.model_copy(update={"precision": precision})
    subject, representations = audit.prepare(loaded, loaded.module, request, Views(size, 4), torch.device("cpu"))
    assert images_seen(subject, representations, size) == 10


@dataclass
class Output:
    """As Hugging Face's models return."""

    loss: Tensor | None
    hidden_states: tuple[Tensor, ...]
    logits: Tensor


class Returning(Net):
    """Returns its logits and features in the form that ``how`` names."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Any:
        for block in self.blocks:
            x = block(x)
        features = x.mean((2, 3))
        logits = self.fc(features)
        return {
            "dict": {"logits": logits},
            "dict of both": {"features": features, "logits": logits},
            "tuple": (logits, features),
            "list": [features, logits],
            "data class": Output(None, (x, features), logits),
            "softmax": (features, logits.softmax(1)),
        }[self.how]


@pytest.mark.parametrize("how", ["dict", "dict of both", "tuple", "list", "data class"])
def test_the_final_of_a_model_that_returns_several_tensors_is_what_its_classifier_gives(how: str) -> None:
    plain = run(REQUEST, model=from_module(Net(), "own", 64))
    wrapped = run(REQUEST, model=from_module(Returning(how), "own", 64))
    assert wrapped.parts == plain.parts
    assert wrapped.parts["Final"].translation.by_transform[0].top1_agreement is not None


def test_a_model_whose_output_is_not_known_among_several_has_no_final() -> None:
    report = run(REQUEST, model=from_module(Returning("softmax"), "own", 64))
    assert "Final" in report.parts
    assert report.parts["Final"].translation.channel is None
    assert report.parts["Late"].translation.channel is not None


def test_the_check_computes_in_float32_whatever_the_audit_does() -> None:
    seen: list[bool] = []
    loaded = from_module(Net(), "own", 64)
    request = REQUEST.model_copy(update={"precision": "bfloat16"})
    subject, representations = audit.prepare(loaded, loaded.module, request, Views(64, 4), torch.device("cpu"))
    with subject.module.register_forward_pre_hook(
        lambda _module, _inputs: seen.append(torch.is_autocast_enabled("cpu"))
    ):
        refuse_unrepeatable(replace(subject, precision="bfloat16"), representations, 64)
    assert not any(seen)
