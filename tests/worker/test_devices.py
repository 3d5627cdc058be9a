"""Devices and caches that are not there, or not as they are named."""

from pathlib import Path

import pytest
import torch

from worker.audit import choose_device
from worker.errors import AuditError
from worker.zoo import download


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
