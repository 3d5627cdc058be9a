"""Where the depth of each family is measured, for every model of the mission."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from worker.blocks import FAMILIES, Depth, Tap, depth
from worker.errors import AuditError

# Model, family; first, last block; how many blocks; Pool; classifier.
EXPECTED = [
    ("timm/resnext101_32x8d", "resnet", "act1", "layer4.2", 34, "global_pool", "fc"),
    ("torchvision/resnext101_32x8d", "resnet", "relu", "layer4.2", 34, "avgpool", "fc"),
    ("timm/inception_v3", "inception_v3", "Conv2d_1a_3x3", "Mixed_7c", 16, "global_pool", "fc"),
    ("torchvision/inception_v3", "inception", "Conv2d_1a_3x3", "Mixed_7c", 16, "avgpool", "fc"),
    ("timm/tf_efficientnet_b0", "efficientnet", "bn1", "bn2", 18, "global_pool", "classifier"),
    ("timm/tf_efficientnet_b7", "efficientnet", "bn1", "bn2", 57, "global_pool", "classifier"),
    ("torchvision/efficientnet_b0", "efficientnet", "features.0", "features.8", 18, "avgpool", "classifier"),
    ("timm/vit_base_patch16_224", "vision_transformer", "patch_embed", "blocks.11", 13, "head_drop", "head"),
    (
        "torchvision/vit_b_16",
        "vision_transformer",
        "conv_proj",
        "encoder.layers.encoder_layer_11",
        13,
        "encoder.ln",
        "heads",
    ),
    ("timm/mixer_b16_224", "mlp_mixer", "stem", "blocks.11", 13, "head_drop", "head"),
]


def build(name: str) -> nn.Module:
    """On the meta device: the structure without the weights."""
    source, _, architecture = name.partition("/")
    with torch.device("meta"):
        if source == "timm":
            return timm.create_model(architecture)
        extra = {"init_weights": False} if architecture == "inception_v3" else {}
        return torchvision.models.get_model(architecture, weights=None, **extra)


@pytest.mark.parametrize(("name", "family", "first", "last", "count", "pool", "classifier"), EXPECTED)
def test_the_blocks_of_the_mission(
    name: str, family: str, first: str, last: str, count: int, pool: str, classifier: str
) -> None:
    module = build(name)
    found = depth(module, name.partition("/")[0], family)
    assert (found.blocks[0].name, found.blocks[-1].name, len(found.blocks)) == (first, last, count)
    assert (found.pool, found.classifier, found.has_final) == (pool, classifier, True)
    for tap in found.blocks:
        module.get_submodule(tap.name)


def test_inception_has_the_units_of_its_stem_and_all_mixed_modules() -> None:
    names = [tap.name for tap in depth(build("timm/inception_v3"), "timm", "inception_v3").blocks]
    stem = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
    mixed = ["5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"]
    assert names == stem + [f"Mixed_{name}" for name in mixed]


@pytest.mark.parametrize(
    ("name", "prefix"), [("timm/vit_base_patch16_224", 1), ("timm/test_vit3", 1), ("torchvision/vit_b_16", 1)]
)
def test_tokens_have_their_grid_and_prefix(name: str, prefix: int) -> None:
    found = depth(build(name), name.partition("/")[0], "vision_transformer")
    assert {tap.prefix_tokens for tap in found.blocks[1:]} == {prefix}
    assert {tap.layout for tap in found.blocks[1:]} == {"NLC"}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 13, 18, 34])
def test_the_three_parts_are_those_of_array_split(count: int) -> None:
    parts = Depth(tuple(Tap(str(i)) for i in range(count)), "pool", "fc").parts()
    chunks = np.array_split(np.arange(count), 3)
    assert [parts.count(name) for name in ("Early", "Middle", "Late")] == [len(chunk) for chunk in chunks]


def test_a_model_without_a_classifier_has_no_final() -> None:
    module = timm.create_model("test_vit", num_classes=0)
    assert not depth(module, "timm", "vision_transformer").has_final


def test_an_unsupported_family_is_refused_by_name() -> None:
    with pytest.raises(AuditError) as refused:
        depth(nn.Identity(), "timm", "swin_transformer")
    assert "swin_transformer" in refused.value.problem.detail
    assert all(name in refused.value.problem.detail for _, name in FAMILIES)


def test_a_layout_that_the_output_contradicts_is_an_error_not_a_number() -> None:
    with pytest.raises(AuditError, match="NLC"):
        Tap("x", "NLC", (7, 7), 1).feature_map(torch.zeros(1, 49, 8))
    with pytest.raises(AuditError, match="NCHW"):
        Tap("x").feature_map(torch.zeros(1, 49, 8))


def test_feature_maps_are_views_with_the_channels_last() -> None:
    nchw = torch.arange(24.0).view(1, 2, 3, 4)
    assert torch.equal(Tap("x").feature_map(nchw)[0, 1, 2], nchw[0, :, 1, 2])
    tokens = torch.arange(14.0).view(1, 7, 2)
    assert torch.equal(Tap("x", "NLC", (2, 3), 1).feature_map(tokens)[0, 1, 2], tokens[0, 6])
