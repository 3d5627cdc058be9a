"""Work in a child ends at its limits, whatever it does."""

import os
import signal
import time
from mmap import mmap
from pathlib import Path

import pytest

from tests.e2e.harness import alive, eventually
from worker.children import ChildDied, ChildTimedOut, in_child, limit_memory


def test_the_answer_comes_from_another_process() -> None:
    assert in_child(lambda: f"{os.getpid()} {'ä' * 1_000_000}", 60.0).split()[0] != str(os.getpid())


@pytest.mark.parametrize("what", [lambda: time.sleep(60), lambda: os.kill(os.getpid(), signal.SIGSTOP)])
def test_a_child_that_takes_too_long_is_killed(tmp_path: Path, what) -> None:
    def hang() -> str:
        (tmp_path / "pid").write_text(str(os.getpid()))
        what()
        return ""

    beats: list[float] = []
    with pytest.raises(ChildTimedOut, match=r"took longer than 1\.5 s"):
        in_child(hang, 1.5, lambda: beats.append(0))
    assert beats
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_child_that_dies_says_how() -> None:
    with pytest.raises(ChildDied, match="was ended by signal 9"):
        in_child(lambda: os.kill(os.getpid(), signal.SIGKILL) or "", 60.0)
    with pytest.raises(ChildDied, match="ended without an answer"):
        in_child(lambda: os._exit(0), 60.0)


def test_memory_has_a_limit() -> None:
    def take_much() -> str:
        limit_memory(2**28)
        try:
            # Mapped anew: the heap may have as much that this process has freed, and which it has already.
            return f"{len(mmap(-1, 2**30))}"
        except OSError as error:
            return f"refused: {os.strerror(error.errno or 0)}"

    assert in_child(take_much, 60.0) == "refused: Cannot allocate memory"


def test_a_child_does_not_outlive_the_process_that_waits_for_it(tmp_path: Path) -> None:
    def hang() -> str:
        (tmp_path / "pid").write_text(str(os.getpid()))
        time.sleep(600)
        return ""

    parent = os.fork()
    if parent == 0:
        in_child(hang, 600.0)
        os._exit(0)
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 20.0)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    eventually(lambda: not alive(int((tmp_path / "pid").read_text())), 5.0)
