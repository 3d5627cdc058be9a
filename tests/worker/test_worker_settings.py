"""A worker's settings from the environment."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from worker.settings import WorkerSettings


def test_data_sets_are_read_from_one_line(monkeypatch):
    monkeypatch.setenv("ZOOAUDIT_DATASETS", "imagenet-val=/data/val, photos=/data/my photos/a=b,")
    assert WorkerSettings().datasets == {"imagenet-val": Path("/data/val"), "photos": Path("/data/my photos/a=b")}
    monkeypatch.setenv("ZOOAUDIT_DATASETS", "")
    assert WorkerSettings().datasets == {}


@pytest.mark.parametrize("value", ["photos", "=/data", "photos=", "synthetic=/data", "../x=/data", "a b=/data"])
def test_a_bad_data_set_is_refused(monkeypatch, value):
    monkeypatch.setenv("ZOOAUDIT_DATASETS", value)
    with pytest.raises(ValidationError, match="datasets"):
        WorkerSettings()


@pytest.mark.parametrize(
    ("name", "value"), [("MEMORY_GIB", "0"), ("WORKER_TTL_S", "2"), ("JOB_TIMEOUT_S", "0"), ("STOP_GRACE_S", "-1")]
)
def test_a_number_out_of_range_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(f"ZOOAUDIT_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        WorkerSettings()


def test_settings_are_frozen_and_keep_the_password():
    settings = WorkerSettings(redis_url="redis://:hidden@example:1/0")
    assert "hidden" not in repr(settings)
    with pytest.raises(ValidationError):
        settings.device = "cpu"


@pytest.mark.parametrize(("name", "value"), [("DATASETS", "nonsense"), ("DECODE_PROCESSES", "many")])
def test_a_worker_does_not_start_with_settings_that_are_not_right(name, value):
    env = {"PATH": "", f"ZOOAUDIT_{name}": value}
    command = [sys.executable, "-m", "worker"]
    process = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 2
    assert process.stderr.startswith(f"ZOOAUDIT_{name}: ")
