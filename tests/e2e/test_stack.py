"""The local stack: one to a folder, parts that die start again, and settings that cannot work are told in a line."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from service import stack as stack_module
from service.stack import SettingsRefused, running
from tests.e2e.conftest import SEEDS
from tests.e2e.harness import FAKE_WORKER, Audits, alive, eventually

STACK = (sys.executable, "-m", "service.stack")
# Runs a stack as the command does, but with the fake worker.
FAKE_STACK = f"""
import functools, sys
from service import stack
stack.running = functools.partial(stack.running, worker_command={FAKE_WORKER!r})
sys.exit(stack.main())
"""


@contextmanager
def command(folder: Path, *arguments: str, **env: str) -> Iterator[subprocess.Popen]:
    """Run the command with the fake worker in ``folder``. It is killed at the end of the block if it still runs."""
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    given = {**os.environ, "ZOOAUDIT_PORT": "0", "ZOOAUDIT_API_KEYS": "", "FAKE_RUNS": str(folder / "runs"), **env}
    line = [sys.executable, "-u", "-c", FAKE_STACK, "--directory", str(folder), *arguments]
    with subprocess.Popen(line, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def url_of(process: subprocess.Popen) -> str:
    """Read what a stack says until it is ready, and return its address."""
    for line in process.stdout:
        if found := re.match(r"zooaudit is at (\S+),", line):
            return found[1]
    raise AssertionError("the stack was never ready")


def part(process: subprocess.Popen, name: str) -> psutil.Process:
    """The process of the stack whose command line holds ``name``."""
    parts = psutil.Process(process.pid).children()
    (found,) = [one for one in parts if name in " ".join(one.cmdline())]
    return found


def test_each_part_that_is_killed_is_started_again_and_audits_succeed(tmp_path):
    with command(tmp_path, ZOOAUDIT_WORKER_TTL_S="3") as process:
        url = url_of(process)
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
            audits = Audits(http, tmp_path / "runs", seeds=SEEDS)
            first = audits.submit("quick")
            assert audits.ended(first).status == "succeeded"
            for name, its_command in (("redis", "-server"), ("worker-1", "fake_worker"), ("api", "-m service")):
                killed = part(process, its_command)
                killed.kill()
                log = tmp_path / ("redis/redis.log" if name == "redis" else f"logs/{name}.log")
                told = process.stdout.readline().strip()
                assert told == f"{name} has died (killed by SIGKILL) and is started again; its log: {log}"
                eventually(lambda: answers(http), 30.0)
                assert audits.ended(audits.submit("quick"), within_s=30.0).status == "succeeded"
                assert audits.get(first).status == "succeeded"  # the same Redis data
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "stopped; unfinished audits go on next time\n"
        assert process.wait(30) == 0


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health").json()["status"] == "ok"
    except httpx.TransportError:
        return False


def test_a_part_that_dies_again_and_again_ends_the_stack_with_its_last_words(tmp_path, capfd):
    # The second argument is absent at first, so that the worker is well when the stack starts.
    script = "import pathlib, sys, time\nif pathlib.Path(sys.argv[1]).exists(): sys.exit('no luck today')\n"
    script += "import runpy; runpy.run_module('tests.e2e.fake_worker', run_name='__main__')"
    broken = tmp_path / "broken"
    (tmp_path / "runs").mkdir()
    env = {"ZOOAUDIT_API_KEYS": "", "FAKE_RUNS": str(tmp_path / "runs")}
    line = (sys.executable, "-c", script, str(broken))
    with running(tmp_path, env=env, worker_command=line) as stack:
        broken.touch()
        stack.workers[0].kill()
        with pytest.raises(RuntimeError) as raised:
            stack.keep_running()
    words = str(raised.value).splitlines()
    assert words == ["worker-1 has died 6 times within 10 minutes (exit status 1); its log ends with:", "no luck today"]
    told = capfd.readouterr().out.splitlines()
    assert len(told) == stack_module.MAX_DEATHS
    assert told[0].startswith("worker-1 has died (killed by SIGKILL) and is started again")
    assert told[1].startswith("worker-1 has died (exit status 1) and is started again")


def test_deaths_long_ago_do_not_count(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(stack_module, "DEATHS_WITHIN_S", 0.0)
    count = tmp_path / "count"
    script = (
        "import pathlib, sys; count = pathlib.Path(sys.argv[1])\n"
        "with count.open('a') as file: file.write('.')\n"
        "sys.exit(2 if len(count.read_text()) > 9 else 1)"
    )
    with running(tmp_path, workers=0, env={"ZOOAUDIT_API_KEYS": ""}) as stack:
        stack.worker_command = (sys.executable, "-c", script, str(count))
        stack.start_worker()
        with pytest.raises(SettingsRefused):
            stack.keep_running()
    assert count.read_text() == "." * 10  # the tenth could not work with its settings, so there was no eleventh
    assert capfd.readouterr().out.count("started again") == 9


@pytest.mark.parametrize(
    ("workers", "device", "started"),
    [
        (None, "", [["--devices", "all"]]),  # the worker's own command counts the GPUs
        (None, "cuda:1", [[]]),
        (2, "", [[], []]),
        (0, "", []),
    ],
)
def test_a_stack_has_a_worker_for_each_gpu_unless_told_otherwise(tmp_path, monkeypatch, workers, device, started):
    monkeypatch.setattr(stack_module, "WORKER", FAKE_WORKER)
    (tmp_path / "runs").mkdir()
    env = {"ZOOAUDIT_API_KEYS": "", "ZOOAUDIT_DEVICE": device, "FAKE_RUNS": str(tmp_path / "runs")}
    with running(tmp_path, workers=workers, env=env) as stack:
        assert [worker.args for worker in stack.workers] == [[*FAKE_WORKER, *arguments] for arguments in started]


def test_a_second_stack_in_the_same_folder_says_who_uses_it(tmp_path):
    with running(tmp_path, workers=0, env={"ZOOAUDIT_API_KEYS": ""}):
        told = refused("--directory", str(tmp_path))
        assert told == (
            f"{tmp_path} is in use by another stack, process {os.getpid()}; "
            "stop that one, or give another folder with --directory"
        )
        told = refused("--directory", str(tmp_path / "another"), ZOOAUDIT_STORE=str(tmp_path / "store"))
        assert told.startswith(f"{tmp_path / 'store'} is in use by another stack, process {os.getpid()}; ")
        assert told.endswith("give another folder with ZOOAUDIT_STORE")
        # Its own children must not keep the folder when it is gone.
        with command(tmp_path / "other", "--workers", "0") as process:
            url_of(process)
            children = psutil.Process(process.pid).children()
            process.kill()
            process.wait()
            eventually(lambda: not any(alive(child.pid) for child in children), 5.0)
        with running(tmp_path / "other", workers=0, env={"ZOOAUDIT_API_KEYS": ""}) as stack:
            stack.wait()


def test_a_child_of_the_stack_does_not_keep_its_folder_locked(tmp_path):
    with running(tmp_path, workers=0, env={"ZOOAUDIT_API_KEYS": ""}) as stack:
        lock = (tmp_path / "stack.lock").stat()
        for process in (stack.redis.process, stack.api):
            files = [Path(entry) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
            assert lock.st_ino not in [file.stat().st_ino for file in files if file.exists()]


def test_another_store_in_the_same_folder_is_told(tmp_path, capfd):
    other = tmp_path / "elsewhere"
    for store, told in (("", ""), ("", ""), (str(other), f"reports in {tmp_path / 'store'} so far, not in {other}")):
        with running(tmp_path, workers=0, env={"ZOOAUDIT_API_KEYS": "", "ZOOAUDIT_STORE": store}):
            pass
        said = capfd.readouterr().err
        assert told in said
        assert said.count("\n") == (1 if told else 0)


def refused(*arguments: str, **env: str) -> str:
    """Run the real stack, which must refuse to run, and return what it says on standard error."""
    given = {**os.environ, "ZOOAUDIT_PORT": "0", "ZOOAUDIT_API_KEYS": "", **env}
    ran = subprocess.run([*STACK, *arguments], env=given, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 2, ran.stderr
    return ran.stderr.strip()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ZOOAUDIT_REDIS_URL", "http://:hidden@host", "it does not begin with redis://"),
        ("ZOOAUDIT_HOST", "nowhere.invalid", "Without ZOOAUDIT_API_KEYS"),
        ("ZOOAUDIT_STORE", "{folder}/file/store", "a file is in its place"),
        ("ZOOAUDIT_DATASETS", "photos={folder}/absent", "data set photos: there is no folder {folder}/absent"),
        ("ZOOAUDIT_DEVICE", "gpu", "'gpu' is no device"),
        ("HF_HUB_CACHE", "{folder}/file/hub", "a file is in its place"),
    ],
)
def test_a_setting_that_cannot_work_is_told_in_one_line(tmp_path, name, value, told):
    (tmp_path / "file").touch()
    line = refused("--directory", str(tmp_path / "data"), **{name: value.format(folder=tmp_path)})
    assert line.startswith(f"{name}: ")
    assert told.format(folder=tmp_path) in line
    assert "\n" not in line
    assert "hidden" not in line


def test_the_faults_of_an_earlier_run_are_not_told_again(tmp_path):
    first = refused("--directory", str(tmp_path), ZOOAUDIT_DEVICE="gpu")
    second = refused("--directory", str(tmp_path), ZOOAUDIT_DATASETS="nonsense")
    assert first.startswith("ZOOAUDIT_DEVICE: ")
    assert second == "ZOOAUDIT_DATASETS: write NAME=FOLDER, several with commas between them"


def test_a_port_in_use_is_told_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        told = refused("--directory", str(tmp_path), ZOOAUDIT_PORT=port)
    assert told == (
        f"ZOOAUDIT_PORT: another program listens on port {port} of 127.0.0.1 already; stop it, or choose another port"
    )
    assert not (tmp_path / "redis").exists()


@pytest.mark.parametrize("proxies", [{"HTTP_PROXY": "http://127.0.0.1:9"}, {"ALL_PROXY": "socks5://127.0.0.1:9"}])
def test_proxies_do_not_stand_between_a_stack_and_its_api(tmp_path, proxies):
    with command(tmp_path, "--workers", "0", **{"NO_PROXY": ""} | proxies) as process:
        assert url_of(process).startswith("http://127.0.0.1:")


def test_a_stack_that_listens_on_another_address_finds_its_api(tmp_path):
    with running(tmp_path, workers=0, env={"ZOOAUDIT_API_KEYS": "sesame", "ZOOAUDIT_HOST": "0.0.0.0"}) as stack:
        assert stack.url.startswith("http://127.0.0.1:")
    with running(tmp_path, workers=0, env={"ZOOAUDIT_API_KEYS": "", "ZOOAUDIT_HOST": "127.0.0.2"}) as stack:
        assert stack.url.startswith("http://127.0.0.2:")
