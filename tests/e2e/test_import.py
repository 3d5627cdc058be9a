"""What ``python -m worker.cli`` has measured joins a service by ``zooaudit import``."""

import json
import subprocess
import sys

import pytest
from zooaudit import AuditClient
from zooaudit.cli import main

MODULE = """
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
"""
REQUEST = {"model": "any", "dataset": "synthetic", "num_images": 3, "translations_px": [1], "rotations_deg": [90]}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The file that the command line of the worker writes about a module of the user's own."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "mynets.py").write_text(MODULE)
    (folder / "request.json").write_text(json.dumps(REQUEST))
    ran = subprocess.run(
        [sys.executable, "-m", "worker.cli", "request.json", "--quiet", "--module=mynets:small", "--input-size=32"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    path = folder / "report.json"
    path.write_text(ran.stdout)
    return path


def test_a_report_of_the_workers_command_line_joins_the_service(stack, written, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZOOAUDIT_URL", stack.url)
    content = written.read_text()
    identifier = json.loads(content)["id"]
    by_hand = tmp_path / "by-hand.json"
    body = json.loads(content)
    body["parts"]["Late"]["translation"]["channel"] = 0.999
    by_hand.write_text(json.dumps(body))
    assert main(["import", str(by_hand)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{by_hand}: The report was changed after it was measured")

    missing = tmp_path / "missing.json"
    assert main(["import", str(written), str(missing)]) == 2  # nothing is sent before all files are read
    assert capsys.readouterr().err == f"{missing} is not a report: No such file or directory.\n"
    with AuditClient(stack.url) as client:
        assert [audit.id for audit in client.audits(model="mynets")] == []
        for _ in range(2):
            assert main(["import", str(written)]) == 0
            assert capsys.readouterr().out == f"{identifier}  module/mynets.small (checkpoint:mynets.small)\n"
        audit = client.status(identifier)
        assert (audit.status, audit.imported is None) == ("succeeded", False)
        assert client._http.get(f"/audit/{identifier}/report").text == content
        assert [audit.id for audit in client.audits(model="mynets")] == [identifier]
    assert main(["import", str(by_hand), str(written)]) == 2  # the good one joins nevertheless
    assert main(["status", identifier]) == 0
    assert "imported" in capsys.readouterr().out
    saved = tmp_path / "saved.json"
    assert main(["report", identifier, "--output", str(saved)]) == 0
    assert main(["import", "--json", str(saved)]) == 0
