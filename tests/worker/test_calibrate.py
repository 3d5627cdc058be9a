"""Networks of known answers get them, and a wrong pipeline shows."""

import math
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
import torch
from zooaudit.contract import WARPS, PartName, Report, WarpRow

from worker import calibrate
from worker.calibrate import NETWORKS, audit, deviations
from worker.measure.transforms import Alignment
from worker.measure.warps import Taps


@pytest.mark.parametrize("known", NETWORKS, ids=lambda known: known.name)
def test_every_network_scores_what_theory_says(known: calibrate.Known) -> None:
    assert deviations(known, audit(known)) == []


def named(name: str) -> calibrate.Known:
    [known] = [known for known in NETWORKS if known.name == name]
    return known


def channel_at_odd_shifts(report: Report, block: str) -> list[float]:
    [rows] = [each.translation.by_transform for each in report.blocks if each.name == block]
    return [row.channel for row in rows if row.shift_px % 2]


def test_a_blur_before_subsampling_keeps_more_than_max_pooling() -> None:
    report = audit(named("pools"))
    largest, blurred = (fmean(channel_at_odd_shifts(report, block)) for block in ("1.max", "1.blur"))
    assert largest < blurred - 0.1


def test_on_zhangs_signal_the_blur_raises_the_cosine_from_071_to_095() -> None:
    report = audit(named("pools-of-the-signal"))
    largest, blurred = (channel_at_odd_shifts(report, block) for block in ("0.max", "0.blur"))
    # (0 1) and (1 1); (1/2 1) and (3/4 3/4).
    assert largest == pytest.approx([1 / (1 * math.sqrt(2))] * 3, abs=1e-6)
    assert blurred == pytest.approx([(3 / 8 + 3 / 4) / (math.sqrt(5 / 4) * math.sqrt(9 / 8))] * 3, abs=1e-6)


def test_correlation_has_no_score_where_the_pools_make_a_constant_of_zhangs_signal() -> None:
    known = named("pools-of-the-signal")
    known = replace(
        known,
        request={**known.request, "similarity": "correlation"},
        expect=lambda _block, shift: None if shift % 2 else ((1 - 1e-6, 1.0),) * 2,
    )
    assert deviations(known, audit(known)) == []


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


def test_a_map_that_is_not_warped_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Taps, "of", lambda self, maps: maps[:, : len(self.index)])
    known = named("wide-gaussian-kernels")
    wrong = "\n".join(deviations(known, audit(known)))
    assert all(f"0 at {warp}" in wrong for warp in ("warp by 0.5 px", "warp by 15°", "scale 0.9", "shear 0.2"))


def test_a_report_without_scores_agrees_with_no_theory() -> None:
    known = named("wide-gaussian-kernels")
    assert deviations(known, audit(known).model_copy(update={"blocks": ()})) == ["the report has no scores to check"]


def rows_of(name: str, part: PartName) -> dict[float, WarpRow]:
    """Audit a network; return a part's rows under the one kind of warp that its request has."""
    known = named(name)
    [kind] = [WARPS[each.kind] for each in known.request["warps"]]
    scores = getattr(audit(known).parts[part], kind)
    return {row.amount: row for row in scores.by_transform}


def test_a_blur_before_a_stride_keeps_more_of_small_shifts() -> None:
    bare, blurred = (rows_of(name, "Middle") for name in ("stride-2-between-cells", "blur-and-stride-2"))
    for amount in (0.5, 1, 1.5, 3):
        assert bare[amount].channel < blurred[amount].channel - 0.2
        # It is the network that loses, and not the interpolation of its map.
        assert bare[amount].channel < bare[amount].interpolation - 0.2


def test_the_harmonic_network_loses_no_more_than_interpolation_does() -> None:
    rows = rows_of("harmonic-network", "Late")
    assert len(rows) == 36
    for row in rows.values():
        assert row.channel == pytest.approx(row.interpolation, abs=2e-3)


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
