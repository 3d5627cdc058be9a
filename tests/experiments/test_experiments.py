"""Every experiment from its command to its figures, with one epoch on 64 images."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from PIL import Image
from zooaudit import Report

from experiments import __main__ as command
from experiments import augmentation, lab, similarity, symmetry, width
from experiments.page import TITLES
from experiments.results import Result
from tests.experiments.files import write_mnist

pytestmark = pytest.mark.usefixtures("kaleido")

TRAINED = {"similarity": (3, 6), "symmetry": (9, 9), "augmentation": (15, 15), "width": (12, 12)}
"""How many networks are trained, and how many audits are made."""


@pytest.fixture
def short(monkeypatch) -> None:
    """Let the small scale be one epoch on 64 images."""
    monkeypatch.setattr(lab, "SMALL", (64, 40))
    for module in (similarity, symmetry, augmentation, width):
        monkeypatch.setattr(module, "SMALL_EPOCHS", 1)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", TRAINED)
def test_an_experiment_runs_to_its_end(name, tmp_path, capsys):
    assert command.main([name, "--scale", "small", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "100%" not in printed.out
    networks, audits = TRAINED[name]
    assert len(list((tmp_path / "networks").glob("*.safetensors"))) == networks
    reports = [
        Report.model_validate_json(file.read_bytes()) for file in (tmp_path / "small" / name / "reports").iterdir()
    ]
    assert len(reports) == audits
    assert {report.images.count for report in reports} <= {40, 25, 24, 23, 22, 26}  # MNIST6 has six digits of ten
    folder = tmp_path / "small" / name
    result = Result.model_validate_json((folder / "claims.json").read_bytes())
    assert (folder / "claims.md").read_text("utf-8").strip() in printed.out
    assert sum(len(kind.accuracies) for kind in result.networks) == networks
    for figure in result.figures:
        page = (folder / f"{figure}.html").read_text("utf-8")
        assert re.findall(r'<script[^>]* src="([^"]*)"', page) == ["plotly.min.js"]  # it needs no network
        assert (folder / "plotly.min.js").stat().st_size > 1_000_000
        with Image.open(folder / f"{figure}.png") as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 50
    assert command.main([name, "--scale", "small", "--out", str(tmp_path)]) == 0
    assert "left" not in capsys.readouterr().err  # all is there already


def test_handcrafted_holds(tmp_path):
    assert command.main(["handcrafted", "--scale", "small", "--out", str(tmp_path)]) == 0
    result = Result.model_validate_json((tmp_path / "small" / "handcrafted" / "claims.json").read_bytes())
    assert [claim.verdict.value for claim in result.claims] == ["holds", "holds"]


def test_the_page_shows_what_was_measured(tmp_path):
    command.main(["handcrafted", "--scale", "small", "--out", str(tmp_path)])
    assert command.main(["page", "--out", str(tmp_path), "--docs", str(tmp_path / "docs")]) == 0
    page = (tmp_path / "docs" / "thesis.md").read_text("utf-8")
    assert "python -m experiments handcrafted --scale small" in page
    assert TITLES["handcrafted"] in page
    assert TITLES["width"] not in page
    assert (tmp_path / "docs" / "thesis" / "small-figure-6.png").exists()
    assert "(thesis/small-figure-6.png)" in page


def test_no_page_is_written_of_nothing(tmp_path, capsys):
    (tmp_path / "thesis.md").write_text("claims")
    assert command.main(["page", "--out", str(tmp_path / "elsewhere"), "--docs", str(tmp_path)]) == 1
    assert "no experiment has left its claims in" in capsys.readouterr().err
    assert (tmp_path / "thesis.md").read_text() == "claims"


def test_the_full_scale_needs_data(capsys, tmp_path):
    assert command.main(["symmetry", "--out", str(tmp_path)]) == 2
    assert "symmetry needs --data DIR" in capsys.readouterr().err
    assert command.main(["symmetry", "--data", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "Put its files into" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert command.main(["handcrafted", "--out", str(tmp_path / "file")]) == 1
    assert "choose another by --out" in capsys.readouterr().err


@pytest.mark.usefixtures("short")
def test_the_small_scale_takes_images_of_ones_own(tmp_path):
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 256, (200, 28, 28), np.uint8), random.integers(0, 10, 200).tolist()
    write_mnist(tmp_path / "data", (pixels, labels), (pixels[:80], labels[:80]))
    arguments = ["symmetry", "--scale", "small", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert command.main(arguments) == 0
    result = json.loads((tmp_path / "out" / "small" / "symmetry" / "claims.json").read_text("utf-8"))
    assert result["command"].endswith("--data DIR")
    assert {kind["data"] for kind in result["networks"]} == {"mnist6", "mnist6-rot-inv", "mnist6-rot-eq"}


def test_a_killed_experiment_goes_on(tmp_path):
    arguments = [sys.executable, "-m", "experiments", "symmetry", "--scale", "small", "--out", str(tmp_path)]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    while "epoch 2 of" not in process.stderr.readline():
        assert process.poll() is None
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    process.stderr.close()
    assert len(children) >= 2
    psutil.wait_procs(children, timeout=30)
    assert not any(child.is_running() for child in children)  # or they would train on, beside those that follow
    unfinished = list((tmp_path / "networks").glob("*.unfinished"))
    assert unfinished
    again = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert again.stderr is not None
    name = unfinished[0].stem
    while name not in (line := again.stderr.readline()) or "epoch" not in line:
        assert again.poll() is None
    os.killpg(again.pid, signal.SIGKILL)
    again.wait()
    again.stderr.close()
    assert "epoch 1 of" not in line
