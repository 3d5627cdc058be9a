"""Networks of known answers get them, and a wrong pipeline shows."""

from typing import Any

import pytest
import torch

from worker import calibrate
from worker.calibrate import NETWORKS, audit, blur_against_max, deviations
from worker.measure.transforms import Alignment


@pytest.mark.parametrize("known", NETWORKS, ids=lambda known: known.name)
def test_every_network_scores_what_theory_says(known: calibrate.Known) -> None:
    assert deviations(known, audit(known)) == []


def test_a_blur_before_subsampling_keeps_more_than_max_pooling() -> None:
    largest, blurred = blur_against_max()
    assert largest < blurred - 0.1


def test_turning_a_map_the_wrong_way_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: Alignment, b: torch.Tensor) -> torch.Tensor:
        rows, columns = self.offset
        return torch.rot90(b[:, rows:, columns:], self.quarters, (1, 2))

    monkeypatch.setattr(Alignment, "of_transformed", wrong)
    with pytest.raises(SystemExit, match="gaussian-kernels: 0 at 90"):
        calibrate.check()


def test_a_shift_by_one_cell_too_many_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: Alignment, b: torch.Tensor) -> torch.Tensor:
        rows, columns = self.offset
        turned = torch.roll(b, (-rows - 1, -columns), (1, 2)) if self.roll else b
        return torch.rot90(turned, -self.quarters, (1, 2))

    monkeypatch.setattr(Alignment, "of_transformed", wrong)
    with pytest.raises(SystemExit, match="circular-convolutions"):
        calibrate.check()


def test_a_worker_that_measures_wrong_takes_no_audit(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from worker import __main__
    from worker.queue import worker

    taken: list[str] = []
    monkeypatch.setattr(worker, "work", lambda *_arguments: taken.append("job") or True)
    monkeypatch.setenv("ZOOAUDIT_STORE", str(tmp_path))
    monkeypatch.setattr(calibrate, "check", lambda _device: exit(1))
    assert __main__.main([]) == 1
    assert taken == []


def test_the_command_prints_the_table_and_fails_on_a_deviation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate.main(["--quick"]) == 0
    assert "all as theory says" in capsys.readouterr().out
    monkeypatch.setattr(calibrate, "deviations", lambda _known, _report: ["0 at 90: channel 0.5"])
    assert calibrate.main(["--quick"]) == 1
    assert "WRONG: 0 at 90: channel 0.5" in capsys.readouterr().out
