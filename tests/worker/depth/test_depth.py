"""Where the depth of a model is measured: its blocks, how they are laid out, Pool and Final."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from worker.depth.depth import Depth, find_depth
from worker.depth.layout import Tap
from worker.errors import AuditError

# Model; first, last block; how many blocks; Pool; classifier.
EXPECTED = [
    ("timm/resnext50_32x4d", "act1", "layer4.2", 17, "global_pool", "fc"),
    ("torchvision/resnext50_32x4d", "relu", "layer4.2", 17, "avgpool", "fc"),
    ("timm/inception_v3", "Conv2d_1a_3x3", "Mixed_7c", 16, "global_pool", "fc"),
    ("torchvision/inception_v3", "Conv2d_1a_3x3", "Mixed_7c", 16, "avgpool", "fc"),
    ("timm/tf_efficientnet_b0", "bn1", "bn2", 18, "global_pool", "classifier"),
    ("torchvision/efficientnet_b0", "features.0", "features.8", 18, "avgpool", "classifier.1"),
    ("timm/vit_small_patch16_224", "patch_embed", "blocks.11", 13, "norm", "head"),
    ("torchvision/vit_b_16", "conv_proj", "encoder.layers.encoder_layer_11", 13, "encoder", "heads.head"),
    ("timm/mixer_s16_224", "stem", "blocks.7", 9, "norm", "head"),
    # A stage's blocks, a stem that is a container, several children of one container.
    ("timm/test_convnext", "stem", "stages.3.blocks.1", 10, "head.norm", "head.fc"),
    ("timm/pvt_v2_b0", "patch_embed", "stages.3.blocks.1", 9, "stages", "head"),
    ("timm/vgg11", "features.1", "features.19", 8, "head.global_pool", "head.fc"),
    ("torchvision/mnasnet0_5", "layers.2", "layers.16", 20, "layers", "classifier.1"),
    ("torchvision/shufflenet_v2_x0_5", "conv1.2", "conv5.2", 18, "conv5", "fc"),
    # Windows: what their blocks give is no map, what the level around them gives is.
    ("timm/nest_tiny", "patch_embed", "levels.2", 4, "global_pool", "head"),
]


def built(name: str) -> tuple[nn.Module, int]:
    source, _, architecture = name.partition("/")
    torch.manual_seed(0)
    if source == "timm":
        module = timm.create_model(architecture)
        return module.eval(), module.pretrained_cfg["input_size"][-1]
    extra = {"init_weights": False} if architecture in ("inception_v3", "googlenet") else {}
    crop = torchvision.models.get_model_weights(architecture).DEFAULT.transforms().crop_size[0]
    return torchvision.models.get_model(architecture, weights=None, **extra).eval(), crop


@pytest.mark.parametrize(("name", "first", "last", "count", "pool", "classifier"), EXPECTED)
def test_the_blocks_of_a_model(name: str, first: str, last: str, count: int, pool: str, classifier: str) -> None:
    module, size = built(name)
    depth = find_depth(module, size)
    assert (depth.blocks[0].name, depth.blocks[-1].name, len(depth.blocks)) == (first, last, count)
    assert (depth.pool, depth.classifiers, depth.ends()) == (pool, (classifier,), ("Pool", "Final"))
    for tap in depth.blocks:
        module.get_submodule(tap.name)


def test_inception_has_the_units_of_its_stem_and_all_mixed_modules() -> None:
    names = [tap.name for tap in find_depth(*built("timm/inception_v3")).blocks]
    stem = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
    mixed = ["5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"]
    assert names == stem + [f"Mixed_{name}" for name in mixed]


# Layout; grid and prefix tokens of the last block.
LAYOUTS = [
    ("timm/test_resnet", "NCHW", (1, 1), 0),
    ("timm/swin_tiny_patch4_window7_224", "NHWC", (1, 1), 0),
    ("torchvision/swin_t", "NHWC", (1, 1), 0),
    ("timm/test_mambaout", "NHWC", (1, 1), 0),
    ("timm/gmlp_ti16_224", "NLC", (14, 14), 0),
    ("timm/test_vit", "NLC", (10, 10), 1),
    ("timm/deit_tiny_distilled_patch16_224", "NLC", (14, 14), 2),
    ("timm/vit_tiny_patch16_dinov3_qkvb", "NLC", (16, 16), 5),
    ("timm/levit_128s", "NLC", (4, 4), 0),
    ("timm/hiera_tiny_224", "NHWC", (1, 1), 0),
]


@pytest.mark.parametrize(("name", "layout", "grid", "prefix"), LAYOUTS)
def test_layouts_are_seen(name: str, layout: str, grid: tuple[int, int], prefix: int) -> None:
    last = find_depth(*built(name)).blocks[-1]
    assert (last.layout, last.grid, last.prefix_tokens) == (layout, grid, prefix)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 13, 18, 34])
def test_the_three_parts_are_those_of_array_split(count: int) -> None:
    parts = Depth(tuple(Tap(str(i)) for i in range(count)), "pool", ("fc",)).parts()
    chunks = np.array_split(np.arange(count), 3)
    assert [parts.count(name) for name in ("Early", "Middle", "Late")] == [len(chunk) for chunk in chunks]
    assert parts[-2:] == ("Pool", "Final")


def test_a_model_without_a_classifier_has_no_final() -> None:
    depth = find_depth(timm.create_model("test_vit", num_classes=0).eval(), 160)
    assert depth.absent == (("Final", "the model has no classifier"),)
    assert depth.ends() == ("Pool",)


def test_a_model_that_pools_after_its_classifier_has_no_pool() -> None:
    depth = find_depth(*built("torchvision/squeezenet1_1"))
    assert [name for name, _ in depth.absent] == ["Pool"]
    assert "pools after" in depth.absent[0][1]
    assert all(not tap.name.startswith("classifier") for tap in depth.blocks)


def test_several_heads_are_side_by_side() -> None:
    assert find_depth(*built("timm/deit_tiny_distilled_patch16_224")).classifiers == ("head", "head_dist")
    assert find_depth(*built("timm/crossvit_tiny_240")).classifiers == ("head.0", "head.1")
    # timm calls the whole head the classifier, which pools first.
    sequencer = find_depth(*built("timm/sequencer2d_s"))
    assert (sequencer.classifiers, sequencer.absent) == (("head.fc",), ())
    # VOLO's second classifier is for tokens, and no block either.
    volo = find_depth(*built("timm/volo_d1_224"))
    assert volo.classifiers == ("head",)
    assert "aux_head" not in [tap.name for tap in volo.blocks]


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
