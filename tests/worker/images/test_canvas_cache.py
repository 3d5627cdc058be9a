"""Canvases that are kept: the same to the last bit, decoded once, within their bound, and never half or damaged."""

import errno
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.worker.small_audits import audit
from worker import zoo
from worker.errors import AuditError
from worker.images import canvas_cache, dataset
from worker.images.canvas import Preprocessing
from worker.images.canvas_cache import CanvasCache
from worker.images.dataset import Sample, open_dataset
from worker.images.stream import Stream

PREPROCESSING = Preprocessing(32, 36, Image.Resampling.BICUBIC, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SIDE = 40
IMAGES = 120
ENTRY_GIB = IMAGES * (3 * SIDE**2 + 16) / 2**30


@dataclass
class Loads:
    """Loads images as a sample does, and notes which."""

    sample: Sample
    names: list[str] = field(default_factory=list)

    def __call__(self, name: str) -> Image.Image:
        self.names.append(name)
        return self.sample.load(name)

    def since_then(self) -> int:
        """How many images were loaded since this was asked."""
        count = len(self.names)
        self.names.clear()
        return count


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of IMAGES images that have no pixel in common."""
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(0)
    for index in range(IMAGES):
        Image.fromarray(random.integers(0, 256, (45, 50, 3), np.uint8)).save(folder / f"{index:03d}.png")
    return folder


@pytest.fixture
def folder(noise: Path, tmp_path: Path) -> Path:
    """A copy of the folder, to be changed."""
    copy = tmp_path / "noise"
    copy.mkdir()
    for file in noise.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


@pytest.fixture
def cache(tmp_path: Path) -> CanvasCache:
    return CanvasCache(tmp_path / "cache", 1.0)


def sample_of(folder: Path, seed: int = 3, images: int = IMAGES) -> tuple[Sample, Loads]:
    sample = open_dataset("photos", {"photos": folder}, images, seed)
    loads = Loads(sample)
    return replace(sample, load=loads), loads


def stream_of(
    folder: Path, cache: CanvasCache | None, preprocessing: Preprocessing = PREPROCESSING, side: int = SIDE, **how: int
) -> tuple[Stream, Loads]:
    sample, loads = sample_of(folder, **how)
    return Stream(sample, preprocessing, side, processes=0, cache=cache), loads


def pixels_of(stream: Stream, limit: int | None = None) -> torch.Tensor:
    return torch.cat([batch.pixels for batch in stream.batches(32, limit)])


def files_in(cache: CanvasCache) -> list[Path]:
    return sorted(cache.folder.iterdir()) if cache.folder.exists() else []


def the_entry(cache: CanvasCache) -> Path:
    (entry,) = files_in(cache)
    assert entry.suffix == ".npy"
    return entry


def test_kept_canvases_are_the_decoded_ones_to_the_last_bit_and_nothing_is_decoded_twice(
    noise: Path, cache: CanvasCache
) -> None:
    decoded = pixels_of(stream_of(noise, None)[0])
    stream, loads = stream_of(noise, cache)
    assert torch.equal(pixels_of(stream), decoded)
    assert loads.since_then() == IMAGES
    assert torch.equal(pixels_of(stream), decoded)
    assert loads.since_then() == 0
    again, loads = stream_of(noise, cache)
    places = torch.cat([batch.places for batch in again.batches(7, borders=[40])])
    assert torch.equal(places, torch.arange(IMAGES))
    assert torch.equal(pixels_of(again, limit=50), decoded[:50])
    assert loads.since_then() == 0
    # Anybody can read the file, and nothing in it is pickled.
    array = np.load(the_entry(cache), mmap_mode="r", allow_pickle=False)
    np.testing.assert_array_equal(array, decoded.numpy())


def test_without_a_bound_above_0_nothing_is_kept(noise: Path, tmp_path: Path) -> None:
    cache = CanvasCache(tmp_path / "cache", 0)
    stream, loads = stream_of(noise, cache)
    assert torch.equal(pixels_of(stream), pixels_of(stream))
    assert loads.since_then() == 2 * IMAGES
    assert not cache.folder.exists()


def test_decoding_processes_start_for_the_first_pass_only(noise: Path, cache: CanvasCache) -> None:
    sample = open_dataset("photos", {"photos": noise}, IMAGES, 3)
    before = multiprocessing.active_children()
    first = pixels_of(Stream(sample, PREPROCESSING, SIDE, processes=1, cache=cache))
    stream = Stream(sample, PREPROCESSING, SIDE, processes=1, cache=cache)
    batches = stream.batches(32)
    assert torch.equal(next(batches).pixels, first[:32])
    assert [child for child in multiprocessing.active_children() if child not in before] == []


@pytest.mark.parametrize("processes", [0, 1])
def test_a_pass_that_ends_early_keeps_what_it_decoded_and_the_next_one_goes_on_from_there(
    noise: Path, cache: CanvasCache, processes: int
) -> None:
    sample, _ = sample_of(noise)
    decoded = pixels_of(stream_of(noise, None)[0])
    first = Stream(sample, PREPROCESSING, SIDE, processes=processes, cache=cache)
    assert torch.equal(pixels_of(first, limit=50), decoded[:50])
    early = the_entry(cache).stat()
    assert np.load(the_entry(cache)).shape == (50, SIDE, SIDE, 3)
    shorter, loads = stream_of(noise, cache)
    assert torch.equal(pixels_of(shorter, limit=49), decoded[:49])
    assert loads.since_then() == 0
    assert torch.equal(pixels_of(shorter), decoded)
    assert loads.since_then() == IMAGES - 50
    # The stream that decoded the first ones finds the rest, too. Nobody changed the file that it read.
    assert the_entry(cache).stat().st_ino != early.st_ino
    assert torch.equal(pixels_of(first), decoded)


def test_a_pass_that_is_given_up_keeps_what_it_decoded(noise: Path, cache: CanvasCache) -> None:
    stream, loads = stream_of(noise, cache)
    next(stream.batches(32))
    kept = len(np.load(the_entry(cache)))
    assert 32 <= kept == loads.since_then() <= 64
    pixels_of(stream)
    assert loads.since_then() == IMAGES - kept


def test_what_changes_pixels_is_kept_apart_and_what_does_not_is_not(folder: Path, cache: CanvasCache) -> None:
    def loaded(**how: Any) -> int:
        stream, loads = stream_of(folder, cache, **how)
        plain = stream_of(folder, None, **how)[0]
        assert torch.equal(pixels_of(stream), pixels_of(plain))
        return loads.since_then()

    assert loaded() == IMAGES
    assert loaded(seed=4) == IMAGES
    assert loaded(images=IMAGES - 1) == IMAGES - 1
    assert loaded(side=41) == IMAGES
    assert loaded(preprocessing=replace(PREPROCESSING, resize=44)) == IMAGES
    assert loaded(preprocessing=replace(PREPROCESSING, squash=True)) == IMAGES
    assert loaded(preprocessing=replace(PREPROCESSING, interpolation=Image.Resampling.BILINEAR)) == IMAGES
    assert len(files_in(cache)) == 7
    normalised = replace(PREPROCESSING, mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    assert loaded(preprocessing=normalised) == 0
    # The canvas is larger than both sizes, so neither counts.
    assert loaded(preprocessing=replace(PREPROCESSING, resize=38, input_size=36)) == 0


def test_a_replaced_file_is_seen_even_if_its_size_and_date_are_those_of_the_former(
    folder: Path, cache: CanvasCache
) -> None:
    for index in range(2):
        Image.fromarray(np.full((40, 40, 3), index, np.uint8)).save(folder / f"{index}.bmp")
        os.utime(folder / f"{index}.bmp", (10**9, 10**9))
    before = pixels_of(stream_of(folder, cache, images=IMAGES + 2)[0])
    (folder / "0.bmp").write_bytes((folder / "1.bmp").read_bytes())
    os.utime(folder / "0.bmp", (10**9, 10**9))
    stream, loads = stream_of(folder, cache, images=IMAGES + 2)
    after = pixels_of(stream)
    assert loads.since_then() == IMAGES + 2
    place = stream.sample.shuffled().index("0.bmp")
    assert int(before[place].max()) == 0
    assert int(after[place].min()) == 1


def test_a_file_that_comes_back_is_another_image(folder: Path) -> None:
    sample, _ = sample_of(folder)
    whole = canvas_cache.name_of_entry(sample, PREPROCESSING, SIDE)
    content = (folder / sample.names[0]).read_bytes()
    (folder / sample.names[0]).unlink()
    assert canvas_cache.name_of_entry(sample, PREPROCESSING, SIDE) != whole
    (folder / sample.names[0]).write_bytes(content)
    assert canvas_cache.name_of_entry(sample, PREPROCESSING, SIDE) != whole


def test_synthetic_images_of_another_seed_are_others() -> None:
    names = {canvas_cache.name_of_entry(open_dataset("synthetic", {}, 3, seed), PREPROCESSING, SIDE) for seed in (0, 1)}
    assert len(names) == 2


def test_the_least_recently_used_go_first(noise: Path, tmp_path: Path) -> None:
    cache = CanvasCache(tmp_path / "cache", 2.1 * ENTRY_GIB)

    def loaded(seed: int) -> int:
        stream, loads = stream_of(noise, cache, seed=seed)
        pixels_of(stream)
        assert sum(file.stat().st_size for file in files_in(cache)) <= cache.gib * 2**30
        return loads.since_then()

    assert [loaded(seed) for seed in (1, 2, 1, 3)] == [IMAGES, IMAGES, 0, IMAGES]
    assert [loaded(seed) for seed in (1, 3, 2)] == [0, 0, IMAGES]
    assert [loaded(seed) for seed in (3, 1)] == [0, IMAGES]


def test_uses_shortly_after_each_other_keep_their_order(noise: Path, cache: CanvasCache) -> None:
    def used(seed: int) -> Path:
        stream, _ = stream_of(noise, cache, images=1, seed=seed)
        pixels_of(stream)
        return cache.path(canvas_cache.name_of_entry(stream.sample, PREPROCESSING, SIDE))

    for seed in range(1, 40):
        written, read = used(seed), used(0)
        assert written.stat().st_mtime_ns < read.stat().st_mtime_ns


def test_a_reader_keeps_an_entry_that_is_removed(noise: Path, cache: CanvasCache) -> None:
    whole = pixels_of(stream_of(noise, cache)[0])
    stream, loads = stream_of(noise, cache)
    batches = stream.batches(10)
    first = next(batches).pixels
    the_entry(cache).unlink()
    assert torch.equal(torch.cat([first, *(batch.pixels for batch in batches)]), whole)
    assert torch.equal(pixels_of(stream), whole)
    assert loads.since_then() == 0


def test_a_sample_beyond_the_bound_is_decoded_as_ever_and_the_log_says_so_once(
    noise: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = CanvasCache(tmp_path / "cache", 0.9 * ENTRY_GIB)
    kept, _ = stream_of(noise, cache, images=100)
    pixels_of(kept)
    stream, loads = stream_of(noise, cache)
    assert torch.equal(pixels_of(stream), pixels_of(stream))
    assert loads.since_then() == 2 * IMAGES
    assert len(files_in(cache)) == 1  # what fits is not removed for what does not
    (said,) = (record.getMessage() for record in caplog.records)
    assert "the sample would take" in said
    assert "ZOOAUDIT_CACHE_GIB" in said


def decodes_twice_and_says_once(folder: Path, cache: CanvasCache, caplog: pytest.LogCaptureFixture, why: str) -> None:
    decoded = pixels_of(stream_of(folder, None)[0])
    stream, loads = stream_of(folder, cache)
    for _ in range(2):
        assert torch.equal(pixels_of(stream), decoded)
    assert loads.since_then() == 2 * IMAGES
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("canvases are decoded anew in every pass: ")
    assert said.endswith(f": {why}")


@pytest.mark.parametrize("after", [0, 1, 57, IMAGES, IMAGES + 1])
def test_a_disk_that_becomes_full_at_any_write_does_not_matter(
    noise: Path, cache: CanvasCache, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    real, written = os.pwrite, []

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        written.append(offset)
        if len(written) % (after + 1) == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return (
            real(descriptor, data[:1000], offset)
            if len(data) > 1000 and not written
            else real(descriptor, data, offset)
        )

    monkeypatch.setattr(os, "pwrite", full)
    decodes_twice_and_says_once(noise, cache, caplog, "No space left on device")
    assert files_in(cache) == []


def test_a_limit_of_the_system_to_the_size_of_files_does_not_matter(
    noise: Path, cache: CanvasCache, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (IMAGES * 3 * SIDE**2, hard))
    try:
        decodes_twice_and_says_once(noise, cache, caplog, "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(cache) == []


def test_writes_in_pieces_are_put_together(noise: Path, cache: CanvasCache, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: real(descriptor, data[:1000], offset))
    whole = pixels_of(stream_of(noise, cache)[0])
    stream, loads = stream_of(noise, cache)
    assert torch.equal(pixels_of(stream), whole)
    assert loads.since_then() == 0


def test_others_keep_a_part_of_the_disk(
    noise: Path, cache: CanvasCache, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels_of(stream_of(noise, cache, seed=1)[0])
    # One more entry fits only if the other goes.
    free = canvas_cache.KEPT_FREE_BYTES + 1000
    monkeypatch.setattr(canvas_cache.shutil, "disk_usage", lambda _folder: type("Usage", (), {"free": free}))
    former = the_entry(cache)
    pixels_of(stream_of(noise, cache, seed=2, images=IMAGES - 1)[0])
    assert the_entry(cache) != former
    free = 0
    others = "there is no room: other audits write, or less than 1 GiB of the disk would be left"
    decodes_twice_and_says_once(noise, cache, caplog, others)
    # Removing it would not have helped.
    the_entry(cache)


@pytest.mark.parametrize("place", ["/proc/zooaudit", "{}/file/cache"])
def test_a_folder_that_cannot_be_made_does_not_matter(
    noise: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    (tmp_path / "file").touch()
    cache = CanvasCache(Path(place.format(tmp_path)), 1.0)
    why = "Not a directory" if "file" in place else "No such file or directory"
    decodes_twice_and_says_once(noise, cache, caplog, why)


def test_a_folder_that_can_only_be_read_is_read(
    noise: Path, cache: CanvasCache, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pixels_of(stream_of(noise, cache)[0])

    def read_only(*_arguments: Any, **_more: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(canvas_cache.tempfile, "mkstemp", read_only)
    monkeypatch.setattr(os, "utime", read_only)
    stream, loads = stream_of(noise, cache)
    assert torch.equal(pixels_of(stream), whole)
    assert loads.since_then() == 0
    pixels_of(stream_of(noise, cache, seed=4)[0])
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.endswith("Read-only file system")


def flip(file: Path, offset: int) -> None:
    content = bytearray(file.read_bytes())
    content[offset] ^= 4
    file.write_bytes(content)


DAMAGES = {
    "empty": lambda file: os.truncate(file, 0),
    "header only": lambda file: os.truncate(file, 128),
    "a cut": lambda file: os.truncate(file, 100_000),
    "without its end": lambda file: os.truncate(file, file.stat().st_size - 1),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "another side": lambda file: flip(file, file.read_bytes().index(b"40, 40")),
    "another kind": lambda file: flip(file, file.read_bytes().index(b"|u1") + 1),
    "a negative shape": lambda file: file.write_bytes(file.read_bytes().replace(b"(120,", b"(-20,", 1)),
    "a changed checksum": lambda file: flip(file, -20),
    "text": lambda file: file.write_text("This is no array."),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_noticed_and_decoded_again(
    noise: Path, cache: CanvasCache, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = pixels_of(stream_of(noise, cache)[0])
    DAMAGES[damage](the_entry(cache))
    for expected in (IMAGES, 0):
        stream, loads = stream_of(noise, cache)
        assert torch.equal(pixels_of(stream), whole)
        assert loads.since_then() == expected
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("kept canvases are damaged and decoded again: ")


@pytest.mark.parametrize("processes", [0, 1])
def test_a_single_wrong_bit_is_never_measured(noise: Path, cache: CanvasCache, processes: int) -> None:
    sample = open_dataset("photos", {"photos": noise}, IMAGES, 3)
    whole = pixels_of(Stream(sample, PREPROCESSING, SIDE, processes=processes, cache=cache))
    flip(the_entry(cache), 128 + 77 * 3 * SIDE**2 + 5)
    stream = Stream(sample, PREPROCESSING, SIDE, processes=processes, cache=cache)
    assert torch.equal(pixels_of(stream), whole)
    assert files_in(cache) == []
    assert torch.equal(pixels_of(stream), whole)
    again, loads = stream_of(noise, cache)
    assert torch.equal(pixels_of(again), whole)
    assert loads.since_then() == 0


def test_a_file_that_is_cut_while_it_is_read_is_noticed(noise: Path, cache: CanvasCache) -> None:
    whole = pixels_of(stream_of(noise, cache)[0])
    stream, loads = stream_of(noise, cache)
    batches = stream.batches(10)
    first = next(batches).pixels
    os.truncate(the_entry(cache), 128 + 50 * 3 * SIDE**2 + 1)
    assert torch.equal(torch.cat([first, *(batch.pixels for batch in batches)]), whole)
    assert loads.since_then() == IMAGES - 50


def test_damage_in_the_first_part_does_not_stop_the_rest(noise: Path, cache: CanvasCache) -> None:
    whole = pixels_of(stream_of(noise, None)[0])
    pixels_of(stream_of(noise, cache)[0], limit=50)
    flip(the_entry(cache), 128 + 7 * 3 * SIDE**2)
    stream, loads = stream_of(noise, cache)
    assert [torch.equal(pixels_of(stream), whole) for _ in range(3)] == [True] * 3
    assert loads.since_then() == 1 + IMAGES - 50 + IMAGES


# Other processes are programs of their own: a fork of this one, which has torch's threads, may wait for ever.
def run_a_program(code: str, *arguments: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", STREAM_IN_A_PROGRAM + code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


STREAM_IN_A_PROGRAM = """
import os, signal, sys
from pathlib import Path
import numpy as np
from tests.worker.images.test_canvas_cache import CanvasCache, pixels_of, stream_of
stream, _ = stream_of(Path(sys.argv[1]), CanvasCache(Path(sys.argv[2]), 1.0))
"""

DIE_IN_MID_PASS = """
for number, _ in enumerate(stream.batches(20)):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_leaves_is_never_read_and_is_removed(noise: Path, cache: CanvasCache) -> None:
    process = run_a_program(DIE_IN_MID_PASS, noise, cache.folder)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert [file.suffix for file in files_in(cache)] == [".part"]
    stream, loads = stream_of(noise, cache)
    assert torch.equal(pixels_of(stream), pixels_of(stream_of(noise, None)[0]))
    assert loads.since_then() == IMAGES
    assert the_entry(cache)


LEFT_OPEN = """
batches = stream.batches(20)
next(batches)
"""


def test_a_program_that_ends_in_mid_pass_ends_quietly_and_leaves_nothing(noise: Path, cache: CanvasCache) -> None:
    process = run_a_program(LEFT_OPEN, noise, cache.folder)
    assert process.communicate(timeout=120) == ("", "")
    assert process.returncode == 0
    assert [file.suffix for file in files_in(cache)] in ([], [".npy"])


def test_a_writer_leaves_what_another_is_writing_alone(noise: Path, cache: CanvasCache) -> None:
    slow, loads = stream_of(noise, cache, seed=1)
    batches = slow.batches(20)
    next(batches)
    pixels_of(stream_of(noise, cache, seed=2)[0])
    assert sorted(file.suffix for file in files_in(cache)) == [".npy", ".part"]
    list(batches)
    assert [file.suffix for file in files_in(cache)] == [".npy", ".npy"]
    assert loads.since_then() == IMAGES
    pixels_of(slow)
    assert loads.since_then() == 0


READ_TWICE_WHEN_TOLD = """
print("ready", flush=True)
sys.stdin.readline()
for number in range(2):
    np.save(f"{sys.argv[3]}-{number}.npy", pixels_of(stream).numpy())
"""


def test_processes_that_write_the_same_entry_at_once_do_not_disturb_each_other(
    noise: Path, cache: CanvasCache, tmp_path: Path
) -> None:
    processes = [run_a_program(READ_TWICE_WHEN_TOLD, noise, cache.folder, tmp_path / f"read{n}") for n in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=120) for process in processes] == [("", "")] * 3
    whole = pixels_of(stream_of(noise, None)[0]).numpy()
    read = sorted(tmp_path.glob("read*.npy"))
    assert len(read) == 6
    for file in [*read, the_entry(cache)]:
        np.testing.assert_array_equal(np.load(file), whole)


def test_two_writers_do_not_take_more_than_the_bound_together(noise: Path, tmp_path: Path) -> None:
    cache = CanvasCache(tmp_path / "cache", 1.5 * ENTRY_GIB)
    pixels_of(stream_of(noise, cache, seed=3, images=50)[0])
    slow, _ = stream_of(noise, cache, seed=1)
    batches = slow.batches(20)
    next(batches)
    stream, loads = stream_of(noise, cache, seed=2)
    pixels_of(stream)
    # Without the small entry there would be no room for both either, so it stays.
    assert sorted(file.suffix for file in files_in(cache)) == [".npy", ".part"]
    list(batches)
    pixels_of(stream)
    pixels_of(stream)
    assert loads.since_then() == 2 * IMAGES
    assert len(files_in(cache)) == 1


def test_a_file_that_another_writer_has_just_made_is_left_alone(noise: Path, cache: CanvasCache) -> None:
    cache.folder.mkdir()
    new = cache.folder / "new.part"
    new.touch()
    pixels_of(stream_of(noise, cache)[0])
    assert new.exists()


def test_skipped_images_are_skipped_for_the_same_reason(folder: Path, cache: CanvasCache) -> None:
    sample, _ = sample_of(folder)
    broken = sample.shuffled()[40]
    (folder / broken).write_bytes(b"not an image")
    stream, loads = stream_of(folder, cache)
    pixels = pixels_of(stream)
    loads.since_then()
    for kept in (stream, stream_of(folder, cache)[0]):
        batches = kept.batches(40)
        assert [batch.places.tolist()[-1] for batch in batches] == [39, 80, IMAGES - 1]
        assert kept.skipped == (broken,)
        assert torch.equal(pixels_of(kept), pixels)
        assert len(pixels_of(kept, limit=40)) == 40
        assert kept.skipped == ()
    assert loads.since_then() == 0


def test_too_many_undecodable_images_are_refused_from_the_cache_in_the_same_words(
    folder: Path, cache: CanvasCache
) -> None:
    sample, _ = sample_of(folder)
    for name in sample.shuffled()[40:43]:
        (folder / name).write_bytes(b"not an image")
    said = []
    for expected in (42, 0):
        stream, loads = stream_of(folder, cache)
        with pytest.raises(AuditError, match="More than 1 in 100") as refused:
            pixels_of(stream)
        said.append(refused.value.problem.detail)
        assert loads.since_then() == expected
    assert said[0] == said[1]


def test_images_that_change_while_they_are_measured_are_told_or_do_not_matter(folder: Path, cache: CanvasCache) -> None:
    stream, _ = stream_of(folder, cache)
    whole = pixels_of(stream)
    (folder / stream.sample.shuffled()[70]).write_bytes(b"not an image")
    assert torch.equal(pixels_of(stream), whole)
    the_entry(cache).unlink()
    flip_in = Stream(stream.sample, PREPROCESSING, SIDE, processes=0, cache=cache)
    pixels_of(flip_in, limit=60)
    Image.new("RGB", (50, 45)).save(folder / stream.sample.shuffled()[70])
    pixels_of(flip_in)
    (folder / stream.sample.shuffled()[70]).write_bytes(b"not an image")
    flip(the_entry(cache), 128 + 70 * 3 * SIDE**2)
    with pytest.raises(AuditError, match="became unreadable") as raised:
        pixels_of(flip_in)
    assert raised.value.problem.type.endswith("dataset-changed")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_what_could_not_be_read_for_a_while_is_not_kept_as_undecodable(
    noise: Path, cache: CanvasCache, error: Exception
) -> None:
    sample, loads = sample_of(noise)
    unreadable = {sample.shuffled()[30]}

    def load(name: str) -> Image.Image:
        if name in unreadable:
            raise error
        return loads(name)

    passing = replace(sample, load=load)
    assert len(pixels_of(Stream(passing, PREPROCESSING, SIDE, processes=0, cache=cache))) == IMAGES - 1
    assert len(np.load(the_entry(cache))) == 30
    unreadable.clear()
    loads.since_then()
    assert len(pixels_of(Stream(passing, PREPROCESSING, SIDE, processes=0, cache=cache))) == IMAGES
    assert loads.since_then() == IMAGES - 30


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that audits load. The audits are of untrained models, whatever they ask for."""
    loaded: list[str] = []
    load_model = zoo.load

    def counting(*arguments: Any) -> Sample:
        sample = dataset.open_dataset(*arguments)
        return replace(sample, load=lambda name: (loaded.append(name), sample.load(name))[1])

    monkeypatch.setattr("worker.audit.open_dataset", counting)
    monkeypatch.setattr(zoo, "load", lambda name, _weights, *more, **_: load_model(name, "untrained", *more))
    return loaded


def test_all_passes_and_baselines_of_all_audits_of_one_preprocessing_decode_once(
    cache: CanvasCache, counted: list[str]
) -> None:
    how: dict[str, Any] = {"memory_gib": 0.01, "decode_processes": 0}
    model = "timm/test_efficientnet.r160_in1k"
    request = {"model": model, "num_images": 3, "weights": "pretrained", "baseline": True, "baseline_seeds": 2}
    plain = audit(request, **how, cache=None)
    passes = plain.timing.forward_images // 3 // 3 - 3
    assert passes > 1
    assert len(counted) == 3 * passes * 3
    counted.clear()
    first = audit(request, **how, cache=cache)
    assert len(counted) == 3
    # It is normalised in another way.
    audit(request | {"model": "timm/test_vit.r160_in1k"}, **how, cache=cache)
    assert len(counted) == 3
    apart = {"environment", "timing"}
    assert plain.model_dump(exclude=apart) == first.model_dump(exclude=apart)
    the_entry(cache)
