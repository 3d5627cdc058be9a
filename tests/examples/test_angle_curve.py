"""The table of angle curves shows the report's numbers, each beside its angle, and folds them about quarter turns."""

from dataclasses import replace

import pytest
from zooaudit.contract import Report, Warps

from examples import angle_curve
from examples.angle_curve import PARTS, main, rows_of, table, trained_report
from worker import calibrate

ANGLES = (-130, -100, -90, -80, -10, 0, 40, 80, 90, 100, 140, 180)


def asked(*angles: float) -> dict[str, object]:
    return {"translations_px": (), "rotations_deg": (), "warps": (Warps(kind="rotation", amounts=angles),)}


@pytest.fixture(scope="module")
def report() -> Report:
    [known] = [known for known in calibrate.NETWORKS if known.name == "plain-blurred-filters"]
    return calibrate.audit(replace(known, request=asked(*ANGLES)))


def test_a_table_has_the_scores_by_angle(report: Report) -> None:
    header, *lines = table("plain", report).splitlines()
    assert header.split() == ["plain", "Early", "interp.", "Middle", "interp.", "Late", "interp."]
    angles = [0, 40, 80, 90, 100, 140, 180, 230, 260, 270, 280, 350]
    assert [int(line.split()[0]) for line in lines[: len(angles)]] == angles
    late = report.parts["Late"].warp_rotation
    assert late is not None
    for line in lines[: len(angles)]:
        angle, *values = map(float, line.split())
        [row] = [row for row in late.by_transform if row.amount % 360 == angle]
        assert values[4:] == pytest.approx([row.channel, row.interpolation], abs=5e-4)


def test_the_curve_is_folded_about_the_quarter_turns_but_0(report: Report) -> None:
    lines = table("plain", report).splitlines()
    folded = [line.split() for line in lines[lines.index("off 90, 180, 270 by:") + 1 :]]
    assert [line[0] for line in folded] == ["0", "10", "40"]
    early = rows_of(report, "Early")
    for line, angles in zip(folded, [(90, 180, 270), (80, 100, 260, 280), (140, 230)], strict=True):
        channels = [early[angle].channel or 0 for angle in angles]
        assert float(line[1]) == pytest.approx(sum(channels) / len(channels), abs=5e-4)


def test_the_trained_network_turns_worse_than_interpolation_would_explain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(angle_curve, "EVERY_TENTH_DEGREE", asked(0, 40))
    trained = trained_report(1, photographs=False)
    for part in PARTS:
        unturned, turned = rows_of(trained, part).values()
        assert unturned.channel == pytest.approx(1, abs=1e-5)
        assert turned.channel is not None
        assert turned.interpolation is not None
        assert turned.channel < turned.interpolation - 0.1


def test_without_the_weights_the_networks_of_known_answer_are_shown(
    report: Report, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(num_images: int, photographs: bool) -> Report:
        raise ModuleNotFoundError(f"no weights for {num_images} images, photographs: {photographs}")

    monkeypatch.setattr(angle_curve, "known_reports", lambda: {"harmonic": report})
    monkeypatch.setattr(angle_curve, "trained_report", missing)
    assert main(["--images", "3", "--photographs"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == table("harmonic", report)
    assert printed.err.strip() == "no weights for 3 images, photographs: True"
