"""When the steps of a batch are recorded and replayed, without a GPU: tests/gpu shows that replays compute the same."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from worker.measure.cuda_graphs import BatchGraphs
from worker.measure.transforms import Shift

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
