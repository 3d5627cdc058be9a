"""Devices: which there are, how workers share them; and caches that are not there, or not as they are named."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from worker.audit import choose_device
from worker.children import machine_memory_bytes
from worker.devices import DevicesRefused, NoAnswer, choose, count_gpus, share_out
from worker.errors import AuditError
from worker.images import decoding
from worker.measure.budget import GIB
from worker.settings import WorkerSettings
from worker.zoo import download


@dataclass
class Card:
    """What the driver tells of a GPU."""

    total_memory: int


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "cuda:99", "mps", "meta", "cpu:3", "0", "cuda:0 "])
def test_a_device_that_is_malformed_or_absent_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(AuditError, match="Name one of: cpu") as raised:
        choose_device(name, "float32")
    assert raised.value.problem.type.endswith("no-device")
    assert repr(name) in raised.value.problem.detail


def test_of_one_gpu_only_the_first_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device(None, "float32").type == "cuda"
    assert choose_device("cuda:0", "tf32") == torch.device("cuda:0")
    with pytest.raises(AuditError, match="Name one of: cpu, cuda, cuda:0"):
        choose_device("cuda:7", "float32")


def test_a_cache_that_cannot_be_written_is_named_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(in_the_way / "hub"))
    with pytest.raises(AuditError, match=r"the folder of TORCH_HOME \(Not a directory\)") as raised:
        download.fetch_url("http://127.0.0.1:9/x.pth", lambda _progress: None)
    assert raised.value.problem.type.endswith("cache-unavailable")
    assert str(tmp_path) not in raised.value.problem.detail

    def offline(*_names: str, **_options: object) -> str:
        raise OSError("offline")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(in_the_way / "hf"))
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", offline)
    with pytest.raises(AuditError, match=r"the folder of HF_HOME \(Not a directory\)"):
        download.HubFiles(offline, lambda _progress: None).download("timm/x", "model.safetensors")


def test_a_full_disk_is_told_from_a_hub_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch.hub, "download_url_to_file", full)
    with pytest.raises(AuditError, match=r"TORCH_HOME \(No space left on device\)"):
        download.fetch_url("http://127.0.0.1:9/x.pth", lambda _progress: None)
    monkeypatch.undo()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(AuditError) as raised:
        download.fetch_url("http://127.0.0.1:9/x.pth", lambda _progress: None)
    assert raised.value.problem.type.endswith("hub-unreachable")


@pytest.mark.parametrize(
    ("wanted", "gpus", "devices"),
    [
        *(("all", 3, ["cuda:0", "cuda:1", "cuda:2"]), (" all ", 1, ["cuda:0"]), ("all", 0, ["cpu"])),
        *(("cuda:0,cuda:2", 3, ["cuda:0", "cuda:2"]), ("cuda, cuda:0", 1, ["cuda:0", "cuda:0"])),
        *(("cpu,cpu", 0, ["cpu", "cpu"]), ("cpu,cuda:1", 2, ["cpu", "cuda:1"]), ("cuda:11", 12, ["cuda:11"])),
    ],
)
def test_a_worker_for_each_device_that_is_named(wanted: str, gpus: int, devices: list[str]) -> None:
    assert choose(wanted, gpus) == devices


@pytest.mark.parametrize(
    ("wanted", "gpus", "told"),
    [
        ("gpu", 1, "'gpu' is no device; write all, or names with commas between them; here are: cpu, cuda:0"),
        ("cuda:2", 2, "there is no cuda:2 here; here are: cpu, cuda:0, cuda:1"),
        ("cuda", 0, "there is no cuda:0 here; here are: cpu"),
        *(
            (wanted, 2, "is no device")
            for wanted in ("", "cpu,", "0", "cuda:-1", "cuda:01", "cuda:x", "all,cpu", "ALL")
        ),
    ],
)
def test_devices_that_are_nonsense_or_absent_are_refused_with_those_there_are(
    wanted: str, gpus: int, told: str
) -> None:
    with pytest.raises(DevicesRefused) as raised:
        choose(wanted, gpus)
    assert told in str(raised.value)


def test_gpus_are_counted_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = os.getpid()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 5 if os.getpid() != asking else 0)
    assert count_gpus() == 5


def test_a_driver_that_gives_no_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: os._exit(3))
    with pytest.raises(NoAnswer, match="ended without an answer; try nvidia-smi, or set ZOOAUDIT_DEVICE=cpu"):
        count_gpus()


def test_workers_share_cores_and_a_card_that_several_use(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = {0: 80 * GIB, 1: 40 * GIB}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Card(cards[device.index]))
    monkeypatch.setattr(decoding.os, "sched_getaffinity", lambda _pid: set(range(16)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    shares = share_out(WorkerSettings(), ["cuda:1", "cuda:0", "cuda:1"])
    assert [(share.name, share.settings.device, share.settings.memory_gib) for share in shares] == [
        ("cuda:1#1", "cuda:1", pytest.approx(16)),
        ("cuda:0", "cuda:0", None),  # its worker takes four fifths of it, as one that is alone
        ("cuda:1#2", "cuda:1", pytest.approx(16)),
    ]
    assert {(share.settings.decode_processes, share.threads) for share in shares} == {(4, 5)}
    (alone,) = share_out(WorkerSettings(), ["cuda:1"])
    assert (alone.settings.memory_gib, alone.settings.decode_processes, alone.threads) == (None, 8, None)
    many = share_out(WorkerSettings(), [f"cuda:{index}" for index in range(32)])
    assert {(share.settings.decode_processes, share.threads) for share in many} == {(1, 1)}


def test_what_the_operator_says_holds_for_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    shares = share_out(WorkerSettings(memory_gib=5, decode_processes=3, stop_grace_s=7), ["cpu", "cpu"])
    settings = [share.settings for share in shares]
    assert [(one.memory_gib, one.decode_processes, one.stop_grace_s) for one in settings] == [(5, 3, 7)] * 2
    assert [share.threads for share in shares] == [None, None]


def test_workers_on_the_cpu_share_its_memory() -> None:
    memory = [share.settings.memory_gib for share in share_out(WorkerSettings(), ["cpu"] * 4)]
    assert memory == pytest.approx([min(7.0, 0.7 * machine_memory_bytes() / GIB / 4)] * 4)
