"""The stream: batches of one sample, pass after pass, and what it refuses."""

import multiprocessing
import os
import random
import signal
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.worker.conftest import photograph
from worker.errors import AuditError, ProcessDied
from worker.images.canvas import Preprocessing, canvas
from worker.images.dataset import open_dataset
from worker.images.decoding import naming_deaths
from worker.images.stream import Stream

PREPROCESSING = Preprocessing(32, 36, Image.Resampling.BICUBIC, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SIDE = 40


def stream_of(folder: Path, num_images: int) -> Stream:
    sample = open_dataset("photos", {"photos": folder}, num_images, 3)
    return Stream(sample, PREPROCESSING, SIDE, processes=0)


def all_pixels(stream: Stream, batch_size: int, limit: int | None = None) -> np.ndarray:
    return np.concatenate([batch.pixels.numpy() for batch in stream.batches(batch_size, limit)])


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of 200 small photographs."""
    photo = photograph("coffee").resize((50, 40))
    for index in range(200):
        photo.save(tmp_path / f"{index:03d}.png")
    return tmp_path


@pytest.mark.parametrize("processes", [0, 1])
def test_batches_hold_the_canvases_of_the_sample_in_its_shuffled_order(photographs: Path, processes: int) -> None:
    sample = open_dataset("photos", {"photos": photographs}, 7, 3)
    stream = Stream(sample, PREPROCESSING, SIDE, processes=processes)
    batches = list(stream.batches(3))
    assert [tuple(batch.pixels.shape) for batch in batches] == [
        (3, SIDE, SIDE, 3),
        (3, SIDE, SIDE, 3),
        (1, SIDE, SIDE, 3),
    ]
    assert (stream.sample, stream.side, stream.skipped) == (sample, SIDE, ())
    order = random.Random(3).sample(sample.names, 7)
    expected = [canvas(sample.load(name), PREPROCESSING, SIDE) for name in order]
    np.testing.assert_array_equal(np.concatenate([batch.pixels.numpy() for batch in batches]), np.stack(expected))


def test_every_pass_begins_anew_with_its_own_batch_size_and_limit(photographs: Path) -> None:
    stream = stream_of(photographs, 7)
    whole = all_pixels(stream, 3)
    next(stream.batches(2))  # a pass that is given up
    np.testing.assert_array_equal(all_pixels(stream, 2), whole)
    np.testing.assert_array_equal(all_pixels(stream, 4, limit=5), whole[:5])
    assert [len(batch) for batch in stream.batches(4, limit=5)] == [4, 1]
    assert [len(batch) for batch in stream.batches(4, limit=4)] == [4]


def test_an_undecodable_image_is_skipped_and_named_and_does_not_count(many: Path) -> None:
    stream = stream_of(many, 200)
    broken = stream.sample.shuffled()[10]
    (many / broken).write_bytes(b"not an image")
    assert len(all_pixels(stream, 64)) == 199
    assert stream.skipped == (broken,)
    assert len(all_pixels(stream, 64, limit=10)) == 10
    assert stream.skipped == ()
    assert len(all_pixels(stream, 64, limit=11)) == 11
    assert stream.skipped == (broken,)


def test_more_than_one_undecodable_in_a_hundred_are_refused(many: Path) -> None:
    stream = stream_of(many, 200)
    broken = stream.sample.shuffled()[:3]
    for name in broken:
        (many / name).write_bytes(b"not an image")
    with pytest.raises(AuditError, match="More than 1 in 100 of the 200 chosen images") as raised:
        next(stream.batches(8))
    assert all(
        f"{name} (it is no image of a format that is read here)" in raised.value.problem.detail for name in broken
    )


def kill_the_decoding_process(stream: Stream) -> None:
    before = multiprocessing.active_children()
    with naming_deaths():
        batches = stream.batches(8)
        next(batches)
        (child,) = (child for child in multiprocessing.active_children() if child not in before)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        for _ in batches:
            pass


def test_a_killed_decoding_process_is_named_with_its_signal_and_the_same_process_can_measure_again(many: Path) -> None:
    sample = open_dataset("photos", {"photos": many}, 200, 3)
    said = r"killed by the signal 'Killed'.*Memory may have run out"
    with pytest.raises(ProcessDied, match=said) as raised:
        kill_the_decoding_process(Stream(sample, PREPROCESSING, SIDE, processes=1))
    assert raised.value.problem.type.endswith("worker-died")
    with naming_deaths():
        assert sum(map(len, Stream(sample, PREPROCESSING, SIDE, processes=1).batches(50))) == 200


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible", "signal 'Bus error'"),
        ("DataLoader worker (pid(s) 7, 8) exited unexpectedly", "A process that decodes images died. Memory"),
    ],
)
def test_every_way_in_which_torch_tells_of_a_death_is_known(message: str, said: str) -> None:
    death = RuntimeError(message)
    with pytest.raises(ProcessDied, match=said), naming_deaths():
        raise death
    with pytest.raises(ProcessDied, match=said), naming_deaths():
        raise ValueError("raised out of something else") from death


def test_other_errors_are_no_deaths() -> None:
    with pytest.raises(RuntimeError, match="no death"), naming_deaths():
        raise RuntimeError("no death")


@pytest.mark.parametrize("limit", [None, 64, 100])
def test_a_pass_that_skips_other_images_than_the_one_before_is_refused(many: Path, limit: int | None) -> None:
    stream = stream_of(many, 200)
    all_pixels(stream, 32, limit)
    (many / stream.sample.shuffled()[40]).write_bytes(b"not an image")
    with pytest.raises(AuditError, match="became unreadable") as raised:
        all_pixels(stream, 64, limit)
    assert raised.value.problem.type.endswith("dataset-changed")


def test_places_count_undecodable_images_too(many: Path) -> None:
    stream = stream_of(many, 200)
    (many / stream.sample.shuffled()[2]).write_bytes(b"not an image")
    batches = list(stream.batches(3, limit=6))
    assert [batch.places.tolist() for batch in batches] == [[0, 1, 3], [4, 5, 6]]
    assert batches[0].places.dtype == torch.int64
    assert [len(batch) for batch in batches] == [3, 3]


@pytest.mark.parametrize(
    ("borders", "expected"),
    [
        ((), [[0, 1, 3], [4, 5, 6], [7]]),
        ((4, 6), [[0, 1, 3], [4, 5], [6, 7]]),
        ((3,), [[0, 1], [3, 4, 5], [6, 7]]),  # The last image before this border cannot be decoded.
        ((2,), [[0, 1], [3, 4, 5], [6, 7]]),  # Nor can the first one behind this.
        ((6, 1, 2, 0, 8, 99), [[0], [1], [3, 4, 5], [6, 7]]),
        (range(9), [[0], [1], [3], [4], [5], [6], [7]]),
    ],
)
def test_no_batch_holds_images_of_both_sides_of_a_border(
    many: Path, borders: Iterable[int], expected: list[list[int]]
) -> None:
    stream = stream_of(many, 200)
    (many / stream.sample.shuffled()[2]).write_bytes(b"not an image")
    whole = list(stream.batches(1))
    batches = list(stream.batches(3, limit=7, borders=borders))
    assert [batch.places.tolist() for batch in batches] == expected
    pixels = {int(batch.places[0]): batch.pixels[0] for batch in whole}
    for batch in batches:
        for image, place in zip(batch.pixels, batch.places.tolist(), strict=True):
            assert torch.equal(image, pixels[place])


@pytest.mark.parametrize("processes", [0, 1])
def test_a_pass_ends_when_another_begins(photographs: Path, processes: int) -> None:
    sample = open_dataset("photos", {"photos": photographs}, 12, 3)
    stream = Stream(sample, PREPROCESSING, SIDE, processes=processes)
    whole = all_pixels(stream, 5)
    former = stream.batches(2)
    next(former)
    np.testing.assert_array_equal(all_pixels(stream, 5), whole)
    assert list(former) == []


def test_the_next_batch_is_put_together_while_one_is_used_and_no_more(photographs: Path) -> None:
    sample = open_dataset("photos", {"photos": photographs}, 12, 3)
    loaded: list[str] = []
    sixth = Event()

    def load(name: str) -> Image.Image:
        loaded.append(name)
        if len(loaded) == 6:
            sixth.set()
        return sample.load(name)

    batches = Stream(replace(sample, load=load), PREPROCESSING, SIDE, processes=0).batches(3)
    next(batches)
    assert sixth.wait(60)
    assert len(loaded) == 6
    next(batches)
    batches.close()
    assert len(loaded) <= 9


def test_what_lies_ahead_of_the_batch_in_use_does_not_count_yet(many: Path) -> None:
    stream = stream_of(many, 200)
    for name in stream.sample.shuffled()[40:43]:
        (many / name).write_bytes(b"not an image")
    batches = stream.batches(40)
    assert len(next(batches)) == 40
    assert stream.skipped == ()
    with pytest.raises(AuditError, match="More than 1 in 100"):
        next(batches)


@pytest.mark.parametrize("pinned", [False, True])
def test_pixels_lie_in_pinned_memory_if_that_is_asked_for(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    asked: list[bool] = []
    empty = torch.empty

    def without_a_gpu(*size: Any, pin_memory: bool, **how: Any) -> torch.Tensor:
        asked.append(pin_memory)
        return empty(*size, **how)

    sample = open_dataset("photos", {"photos": photographs}, 7, 3)
    stream = Stream(sample, PREPROCESSING, SIDE, processes=0, pinned=pinned)
    monkeypatch.setattr(torch, "empty", without_a_gpu)
    assert len(all_pixels(stream, 3)) == 7
    assert asked == [pinned] * 3
