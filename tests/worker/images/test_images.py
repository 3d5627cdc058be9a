"""Data sets, samples and canvases, on real photographs in every form that data sets hold."""

import gc
import hashlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
import timm
import torch
import torchvision
from PIL import Image
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from zooaudit.contract import ModelName

from examples.photographs import photograph
from worker.errors import AuditError
from worker.images.canvas import Preprocessing, canvas
from worker.images.dataset import (
    choose,
    count,
    list_sha256,
    listing,
    load_file,
    open_dataset,
)
from worker.images.decoding import Canvases
from worker.zoo import timm as timm_zoo
from worker.zoo import torchvision as torchvision_zoo

BICUBIC = Preprocessing(224, 248, Image.Resampling.BICUBIC, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SIZES = [(500, 375), (375, 500), (224, 224), (301, 299), (97, 640), (1, 1)]


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_listing_finds_images_in_folders_and_leaves_out_the_rest(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPEG", "a/c.png", "a.jpg", "a/d/e.TIFF", "Z.webp", "é.gif", "10.ppm", "9.bmp")
    touch(tmp_path, "notes.txt", ".hidden.jpg", ".cache/f.jpg", "a/.g.png", "jpg", "no-dot-png")
    (tmp_path / "folder.jpg").mkdir()
    assert listing(tmp_path) == ["10.ppm", "9.bmp", "Z.webp", "a.jpg", "a/c.png", "a/d/e.TIFF", "b.JPEG", "é.gif"]
    assert count(tmp_path) == 8


def test_listing_is_sorted_as_bytes_and_survives_names_that_are_not_utf_8(tmp_path: Path) -> None:
    touch(tmp_path, "\U0001f600.jpg", "\uffee.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.jpg")).touch()
    names = listing(tmp_path)
    assert [os.fsencode(name) for name in names] == sorted(os.fsencode(name) for name in names)
    assert list_sha256(names) == hashlib.sha256(b"\xef\xbf\xae.jpg\n\xf0\x9f\x98\x80.jpg\n\xff\xfe.jpg").hexdigest()


def test_listing_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "x.jpg")
    touch(tmp_path / "data", "a/y.jpg")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "a" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "dangling.jpg").symlink_to(tmp_path / "nothing")
    assert listing(tmp_path / "data") == ["a/y.jpg", "linked/x.jpg"]


def test_a_folder_that_links_reach_several_times_counts_once_at_its_first_path(tmp_path: Path) -> None:
    touch(tmp_path, "data/b-c/1.jpg", "data/b/2.jpg", "data/z/deep/3.jpg")
    for link, target in (("b/twice", "b-c"), ("a", "z"), ("zz", "z/deep"), ("b/loop", "b")):
        (tmp_path / "data" / link).symlink_to(tmp_path / "data" / target)
    (tmp_path / "data" / "itself.jpg").symlink_to("itself.jpg")
    (tmp_path / "data" / "under-a-file").symlink_to(tmp_path / "data/b/2.jpg/nothing")
    # In the order of byte strings "a/" comes before "b-c/", and that before "b/".
    assert listing(tmp_path / "data") == ["a/deep/3.jpg", "b-c/1.jpg", "b/2.jpg"]
    assert count(tmp_path / "data") == 3


def test_a_tree_with_more_paths_of_links_than_can_be_walked_is_listed(tmp_path: Path) -> None:
    for level in range(60):  # 2 ** 60 paths, of up to 60 links, and the system follows 40
        touch(tmp_path, f"data/{level:02}/{level:02}.jpg")
        for link in ("left", "right"):
            (tmp_path / f"data/{level:02}/{link}").symlink_to(tmp_path / f"data/{level + 1:02}")
    assert sorted(Path(name).stem for name in listing(tmp_path / "data")) == [f"{level:02}" for level in range(60)]
    assert listing(tmp_path / "data")[:2] == ["00/00.jpg", "00/left/01.jpg"]


def test_folders_may_be_nested_deeply(tmp_path: Path) -> None:
    folder = Path(*["d"] * 1200)
    here = os.open(tmp_path, os.O_RDONLY)
    for name in folder.parts:
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    assert listing(tmp_path) == [f"{folder}/x.jpg"]
    subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # pytest could not


def test_both_layouts_hold_the_same_images(photographs: Path, synsets: Path) -> None:
    flat, nested = listing(photographs), listing(synsets)
    assert flat[0] == "ILSVRC2012_val_00000001.JPEG"
    assert nested[0] == "n01440764/ILSVRC2012_val_00000001.JPEG"
    assert sorted(Path(name).name for name in nested) == flat
    assert nested == sorted(nested)


def test_sample_is_the_one_of_the_method() -> None:
    names = [f"{number}.jpg" for number in range(100)]
    assert choose(names, 5, 7) == sorted(random.Random(7).sample(names, 5), key=str.encode)
    assert choose(names, 5, 7) != choose(names, 5, 8)
    assert choose(names, 100, 0) == sorted(names, key=str.encode)


def test_asking_for_too_many_images_names_both_numbers() -> None:
    with pytest.raises(AuditError) as raised:
        choose(["a.jpg", "b.jpg"], 3, 0)
    assert raised.value.problem.detail.startswith("3 images were asked for, but the data set has 2.")


def test_open_dataset_chooses_and_loads(photographs: Path) -> None:
    chosen = open_dataset("imagenet-val", {"imagenet-val": photographs}, 5, 0)
    assert chosen.names == choose(listing(photographs), 5, 0)
    assert chosen.sha256 == hashlib.sha256("\n".join(chosen.names).encode()).hexdigest()
    assert chosen.load(chosen.names[0]).size == load_file(photographs, chosen.names[0]).size


def test_synthetic_images_depend_on_seed_and_number_only() -> None:
    few, more = open_dataset("synthetic", {}, 2, 3), open_dataset("synthetic", {}, 5, 3)
    assert few.names == ["synthetic-00000000", "synthetic-00000001"] == more.names[:2]
    assert few.load("synthetic-00000001").tobytes() == more.load("synthetic-00000001").tobytes()
    other = open_dataset("synthetic", {}, 2, 4)
    assert other.load("synthetic-00000001").tobytes() != few.load("synthetic-00000001").tobytes()


@pytest.mark.parametrize(
    ("dataset", "slug", "said"),
    [
        ("cats", "unknown-dataset", "Ask for one of: empty, file, missing, synthetic"),
        ("missing", "dataset-unavailable", "cannot be read (No such file or directory)"),
        ("file", "dataset-unavailable", "cannot be read (Not a directory)"),
        ("empty", "dataset-unavailable", "holds no images"),
    ],
)
def test_data_sets_that_cannot_be_opened_say_what_to_do(tmp_path: Path, dataset: str, slug: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    datasets = {name: tmp_path / name for name in ("missing", "empty", "file")}
    with pytest.raises(AuditError) as raised:
        open_dataset(dataset, datasets, 1, 0)
    assert raised.value.problem.type == f"urn:zooaudit:problem:{slug}"
    assert said in raised.value.problem.detail
    assert str(tmp_path) not in raised.value.problem.detail


@pytest.mark.parametrize("name", ["../secret.png", "a/../../secret.png", "/etc/passwd", "a\0.png"])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    photograph("coins").save(tmp_path / "secret.png")
    (tmp_path / "data" / "a").mkdir(parents=True)
    with pytest.raises(ValueError, match="not a path inside"):
        load_file(tmp_path / "data", name)


def normalised(pixels: np.ndarray, p: Preprocessing) -> torch.Tensor:
    """(3, H, W) as both zoos normalise."""
    scaled = torch.from_numpy(pixels).permute(2, 0, 1).to(torch.float32).div(255)
    return scaled.sub_(torch.tensor(p.mean)[:, None, None]).div_(torch.tensor(p.std)[:, None, None])


def assert_shown_alike(transform: Callable[[Image.Image], torch.Tensor], preprocessing: Preprocessing) -> None:
    for photo in ("chelsea", "brick"):
        for size in SIZES:
            image = photograph(photo).resize(size)
            pixels = canvas(image, preprocessing, preprocessing.input_size)
            assert torch.equal(normalised(pixels, preprocessing), transform(image.convert("RGB")))


def timm_config(name: str) -> dict[str, Any]:
    cfg = timm.get_pretrained_cfg(name)
    assert cfg is not None
    config = resolve_data_config(pretrained_cfg=cfg.to_dict())  # type: ignore[no-untyped-call]
    assert isinstance(config, dict)
    return config


@pytest.mark.parametrize(
    "name",
    [
        "resnet50.a1_in1k",
        "resnext101_32x8d.tv_in1k",
        "inception_v3.tv_in1k",
        "tf_efficientnet_b0.ns_jft_in1k",
        "tf_efficientnet_b7.ns_jft_in1k",
        "vit_base_patch16_224.augreg_in1k",
        "mixer_b16_224.goog_in21k_ft_in1k",
        "vit_base_patch16_clip_384.laion2b_ft_in1k",
    ],
)
def test_a_canvas_of_the_input_size_is_what_timm_shows_the_model(name: str) -> None:
    config = timm_config(name)
    assert_shown_alike(create_transform(**config, is_training=False), timm_zoo.preprocessing_of(config))


@pytest.mark.parametrize("name", ["resnet18", "resnext101_32x8d", "inception_v3", "efficientnet_b0", "vit_b_16"])
def test_a_canvas_of_the_input_size_is_what_torchvision_shows_the_model(name: str) -> None:
    transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    assert_shown_alike(transform, torchvision_zoo.preprocessing(ModelName("torchvision", name), torch.nn.Module()))


def test_at_least_one_zoo_configuration_squashes() -> None:
    assert timm_zoo.preprocessing_of(timm_config("vit_base_patch16_clip_384.laion2b_ft_in1k")).squash


@pytest.mark.parametrize("size", [*SIZES, (248, 248), (333, 250), (2, 500)])
@pytest.mark.parametrize("canvas_size", [225, 248, 256, 301, 352])
def test_a_larger_canvas_is_resized_no_further_than_it_must_and_cropped_in_the_middle(
    size: tuple[int, int], canvas_size: int
) -> None:
    image = photograph("coffee").resize(size)
    expected = torchvision.transforms.Compose(
        [
            torchvision.transforms.Resize(
                max(248, canvas_size), interpolation=torchvision.transforms.InterpolationMode.BICUBIC
            ),
            torchvision.transforms.CenterCrop(canvas_size),
        ]
    )(image)
    pixels = canvas(image, BICUBIC, canvas_size)
    assert pixels.shape == (canvas_size, canvas_size, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(expected))


def decoded(folder: Path, name: str) -> np.ndarray:
    with load_file(folder, name) as image:
        return canvas(image, BICUBIC, 256)


@pytest.mark.parametrize(
    "name",
    [
        *("grey.jpg", "cmyk.jpg", "palette.png", "palette-transparent.png", "palette.gif", "rgba.png", "rgba.webp"),
        *("grey-alpha.png", "bilevel.bmp", "rotated-by-exif.JPG", "tiny.png"),
    ],
)
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_other_forms_are_converted_as_the_zoos_do(odd_photographs: Path, name: str) -> None:
    with Image.open(odd_photographs / name) as image:
        expected = canvas(image.convert("RGB"), BICUBIC, 256)
    np.testing.assert_array_equal(decoded(odd_photographs, name), expected)


@pytest.mark.parametrize("name", ["16-bit.png", "16-bit.tiff", "16-bit.pgm", "16-bit-big-endian.tif"])
def test_sixteen_bits_are_scaled_to_eight(odd_photographs: Path, name: str) -> None:
    expected = canvas(photograph("chelsea").convert("L"), BICUBIC, 256)
    np.testing.assert_array_equal(decoded(odd_photographs, name), expected)
    assert expected.std() > 20


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_no_known_range_are_undecodable(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(np.asarray(photograph("coins")).astype(dtype)).save(tmp_path / "wide.tiff")
    with pytest.raises(ValueError, match="black and white"):
        load_file(tmp_path, "wide.tiff")


def test_a_jpeg_of_several_pictures_counts_as_its_first(tmp_path: Path) -> None:
    first, second = photograph("chelsea"), photograph("coffee")
    first.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[second], quality=95)
    first.save(tmp_path / "single.jpg", quality=95)
    assert load_file(tmp_path, "phone.jpg").tobytes() == load_file(tmp_path, "single.jpg").tobytes()


def test_names_that_are_not_utf_8_are_printable_when_measured_or_skipped(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    photograph("coins").save(tmp_path / "coins.png")
    (tmp_path / "coins.png").rename(tmp_path / name)
    (tmp_path / os.fsdecode(b"\xfe.png")).touch()
    names = listing(tmp_path)
    decoded = list(Canvases(names, partial(load_file, tmp_path), BICUBIC, 256, processes=0))
    assert [(name, isinstance(pixels, str)) for name, pixels in decoded] == [("\\xfe.png", True), ("\\xff.png", False)]


def test_a_decompression_bomb_is_undecodable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.new("1", (10_000, 9_000)).save(tmp_path / "bomb.png")
    ((name, reason),) = Canvases(["bomb.png"], partial(load_file, tmp_path), BICUBIC, 256, processes=0)
    assert name == "bomb.png"
    assert "exceeds limit" in str(reason)
    assert "bomb.png" in caplog.text


def test_an_absurd_aspect_ratio_is_undecodable_and_costs_no_memory(tmp_path: Path) -> None:
    Image.new("L", (60_000, 1)).save(tmp_path / "line.png")
    process = psutil.Process()
    before = process.memory_info().rss
    ((name, reason),) = Canvases(["line.png"], partial(load_file, tmp_path), BICUBIC, 256, processes=0)
    assert name == "line.png"
    assert "too long to be resized" in str(reason)
    assert process.memory_info().rss - before < 64e6


@pytest.mark.parametrize("processes", [0, 1, 2])
def test_canvases_come_in_order_with_a_reason_for_the_undecodable(odd_photographs: Path, processes: int) -> None:
    names = listing(odd_photographs) * 2
    pairs = list(Canvases(names, partial(load_file, odd_photographs), BICUBIC, 256, processes=processes))
    assert [name for name, _ in pairs] == names
    reasons = {name: pixels for name, pixels in pairs if isinstance(pixels, str)}
    assert set(reasons) == {"truncated.jpg", "text.jpeg"}
    assert "truncated" in reasons["truncated.jpg"]
    assert reasons["text.jpeg"] == "it is no image of a format that is read here"
    for name, pixels in pairs:
        if not isinstance(pixels, str):
            np.testing.assert_array_equal(pixels, decoded(odd_photographs, name))


def test_decoding_elsewhere_leaves_the_random_state_alone(photographs: Path) -> None:
    torch.manual_seed(5)
    expected = torch.get_rng_state()
    list(Canvases(listing(photographs), partial(load_file, photographs), BICUBIC, 256, processes=1))
    assert torch.equal(torch.get_rng_state(), expected)


def test_an_end_before_the_last_image_leaves_the_processes_to_begin_again_and_deletion_ends_them(
    photographs: Path,
) -> None:
    names = listing(photographs) * 50
    before = multiprocessing.active_children()
    decoded = Canvases(names, partial(load_file, photographs), BICUBIC, 256, processes=1)
    first = [name for name, _ in islice(decoded, 3)]
    children = [child for child in multiprocessing.active_children() if child not in before]
    assert len(children) == 1
    assert [name for name, _ in islice(decoded, 3)] == first == names[:3]
    assert [child for child in multiprocessing.active_children() if child not in before] == children
    del decoded
    gc.collect()
    assert not any(child.is_alive() for child in children)


PARENT = """
import sys, time
from functools import partial
from pathlib import Path
from typing import Any
import multiprocessing
from PIL import Image
from worker.images.canvas import Preprocessing
from worker.images.dataset import *
from worker.images.decoding import Canvases
root = Path(sys.argv[1])
p = Preprocessing(224, 248, Image.Resampling.BICUBIC, (0.5,) * 3, (0.5,) * 3)
decoded = Canvases(listing(root) * 1000, partial(load_file, root), p, 256, processes=1)
next(iter(decoded))
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
time.sleep(60)
"""


def test_the_processes_end_when_their_parent_is_killed(photographs: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(photographs)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert len(children) == 1
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and any(running(child) for child in children):
        time.sleep(0.1)
    assert not any(running(child) for child in children)


def running(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    "module", ["worker.images", "worker.images.dataset", "worker.images.decoding", "worker.images.canvas_source"]
)
def test_this_module_brings_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_images_are_measured_in_random_order() -> None:
    chosen = open_dataset("synthetic", {}, 100, 7)
    order = chosen.shuffled()
    assert order == chosen.shuffled()
    assert order != chosen.names == sorted(order)
    assert order[:10] != open_dataset("synthetic", {}, 100, 8).shuffled()[:10]
