"""Folded batch norms: the same network to rounding, and none folded whose input something else sees."""

import pytest
import torch
from torch import Tensor, nn

from worker import zoo
from worker.measure.fold import Trace
from worker.measure.forward import Subject, find_representations


def trained(module: nn.Module) -> nn.Module:
    """As if trained: batch norms that do something."""
    generator = torch.Generator().manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean = torch.randn(norm.num_features, generator=generator) / 10
            norm.running_var = torch.rand(norm.num_features, generator=generator) + 0.5
            norm.weight.data = torch.rand(norm.num_features, generator=generator) + 0.5
            norm.bias.data = torch.randn(norm.num_features, generator=generator) / 10
    return module.eval()


def fold(module: nn.Module) -> int:
    with torch.inference_mode(), Trace() as trace:
        module(torch.zeros(1, 3, 16, 16))
    return trace.fold(module)


@pytest.mark.parametrize(
    "name",
    [
        "timm/resnet18.a1_in1k",
        "torchvision/inception_v3",
        "timm/test_efficientnet.r160_in1k",
        "torchvision/efficientnet_b0",
        "timm/test_vit.r160_in1k",
    ],
)
def test_every_batch_norm_of_the_families_folds_and_changes_nothing(name: str) -> None:
    model = zoo.load(name, "untrained", lambda _progress: None)
    # torchvision's auxiliary classifier does not run.
    norms = sum(
        isinstance(item, nn.BatchNorm2d) for path, item in model.module.named_modules() if "AuxLogits" not in path
    )
    taps = model.depth
    subject = Subject(trained(model.module), taps, (0.5,) * 3, (0.25,) * 3, "float32", torch.device("cpu"))
    view = torch.randn(2, 3, model.preprocessing.input_size, model.preprocessing.input_size)
    before: list[Tensor] = []
    after: list[Tensor] = []
    with torch.inference_mode():
        with Trace() as trace:
            find_representations(subject, model.preprocessing.input_size)
        subject.forward(view, lambda _index, maps: before.append(maps.clone()))
        assert trace.fold(subject.module) == norms
        subject.forward(view, lambda _index, maps: after.append(maps.clone()))
    for mine, theirs in zip(after, before, strict=True):
        assert torch.dist(mine, theirs) < 1e-4 * theirs.std() * theirs.numel() ** 0.5


class Seen(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        match self.how:
            case "plainly":
                return self.norm(y)
            case "beside a skip":
                return self.norm(y) + y
            case "after another use of its weights":
                return self.norm(self.conv(y))
            case "twice":
                return self.norm(self.norm(y))
            case "after a nonlinearity":
                return self.norm(y.relu())
        raise ValueError(self.how)


@pytest.mark.parametrize(
    ("how", "folded"),
    [
        ("plainly", 1),
        ("beside a skip", 0),
        ("after another use of its weights", 0),
        ("twice", 0),
        ("after a nonlinearity", 0),
    ],
)
def test_a_batch_norm_folds_only_where_that_changes_nothing(how: str, folded: int) -> None:
    module = trained(Seen(how))
    image = torch.randn(1, 3, 16, 16)
    with torch.inference_mode():
        before = module(image)
        assert fold(module) == folded
        torch.testing.assert_close(module(image), before)


def test_a_convolution_that_is_itself_measured_stays() -> None:
    module = trained(Seen("plainly"))
    measured: list[Tensor] = []
    module.conv.register_forward_hook(lambda _module, _inputs, output: measured.append(output.permute(0, 2, 3, 1)))
    assert fold(module) == 0
    assert measured
