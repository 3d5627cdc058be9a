"""Several workers under one supervisor: real processes that do as little as the test needs."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.e2e.harness import alive, eventually

# Runs a supervisor over workers that are called a and b. What a worker does is given as the body of run(name).
SUPERVISOR = """
import logging, os, signal, sys, time
from worker import supervisor
from worker.devices import Share
from worker.settings import WorkerSettings

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
supervisor.REMIND_EVERY_S = 0.1

def wait():
    while True:
        signal.pause()

def run(share):
    name = share.name
{body}

def tell(trouble):
    print("HEALTH", trouble, file=sys.stderr, flush=True)

shares = [Share(name, WorkerSettings(), None) for name in ("a", "b")]
sys.exit(supervisor.Supervisor(shares, run, tell).work())
"""
READY = 'print("ready", os.getpid(), flush=True)\n'
COUNTING = """
def note(number, _frame):
    print("got", signal.Signals(number).name, flush=True)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, note)
"""


@contextmanager
def supervising(body: str) -> Iterator[subprocess.Popen]:
    """Run a supervisor as a shell does, in a process group of its own, and kill it at the end of the block."""
    code = SUPERVISOR.format(body="\n".join(f"    {line}" for line in body.splitlines()))
    line = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: subprocess.Popen, *wanted: str) -> list[str]:
    """Read lines until each of the regular expressions has matched one of them."""
    lines: list[str] = []
    missing = set(wanted)
    while missing:
        line = process.stderr.readline()
        assert line, f"the supervisor has ended, and said {lines}"
        lines.append(line.rstrip("\n"))
        missing -= {one for one in missing if re.search(one, line)}
    return lines


def pid_of(lines: list[str], name: str) -> int:
    return next(int(line.split()[-1]) for line in lines if line.startswith(f"{name} | ready"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_each_worker_once_even_from_a_terminal_and_the_second_too(number):
    with supervising(COUNTING + READY + "while True: signal.pause()") as process:
        lines_until(process, "a . ready", "b . ready")
        for _ in range(2):
            os.killpg(process.pid, number)  # as Ctrl+C does: to everyone in the group
            lines_until(process, f"a . got {number.name}", f"b . got {number.name}")
        for worker in psutil.Process(process.pid).children():
            worker.kill()
        rest = process.stderr.read()
        assert "got" not in rest  # no signal came twice
        assert "started again" not in rest  # told to stop
        assert process.wait(10) == 0


def test_a_worker_that_has_no_handlers_yet_is_stopped_by_a_signal():
    with supervising(READY + "wait()") as process:
        lines_until(process, "a . ready", "b . ready")
        process.terminate()
        assert process.wait(10) == 0


def test_a_worker_that_is_killed_is_started_again_and_the_other_goes_on():
    with supervising(READY + "wait()") as process:
        first = lines_until(process, "a . ready", "b . ready")
        os.kill(pid_of(first, "a"), signal.SIGKILL)
        then = lines_until(process, "a . ready", "^HEALTH")
        told = "The worker on a has died (killed by SIGKILL) and is started again."
        assert {f"WARNING {told}", f"HEALTH {told}"} < set(then)
        assert pid_of(then, "a") != pid_of(first, "a")
        assert alive(pid_of(first, "b"))


def test_a_worker_that_dies_again_and_again_is_left_out_and_health_tells_for_as_long():
    with supervising(READY + 'if name == "a": sys.exit("no luck today")\nwait()') as process:
        left_out = r"The worker on a has died 6 times within 10 minutes \(exit status 1\) and is not started again"
        lines = lines_until(process, f"^ERROR {left_out}", "b . ready")
        for _ in range(3):
            lines += lines_until(process, f"^HEALTH {left_out}")
        assert lines.count("a | no luck today") == 6  # the last of them may be relayed after its end is noted
        (other,) = psutil.Process(process.pid).children()
        assert other.pid == pid_of(lines, "b")
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize(("status", "starts"), [(1, 6), (2, 1)])
def test_with_no_worker_left_the_supervisor_ends_as_they_did(status, starts):
    with supervising(f"print(name)\nreturn {status}") as process:
        said = process.stderr.read().splitlines()
        assert process.wait(10) == status
    assert (said.count("a | a"), said.count("b | b")) == (starts, starts)


def test_each_line_says_whose_it_is_whatever_wrote_it():
    body = 'os.write(1, b"half a l"); time.sleep(0.3); os.write(2, b"ine\\n\\n")\n'
    body += 'if name == "b": 1 / 0\nos.system("echo from a child >&2")\nos.write(1, b"no end"); return 2'
    with supervising(body) as process:
        said = process.stderr.read().splitlines()
    of_a = [line for line in said if line.startswith("a | ")]
    assert of_a == ["a | half a line", "a | ", "a | from a child", "a | no end"]
    assert "b | ZeroDivisionError: division by zero" in said
    assert [line for line in said if not line.startswith(("a | ", "b | ", "WARNING ", "ERROR ", "HEALTH "))] == []


def test_workers_go_on_when_nobody_reads_their_lines():
    with supervising('while True: print("line"); time.sleep(0.01)') as process:
        lines_until(process, "a . line", "b . line")
        workers = psutil.Process(process.pid).children()
        process.stderr.close()
        written = sum(worker.io_counters().write_count for worker in workers)
        eventually(lambda: sum(worker.io_counters().write_count for worker in workers) > written + 100, 10.0)
        assert process.poll() is None


def test_workers_end_with_a_supervisor_that_is_killed():
    with supervising(READY + "wait()") as process:
        lines = lines_until(process, "a . ready", "b . ready")
        process.kill()
        eventually(lambda: not alive(pid_of(lines, "a")) and not alive(pid_of(lines, "b")), 5.0)


FAKE_GPUS = """
import sys, time, torch
from worker import __main__ as command

torch.cuda.device_count = lambda: 3
def run(settings, threads):
    print("on", settings.device, threads, settings.decode_processes, torch.cuda.is_initialized(), flush=True)
    time.sleep(600)
command._run_worker = run
sys.exit(command.main(["--devices", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    ("wanted", "named", "on"),
    [
        ("all", "3 workers: cuda:0, cuda:1, cuda:2", {f"cuda:{index}": f"cuda:{index}" for index in range(3)}),
        ("cuda:2,cpu", "2 workers: cuda:2, cpu", {"cuda:2": "cuda:2", "cpu": "cpu"}),
    ],
)
def test_the_command_runs_a_worker_for_each_gpu_and_says_which(tmp_path, wanted, named, on):
    env = {**os.environ, "ZOOAUDIT_STORE": str(tmp_path), "OMP_NUM_THREADS": "1", "ZOOAUDIT_DECODE_PROCESSES": "4"}
    line = [sys.executable, "-c", FAKE_GPUS, wanted]
    with subprocess.Popen(line, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = lines_until(process, f"INFO {named}$", *(rf"^{name} \| on" for name in on))
            for name, device in on.items():
                assert f"{name} | on {device} None 4 False" in lines
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_a_single_gpu_needs_no_supervisor(tmp_path):
    code = FAKE_GPUS.replace("lambda: 3", "lambda: 1").replace("time.sleep(600)", "return 0")
    env = {**os.environ, "ZOOAUDIT_STORE": str(tmp_path), "ZOOAUDIT_DEVICE": "cpu"}
    line = [sys.executable, "-c", code.replace("threads):", "threads=None):"), "all"]
    ran = subprocess.run(line, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"^on cuda:0 None \d False$", ran.stdout, re.MULTILINE)
    assert "INFO 1 worker: cuda:0\n" in ran.stderr
    assert "ZOOAUDIT_DEVICE has no effect beside --devices" in ran.stderr


@pytest.mark.parametrize("wanted", ["gpu", "cuda:99", "cpu,"])
def test_the_command_refuses_devices_that_are_not_there(tmp_path, wanted):
    env = {**os.environ, "ZOOAUDIT_STORE": str(tmp_path)}
    line = [sys.executable, "-m", "worker", "--devices", wanted]
    ran = subprocess.run(line, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert re.fullmatch(r"--devices: .*; here are: cpu.*\n", ran.stderr)
