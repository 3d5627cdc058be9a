"""The benchmarks of shared audits, at sizes that take seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import faults, scaling
from tests.e2e.stand_in import STEPS, expected
from tests.e2e.test_sharing import scores


def test_two_real_workers_give_the_report_of_one(tmp_path: Path) -> None:
    out = tmp_path / "real.json"
    # A program of its own: the benchmark forks, which a process with torch's threads must not do.
    program = "import sys; from benchmarks import scaling; scaling.SHIFTS = (1, 2, 32); sys.exit(scaling.main())"
    options = ["--out", str(out), "real", "--model", "timm/test_resnet.r160_in1k", "--images", "8"]
    ran = subprocess.run(
        [sys.executable, "-c", program, *options], capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "the reports are equal" in ran.stdout
    assert "1 x 1 thread" in ran.stdout
    written = json.loads(out.read_text())["real"]
    assert written["equal"]
    assert written["ratio"] == written["seconds"][0] / written["seconds"][1]
    assert written["timings"][0]["forward_images"] == 8 * 7


def test_a_simulation_has_a_row_for_each_crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "simulated.json"
    options = ["simulated", "--workers", "1", "2", "--audits", "2", "--view-s", "0.05"]
    monkeypatch.setattr(sys, "argv", ["scaling", "--out", str(out), *options])
    monkeypatch.setattr(scaling, "IDLE_FOR_S", 1.0)
    assert scaling.main() == 0
    rows = json.loads(out.read_text())["simulated"]
    assert [(row["workers"], row["audits"]) for row in rows] == [(1, 1), (2, 1), (2, 2)]
    alone, _, both = rows
    assert alone["speedup"] == alone["efficiency"] == 1
    assert alone["possible_s"] == pytest.approx(36 * 0.05)
    assert both["possible_s"] == alone["possible_s"]
    for row in rows:
        assert row["commands_per_audit"] > 0
        assert row["idle"] > 0
        # Nobody sleeps for longer than there was time to.
        assert 0 < row["busy"] <= 1
        assert row["possible_s"] < row["makespan_s"]


def test_a_sweep_loses_nothing_and_measures_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "sweep.json"
    monkeypatch.setattr(sys, "argv", ["scaling", "--out", str(out), "sweep", "--workers", "2", "--audits", "6"])
    assert scaling.main() == 0
    written = json.loads(out.read_text())["sweep"]
    assert (written["lost"], written["measured_twice"]) == (0, 0)


def test_faults_change_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "IMAGE_S", 0.004)
    result = faults.break_a_stack(tmp_path / "stack", seed=0, audits=6, workers=2, every_s=1.0)
    # Of so few audits, a single fault repeats too great a share.
    assert [wrong for wrong in result["wrong"] if "was repeated" not in wrong] == []
    assert result["history"]
    assert result["measured"]["forward_images"] > 0


def test_a_schedule_follows_from_its_seed() -> None:
    def first(seed: int) -> list[faults.Fault]:
        drawn = faults.faults(seed, 4, 10.0)
        return [next(drawn) for _ in range(20)]

    assert first(1) == first(1) != first(2)
    assert list(faults.requests(1, 5)) == list(faults.requests(1, 5)) != list(faults.requests(2, 5))


def test_what_a_report_must_say_depends_on_its_request() -> None:
    request, other = faults.requests(0, 2)
    assert expected(request).blocks == expected(request).blocks
    assert scores(expected(request))[:2] != scores(expected(other))[:2]
    assert not any(asked.num_images % STEPS for asked in faults.requests(0, 50))
