"""Names of models: resolution, suggestions, search, and what is refused before a worker sees it."""

import time

import pytest
from zooaudit.contract import (
    DEPTHS_KEY,
    WANTED_DEPTHS_KEY,
    Catalogue,
    DepthBlock,
    ModelDepth,
    ModelDetail,
    ModelList,
    ModelName,
    find_entry,
    full_names,
    published_relatives,
)

from service import model_depths
from service.catalogue import search
from tests.fakes import ASK, CATALOGUE, entry, is_problem


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("timm/resnet50.a1_in1k", ("timm", "resnet50", "a1_in1k")),
        ("torchvision/resnet18", ("torchvision", "resnet18", None)),
        ("module/mynet.small", ("module", "mynet.small", None)),
        ("resnet50.tv_in1k", (None, "resnet50", "tv_in1k")),
        ("vit_b_16", (None, "vit_b_16", None)),
        ("timm/resnet50.tag.with.dots", ("timm", "resnet50", "tag.with.dots")),
        ("a/b/c.", ("a/b", "c", "")),
        ("/", ("", "", None)),
    ],
)
def test_a_name_is_taken_apart_and_put_together_again(name: str, parts: tuple[str | None, ...]) -> None:
    assert ModelName.parse(name) == parts
    assert str(ModelName.parse(name)) == name


def test_every_full_name_of_an_entry_means_that_entry() -> None:
    for one in CATALOGUE.entries:
        for name in full_names(one):
            assert find_entry(name, CATALOGUE.entries) == (one, name)
        assert find_entry(one.name, CATALOGUE.entries) == (one, full_names(one)[0])


def test_a_bare_name_means_an_architecture_of_the_operator_only_where_no_zoo_has_it() -> None:
    entries = (entry("own/resnet18"), entry("own/mynet"), *CATALOGUE.entries)
    found = {name: find_entry(name, entries) for name in ("resnet18", "vit_b_16", "mynet", "own/resnet18", "mynet.tag")}
    assert {name: full and full[1] for name, full in found.items()} == {
        "resnet18": "timm/resnet18.a1_in1k",
        "vit_b_16": "torchvision/vit_b_16",
        "mynet": "own/mynet",
        "own/resnet18": "own/resnet18",
        "mynet.tag": None,
    }


def test_an_entry_with_weights_is_the_nearest_of_its_own_relatives() -> None:
    entries = (
        entry("timm/resnet18d", "a"),
        entry("timm/resnet18", "a"),
        entry("timm/resnet34"),
        entry("timm/vit", "a"),
    )
    assert [relative.name for relative in published_relatives(entries[1], entries)][:2] == [
        "timm/resnet18",
        "timm/resnet18d",
    ]
    assert "timm/resnet34" not in [relative.name for relative in published_relatives(entries[2], entries)]


@pytest.mark.parametrize(
    ("asked", "full"),
    [
        ("timm/resnet50", "timm/resnet50.a1_in1k"),
        ("timm/resnet50.tv_in1k", "timm/resnet50.tv_in1k"),
        ("resnet50", "timm/resnet50.a1_in1k"),
        ("resnet50.tv_in1k", "timm/resnet50.tv_in1k"),
        ("resnet18", "timm/resnet18.a1_in1k"),
        ("torchvision/resnet18", "torchvision/resnet18"),
        ("vit_b_16", "torchvision/vit_b_16"),
    ],
)
async def test_a_name_is_completed(http, asked, full):
    answer = await http.post("/audit", json=ASK | {"model": asked})
    assert answer.status_code == 202
    assert answer.json()["request"]["model"] == full


async def test_an_architecture_without_tags_stays_bare(http):
    answer = await http.post("/audit", json=ASK | {"model": "efficientnet_b7", "weights": "untrained"})
    assert answer.json()["request"]["model"] == "timm/efficientnet_b7"


@pytest.mark.parametrize(
    ("asked", "suggestion"),
    [
        ("timm/resnet5", "timm/resnet50"),
        ("rsnet18", "timm/resnet18"),
        ("timm/vit_b_16", "torchvision/vit_b_16"),
        ("torchvision/resnet50", "timm/resnet50"),
        ("timm/resnet50.tv_in2k", "timm/resnet50.tv_in1k"),
        ("timm/resnet50.nonsense", "timm/resnet50.a1_in1k"),
        ("hub/resnext101_32x8d", "timm/resnext101_32x8d"),
    ],
)
async def test_an_unknown_name_brings_close_ones(http, asked, suggestion):
    answer = await http.post("/audit", json=ASK | {"model": asked})
    assert is_problem(answer, 422, "unknown-model")
    assert suggestion in answer.json()["suggestions"]
    assert suggestion in answer.json()["detail"]
    assert is_problem(await http.get(f"/models/{asked}"), 404, "unknown-model")


async def test_a_name_like_no_other_brings_none(http):
    answer = await http.post("/audit", json=ASK | {"model": "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"})
    assert is_problem(answer, 422, "unknown-model")
    assert answer.json()["suggestions"] == []


async def test_an_unsupported_model_is_refused_with_the_reason(http):
    answer = await http.post("/audit", json=ASK | {"model": "swin_tiny"})
    assert is_problem(answer, 422, "unsupported-model")
    assert "swin is not among the families" in answer.json()["detail"]


async def test_a_model_without_weights_names_relatives_that_have_them(http):
    answer = await http.post("/audit", json=ASK | {"model": "efficientnet_b7"})
    assert is_problem(answer, 422, "weights-not-published")
    assert answer.json()["suggestions"] == ["timm/tf_efficientnet_b7"]


@pytest.mark.parametrize(
    ("change", "slug", "words"),
    [
        ({"dataset": "imagenet-val"}, "unknown-dataset", ["imagenet-val", "photos", "synthetic"]),
        ({"dataset": "photos", "num_images": 21}, "too-few-images", ["21", "20"]),
        ({"model": "test_vit", "translations_px": [1, 100]}, "shift-too-large", ["100", "99"]),
        (
            {"model": "test_vit", "warps": [{"kind": "translation", "amounts": [-100.5, 1]}]},
            "shift-too-large",
            ["100.5", "99"],
        ),
    ],
)
async def test_what_cannot_be_measured_is_refused_at_once(http, change, slug, words):
    answer = await http.post("/audit", json=ASK | change)
    assert is_problem(answer, 422, slug)
    assert all(word in answer.json()["detail"] for word in words)


async def test_as_many_images_as_there_are_is_fine(http):
    assert (await http.post("/audit", json=ASK | {"dataset": "photos", "num_images": 20})).status_code == 202


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"q": "RESNET18"}, ["timm/resnet18", "torchvision/resnet18"]),
        ({"q": "fb_wsl"}, ["timm/resnext101_32x8d"]),
        ({"q": "ResNeXt 101  fb"}, ["timm/resnext101_32x8d"]),
        ({"family": "vision_transformer", "source": "torchvision"}, ["torchvision/vit_b_16"]),
        ({"q": "resn", "limit": 1, "offset": 2}, ["timm/resnext101_32x8d"]),
        ({"q": "resnet-18"}, ["timm/resnet18", "torchvision/resnet18"]),
        ({"q": "ViT-B/16"}, ["torchvision/vit_b_16"]),
        ({"q": "none of them"}, []),
        ({"q": "?!"}, []),
    ],
)
async def test_search(http, params, names):
    answered = ModelList.model_validate_json((await http.get("/models", params=params)).content)
    assert [entry.name for entry in answered.models] == names
    assert answered.total == (4 if "limit" in params else len(names))


@pytest.mark.parametrize("query", ["source=keras", "limit=0", "offset=-1", "q=" + "x" * 129])
async def test_a_bad_search_is_422(http, query):
    assert is_problem(await http.get(f"/models?{query}"), 422, "invalid-request")


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("timm/resnet50", "timm/resnet50.a1_in1k"),
        ("resnet50", "timm/resnet50.a1_in1k"),
        ("timm/resnet50.tv_in1k", "timm/resnet50.tv_in1k"),
    ],
)
async def test_one_model(http, redis, name, full):
    answer = await http.get(f"/models/{name}")
    detail = ModelDetail.model_validate_json(answer.content)
    assert (detail.name, detail.full_name, detail.blocks) == ("timm/resnet50", full, None)
    assert detail.blocks_reason == "No worker is running that could find them."
    assert answer.headers["Retry-After"] == "2"
    assert redis.zrange(WANTED_DEPTHS_KEY, 0, -1) == [full.encode()]


async def test_the_depth_of_a_model_is_what_a_worker_has_found(http, redis):
    block = DepthBlock(name="layer1", part="Early", channels=8, height=7, width=7, layout="NCHW")
    depth = ModelDepth(input_size=288, parameters=25, blocks=(block,))
    redis.hset(DEPTHS_KEY, "timm/resnet50.tv_in1k", depth.model_dump_json())
    answer = await http.get("/models/resnet50.tv_in1k")
    detail = ModelDetail.model_validate_json(answer.content)
    assert (detail.input_size, detail.parameters, detail.blocks, detail.blocks_reason) == (288, 25, (block,), None)
    assert "Retry-After" not in answer.headers
    assert not redis.exists(WANTED_DEPTHS_KEY)


async def test_a_question_that_no_worker_takes_is_a_trouble(http, redis, monkeypatch):
    monkeypatch.setattr(model_depths, "WAIT_S", 0.1)
    redis.sadd("rq:workers:audits", "rq:worker:one")
    redis.hset("rq:worker:one", "last_heartbeat", "x")
    detail = ModelDetail.model_validate_json((await http.get("/models/timm/resnet50")).content)
    assert detail.blocks_reason == "A worker is finding them; ask again."
    assert (await http.get("/health")).json()["status"] == "ok"
    redis.zadd(WANTED_DEPTHS_KEY, {"timm/resnet50.a1_in1k": time.time() - model_depths.LATE_S})
    detail = ModelDetail.model_validate_json((await http.get("/models/timm/resnet50")).content)
    assert "No worker has begun to look for them" in detail.blocks_reason
    assert "No worker looks for the blocks of models" in (await http.get("/health")).json()["reasons"][0]


async def test_a_model_that_cannot_be_audited_has_no_depth_and_says_why(http, redis):
    detail = ModelDetail.model_validate_json((await http.get("/models/swin_tiny")).content)
    assert (detail.supported, detail.blocks, detail.blocks_reason) == (False, None, detail.reason)
    assert not redis.exists(WANTED_DEPTHS_KEY)


def test_an_architecture_of_that_name_comes_before_those_with_such_a_tag() -> None:
    catalogue = Catalogue(entries=(entry("timm/convnext", "dino_lvd"), entry("timm/vit_dino", "lvd")), datasets={})
    assert [entry.name for entry in search(catalogue, "DINO lvd", None, None)] == [
        "timm/convnext",
        "timm/vit_dino",
    ]
    assert [entry.name for entry in search(catalogue, "dino", None, None)] == [
        "timm/vit_dino",
        "timm/convnext",
    ]


def test_an_architecture_of_that_name_comes_before_those_that_contain_it() -> None:
    names = ("timm/cspresnet50", "timm/resnet50_gn", "timm/resnet50", "torchvision/resnet50")
    catalogue = Catalogue(entries=tuple(entry(name) for name in names), datasets={})
    names = [entry.name for entry in search(catalogue, "ResNet 50", None, None)]
    assert names == ["timm/resnet50", "torchvision/resnet50", "timm/resnet50_gn", "timm/cspresnet50"]
