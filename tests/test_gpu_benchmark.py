"""The benchmark and the tests of a GPU, as far as a machine without one can try them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from worker.images.canvas_cache import CanvasCache
from worker.images.synthetic import dead_leaves

MODEL = "timm/test_resnet"


def test_tests_of_a_gpu_are_neither_run_nor_skipped_unless_asked_for() -> None:
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/gpu"]
    alone = subprocess.run(collect, capture_output=True, text=True, check=False)
    assert "no tests collected" in alone.stdout
    assert "deselected" in alone.stdout
    asked = subprocess.run([*collect, "-m", "gpu"], capture_output=True, text=True, check=True)
    assert "deselected" not in asked.stdout
    assert "test_a_gpu_gives_the_scores_of_the_cpu" in asked.stdout


def test_without_a_gpu_the_benchmark_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match="needs an NVIDIA GPU, and torch finds none here"):
        gpu.main()


def test_a_row_has_an_audit_of_kept_canvases_beside_as_many_forward_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = CanvasCache(tmp_path, 1.0)
    assert gpu.fill(cache, MODEL, 4) == {"images": 4}

    def painted(*_arguments: object) -> None:
        raise AssertionError("an image was decoded while the time was taken")

    monkeypatch.setattr(sys.modules[dead_leaves.__module__], "dead_leaves", painted)
    monkeypatch.setattr("worker.images.dataset.dead_leaves", painted)
    monkeypatch.setattr(gpu, "WARM_UP", 0)
    audit = gpu.audited(MODEL, "bfloat16", 4, 2, "cpu", cache)
    seen = []
    monkeypatch.setattr(gpu, "timed", lambda work, count, _device: seen.append((work(), count)) or 1.0)
    alone = gpu.forwards(MODEL, "bfloat16", audit["forward_images"] // 2, audit["batch_size"], "cpu")
    ((output, count),) = seen
    assert (len(output), output.dtype, count) == (2, torch.bfloat16, 36 * 4 // 2)
    row = {"model": MODEL, "precision": "bfloat16", "launches": {"mean": 11.0}, "audit": audit, "forwards": alone}
    assert json.loads(json.dumps(row)) == row
    assert f"{audit['seconds'] / 1.0:11.2f}" in gpu.line(row)


def test_a_file_is_named_after_the_card() -> None:
    assert gpu.slug("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"


def test_what_fails_or_comes_too_late_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = {"seconds": 2.0, "first_seconds": 0.5, "batch_size": 4, "cuda_graphs": True, "peak_bytes": 2**30}
    audit["forward_images"] = 8
    alone = {"seconds": 1.0, "graph_seconds": 0.5}

    def measured(model: str, precision: str, *_rest: object) -> gpu.Result:
        if precision == "bfloat16":
            raise gpu.ChildTimedOut("took longer than 150 s")
        return {"model": model, "precision": precision, "audit": audit, "forwards": alone}

    monkeypatch.setattr(gpu, "measured", measured)
    # What torch has computed in the tests' own process would leave its threads' locks held in a fork.
    monkeypatch.setattr(gpu, "fill", lambda *_arguments: {})
    monkeypatch.setattr(gpu, "launched", lambda _model: {"mean": 11.0})
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu", MODEL, "--device", "cpu", "--out", str(out)])
    with pytest.raises(SystemExit, match=f"Left out: {MODEL} in bfloat16"):
        gpu.main()
    told = capsys.readouterr().out
    assert "bfloat16  a process took longer than 150 s" in told
    assert "       2.00        4.00   0.5s     1.00     11.0 yes" in told
    written = json.loads(out.read_text())
    assert written["left_out"] == [f"{MODEL} in bfloat16"]
    assert [row["precision"] for row in written["measured"]] == ["float32"]
    assert written["torch"] == torch.__version__
