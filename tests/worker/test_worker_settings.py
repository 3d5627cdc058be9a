"""A worker's settings from the environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from worker.__main__ import _catalogue
from worker.settings import WorkerSettings, caches, canvases_folder, faults_here, forget_empty


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


def test_own_architectures_are_read_from_one_line(monkeypatch):
    monkeypatch.setenv("ZOOAUDIT_MODELS", "resnet44=experiments.models:resnet44, wide-4 = my_nets:wide ,")
    assert WorkerSettings().models == {"resnet44": "experiments.models:resnet44", "wide-4": "my_nets:wide"}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("net", "'net=' names no function; write NAME=PACKAGE.MODULE:FUNCTION"),
        ("net=mynets", "'net=mynets' names no function"),
        ("net=mynets:", "names no function"),
        ("net=:net", "names no function"),
        ("net=my nets:net", "names no function"),
        ("net=mynets:net()", "names no function"),
        ("net=../mynets:net", "names no function"),
        ("=mynets:net", "'' cannot be the name of an architecture"),
        ("my.net=mynets:net", "'my.net' cannot be the name of an architecture"),
        ("own/net=mynets:net", "cannot be the name of an architecture"),
        (f"{101 * 'n'}=mynets:net", "up to 100 letters"),
        ("net=mynets:net,net=mynets:other", "two architectures have the name net"),
    ],
)
def test_a_bad_architecture_is_refused(monkeypatch, value, fault):
    monkeypatch.setenv("ZOOAUDIT_MODELS", value)
    with pytest.raises(ValidationError, match="models") as raised:
        WorkerSettings()
    assert fault in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MEMORY_GIB", "0"), ("CACHE_GIB", "-1"), ("WORKER_TTL_S", "2"), ("JOB_TIMEOUT_S", "0"), ("STOP_GRACE_S", "-1")],
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


@pytest.mark.parametrize(
    ("name", "value"), [("DATASETS", "nonsense"), ("DECODE_PROCESSES", "many"), ("MODELS", "nonsense")]
)
def test_a_worker_does_not_start_with_settings_that_are_not_right(name, value):
    env = {"PATH": "", f"ZOOAUDIT_{name}": value}
    command = [sys.executable, "-m", "worker"]
    process = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 2
    assert process.stderr.startswith(f"ZOOAUDIT_{name}: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("MEMORY_GIB", "inf"), ("MEMORY_GIB", "nan"), ("CACHE_GIB", "nan"), ("CACHE_GIB", "much")),
        *(("STOP_GRACE_S", "1e99"), ("JOB_TIMEOUT_S", "9" * 12)),
        *(("DEVICE", "gpu"), ("DEVICE", "cuda:x"), ("DEVICE", "cuda:-1"), ("DATASETS", "a=/x,a=/y")),
        *(("DATASETS", "a=~nobody-of-this-name/x"), ("CHECKPOINTS", "s3://"), ("STORE", "gopher://host")),
    ],
)
def test_what_cannot_work_anywhere_is_refused_at_reading(monkeypatch, name, value):
    monkeypatch.setenv(f"ZOOAUDIT_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        WorkerSettings()


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", " cuda:15 "])
def test_devices_are_named_as_torch_names_them(monkeypatch, device):
    monkeypatch.setenv("ZOOAUDIT_DEVICE", device)
    assert WorkerSettings().device == device.strip()


def test_an_empty_variable_is_unset(monkeypatch):
    for name in WorkerSettings.model_fields:
        monkeypatch.setenv(f"ZOOAUDIT_{name.upper()}", "")
    assert WorkerSettings().model_dump() == {name: field.default for name, field in WorkerSettings.model_fields.items()}
    environ = {"TORCH_HOME": "", "HF_HOME": "/data", "HF_ENDPOINT": "", "OTHER": ""}
    forget_empty(environ)
    assert environ == {"HF_HOME": "/data", "OTHER": ""}


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("ZOOAUDIT_DATASETS", "imagenet-val=~/val,photos=/data/~x")
    monkeypatch.setenv("ZOOAUDIT_CHECKPOINTS", "~/checkpoints")
    monkeypatch.setenv("ZOOAUDIT_STORE", "file:///home/somebody/store")
    settings = WorkerSettings()
    assert settings.datasets == {"imagenet-val": Path("/home/somebody/val"), "photos": Path("/data/~x")}
    assert (settings.checkpoints, settings.store) == ("/home/somebody/checkpoints", "/home/somebody/store")


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with a file in it, and a data set."""
    (tmp_path / "file").touch()
    (tmp_path / "photos").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"TORCH_HOME": "{}/file/torch"}, "TORCH_HOME"),
        ({"TORCH_HOME": "{}/file"}, "TORCH_HOME"),
        ({"TORCH_HOME": "{}", "HF_HOME": "{}/file"}, "HF_HOME"),
        ({"HF_HOME": "{}/file", "HF_HUB_CACHE": "{}/file"}, "HF_HUB_CACHE"),
        ({"HF_HUB_CACHE": "/proc/hub", "HF_HUB_OFFLINE": "1"}, "HF_HUB_CACHE"),
        ({"HF_HUB_CACHE": "/proc"}, "HF_HUB_CACHE"),
        ({"XDG_CACHE_HOME": "{}/file", "TORCH_HOME": "{}/torch"}, "XDG_CACHE_HOME"),
    ],
)
def test_a_cache_that_cannot_be_written_is_named(place, environ, variable):
    environ = {"XDG_CACHE_HOME": "{}/cache"} | environ
    environ = {name: value.format(place) for name, value in environ.items()}
    (line,) = faults_here(WorkerSettings(store=str(place / "store")), environ)
    assert line.startswith(f"{variable}: ")
    assert line.endswith("it must name a folder in which downloaded weights can be kept") or "HF_HUB_OFFLINE=1" in line


def test_a_cache_that_is_filled_need_not_be_written_offline(place):
    environ = {"TORCH_HOME": str(place), "HF_HUB_CACHE": "/proc", "HF_HUB_OFFLINE": "1"}
    assert list(faults_here(WorkerSettings(store=str(place)), environ)) == []


def test_a_folder_where_no_decoded_images_can_be_kept_is_named_unless_none_are(place):
    (place / "cache").mkdir()
    (place / "cache" / "zooaudit").touch()
    environ = {"TORCH_HOME": str(place), "HF_HOME": str(place), "XDG_CACHE_HOME": str(place / "cache")}
    (line,) = faults_here(WorkerSettings(store=str(place / "store")), environ)
    assert line.startswith("ZOOAUDIT_CACHE_GIB: ")
    assert f"{place}/cache/zooaudit/canvases cannot be a folder" in line
    assert "XDG_CACHE_HOME" in line
    assert list(faults_here(WorkerSettings(store=str(place / "store"), cache_gib=0), environ)) == []


def test_decoded_images_are_kept_in_the_folder_of_caches(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    for environ, folder in (({}, "/home/somebody/.cache"), ({"XDG_CACHE_HOME": "/xdg"}, "/xdg")):
        assert canvases_folder(environ) == Path(folder, "zooaudit", "canvases")


LIBRARIES_CACHES = """
import importlib, json, os, sys
import huggingface_hub.constants as hub, torch.hub
for environ in json.loads(sys.argv[1]):
    os.environ.clear()
    os.environ.update(environ)
    print(json.dumps([torch.hub.get_dir() + "/checkpoints", importlib.reload(hub).HF_HUB_CACHE]))
"""


def test_the_caches_are_those_of_the_libraries(monkeypatch):
    chosen = (
        {"TORCH_HOME": "~/torch", "HF_HOME": "~/hub", "XDG_CACHE_HOME": "/xdg"},
        {"XDG_CACHE_HOME": "~/xdg"},
        {"HF_HUB_CACHE": "$HOME/x", "HF_HOME": "/hub"},
        {},
    )
    environs = [{"HOME": "/home/somebody"} | variables for variables in chosen]
    command = [sys.executable, "-c", LIBRARIES_CACHES, json.dumps(environs)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    theirs = [json.loads(line) for line in ran.stdout.splitlines()]
    monkeypatch.setenv("HOME", "/home/somebody")
    ours = [[str(folder) for _, folder in caches(environ)] for environ in environs]
    assert ours == theirs


def test_folders_that_are_not_there_are_named(place):
    settings = WorkerSettings(
        store=str(place / "file"),
        checkpoints=str(place / "absent"),
        datasets=f"photos={place / 'photos'},gone={place / 'gone'},file={place / 'file'}",
    )
    lines = list(faults_here(settings, {"XDG_CACHE_HOME": str(place)}))
    assert lines == [
        f"ZOOAUDIT_STORE: {place / 'file'} cannot be a folder: a file is in its place",
        f"ZOOAUDIT_CHECKPOINTS: there is no folder {place / 'absent'}",
        f"ZOOAUDIT_DATASETS: data set gone: there is no folder {place / 'gone'}",
        f"ZOOAUDIT_DATASETS: data set file: {place / 'file'} is not a folder",
    ]


def test_a_data_set_that_goes_away_later_is_left_out_and_an_empty_one_is_told(place, caplog):
    settings = WorkerSettings(datasets=f"photos={place / 'photos'},gone={place / 'gone'}")
    assert _catalogue(settings).datasets == {"synthetic": None, "photos": 0}
    empty, gone = (record.getMessage() for record in caplog.records)
    assert empty == f"ZOOAUDIT_DATASETS: data set photos: {place / 'photos'} holds no images yet"
    assert gone.startswith("ZOOAUDIT_DATASETS: data set gone is left out: ")


def test_a_worker_without_the_named_gpu_says_so_and_starts_nothing(place):
    env = {**os.environ, "ZOOAUDIT_DEVICE": "cuda:99", "ZOOAUDIT_STORE": str(place), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "worker"]
    process = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 2
    (line,) = [line for line in process.stderr.splitlines() if line.startswith("ZOOAUDIT_DEVICE: ")]
    assert "cuda:99" in line
    assert "Traceback" not in process.stderr
