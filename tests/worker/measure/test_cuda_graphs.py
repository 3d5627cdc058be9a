"""When the steps of a batch are recorded and replayed, without a GPU: tests/gpu shows that replays compute the same."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from worker.depth import Representation
from worker.measure.cuda_graphs import BatchGraphs
from worker.measure.groups import members_of
from worker.measure.representation_sums import RepresentationSums, count_terms
from worker.measure.transforms import Shift, align

BATCH = 4
KEYS = (None, *map(Shift, (1, 2, 3)))


@pytest.fixture
def done() -> list[tuple[str, object]]:
    """What was done, in order: steps that were launched, recorded or replayed."""
    return []


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, done: list[tuple[str, object]]) -> Callable[..., BatchGraphs]:
    """Runs batches of the given sizes, where launching takes 1 s and replaying ``replay_s``."""

    def run(sizes: list[int], replay_s: float, keys: tuple[object, ...] = KEYS, fails: object = ()) -> BatchGraphs:
        graphs = BatchGraphs(torch.device("cuda"), BATCH)

        def record(steps: dict[object, Callable[[], None]]) -> None:
            for key in steps:
                done.append(("record", key))
                if key == fails:
                    graphs.recorded = False
                    graphs._graphs.clear()
                    return
                replay = SimpleNamespace(replay=lambda key=key: done.append(("replay", key)))
                graphs._graphs[key] = replay  # type: ignore[index, assignment]

        def time(step: Callable[[], None]) -> float:
            step()
            return 1.0 if done[-1][0] == "launch" else replay_s

        monkeypatch.setattr(graphs, "_record", record)
        monkeypatch.setattr(graphs, "_time", time)
        steps = {key: lambda key=key: done.append(("launch", key)) for key in keys}
        for size in sizes:
            done.append(("batch", size))
            for step in graphs.steps(steps, size):  # type: ignore[arg-type]
                step()
        return graphs

    return run


def of_batches(done: list[tuple[str, object]]) -> list[list[tuple[str, object]]]:
    found: list[list[tuple[str, object]]] = []
    for what, key in done:
        if what == "batch":
            found.append([])
        else:
            found[-1].append((what, key))
    return found


def test_steps_are_replayed_from_the_second_full_batch_on_where_that_is_faster(run, done) -> None:
    assert run([BATCH, 3, BATCH, BATCH, 3], replay_s=0.5).recorded is True
    first, short, second, third, last = of_batches(done)
    launched, replayed = ([(what, key) for key in KEYS] for what in ("launch", "replay"))
    assert first == short == last == launched
    assert third == replayed
    # The first step is recorded before it is replayed, and never again: it makes what the others read.
    assert second[:2] == [("record", None), ("replay", None)]
    assert sorted(second, key=str) == sorted([*((("record", key)) for key in KEYS), *replayed], key=str)


def test_every_step_is_carried_out_once_where_replays_are_no_faster(run, done) -> None:
    assert run([BATCH] * 4, replay_s=0.95).recorded is False
    for batch in of_batches(done):
        assert sorted((key for what, key in batch if what != "record"), key=str) == sorted(KEYS, key=str)
        assert next(key for what, key in batch if what != "record") is None
    assert {what for batch in of_batches(done)[2:] for what, _ in batch} == {"launch"}


@pytest.mark.parametrize("fails", KEYS)
def test_a_step_that_cannot_be_recorded_ends_all_recording(run, done, fails: object) -> None:
    assert run([BATCH] * 3, replay_s=0.5, fails=fails).recorded is False
    _, second, third = of_batches(done)
    assert sorted((key for what, key in second if what != "record"), key=str) == sorted(KEYS, key=str)
    assert third == [("launch", key) for key in KEYS]


def test_too_few_batches_or_steps_try_nothing(run, done) -> None:
    assert run([BATCH, 2, 1], replay_s=0.5).recorded is None
    assert run([BATCH] * 3, replay_s=0.5, keys=KEYS[:2]).recorded is None
    assert {what for what, _ in done} == {"batch", "launch"}


class Recording(TorchDispatchMode):
    """Notes each operation with its tensors, and carries it out into the same memory when it is replayed."""

    def __init__(self) -> None:
        super().__init__()
        self._done: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        self._done.append((function, args, kwargs or {}, output))
        return output

    def replay(self) -> None:
        for function, args, kwargs, output in self._done:
            if "empty" in function.name():
                continue
            for kept, new in zip(tree_leaves(output), tree_leaves(function(*args, **kwargs)), strict=True):
                if isinstance(kept, Tensor) and kept.data_ptr() != new.data_ptr():
                    kept.copy_(new)


def own_similarities(shifts: list[int], keeps_window: bool) -> list[float]:
    """Compare maps with themselves, seen through shifts, in five batches, replayed from the second on."""
    side, images, channels = 28, 3, 8
    transforms = [Shift(shift) for shift in shifts]
    alignments = {transform: align(transform, side, side, 224, torch.device("cpu")) for transform in transforms}
    windows = {(alignment.height, alignment.width) for alignment in alignments.values()}
    representation = Representation("block", "Early", "NHWC", side, side, channels)
    sums = RepresentationSums(representation, alignments, windows, 1, torch.device("cpu"))
    sums._keeps_window = keeps_window
    maps = {key: torch.empty(images, side, side, channels) for key in (None, *transforms)}
    out = {key: torch.zeros(count_terms(key, torch.float32, 1), images, channels) for key in transforms}
    totals = {key: torch.zeros(len(out[key])) for key in transforms}

    def see(key: Shift) -> None:
        sums.compare(key, maps[key], out[key])
        totals[key].add_(out[key].sum((1, 2)))

    steps: dict[Any, Callable[[], None]] = {
        None: lambda: sums.see_reference(maps[None], members_of(torch.zeros(images, dtype=torch.int64)))
    }
    steps |= {key: lambda key=key: see(key) for key in transforms}
    graphs = BatchGraphs(torch.device("cuda"), images)

    def record(recorded: dict[Any, Callable[[], None]]) -> None:
        for key, step in recorded.items():
            summed = [sums._products, sums._reference, *totals.values(), *out.values()]
            before = [each.clone() for each in summed]
            with Recording() as recording:
                step()
            for each, value in zip(summed, before, strict=True):
                each.copy_(value)  # recording computes nothing
            graphs._graphs[key] = recording  # type: ignore[assignment]

    seconds = iter((1.0, 0.1))

    def time(step: Callable[[], None]) -> float:
        step()
        return next(seconds)

    graphs._record, graphs._time = record, time  # type: ignore[assignment, method-assign]
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for _ in range(5):
            for each in maps.values():
                each.copy_(torch.randn(each.shape, generator=generator))
            for key, alignment in alignments.items():
                down, right = alignment.offset
                maps[key][:, down:, right:] = maps[None][:, : side - down, : side - right]
            for step in graphs.steps(steps, images):
                step()
    assert graphs.recorded
    return [(total[2] / total[1]).item() for total in totals.values()]


@pytest.mark.parametrize("shifts", [[1, 2, 3, 4], [8, 12, 16, 20], [8, 9, 10, 11, 16], [8, 16, 20, 24]])
def test_replays_compare_with_the_maps_of_their_own_batch(shifts: list[int]) -> None:
    assert own_similarities(shifts, keeps_window=False) == [pytest.approx(1, abs=1e-5)] * len(shifts)


def test_a_window_kept_from_one_graph_for_another_would_be_that_of_an_earlier_batch() -> None:
    assert min(own_similarities([8, 12, 16, 20], keeps_window=True)) < 0.9
