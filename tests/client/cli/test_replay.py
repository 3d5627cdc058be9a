"""Replays: which reports count as the same, and what the first difference is."""

from pathlib import Path
from typing import Any

import pytest
from zooaudit.cli import main
from zooaudit.cli.replay import compare
from zooaudit.contract import Report, audit_id, request_of
from zooaudit.flows import next_repetition

from tests.client.samples import report, warped_report


def changed(**changes: Any) -> Report:
    """Make the sample report with other values at dotted paths, written with ``__`` for each dot."""
    body = report().model_dump(mode="json")
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = body
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place[key]
        place[last] = value
    return Report.model_validate(body)


def test_a_report_is_identical_to_itself_whatever_ran_it() -> None:
    verdict = compare(report(), changed(id="f" * 32, repetition=3, timing__seconds=99.0, environment__torch="9.9"))
    assert verdict.identical
    assert verdict.equal
    assert verdict.first is None
    assert [str(item) for item in verdict.circumstances] == [
        f"environment.torch: {report().environment.torch} before, 9.9 now"
    ]
    assert str(verdict).startswith("Identical")


def test_rounding_is_equal_and_named() -> None:
    verdict = compare(report(), changed(parts__Late__rotation__layer=0.520004))
    assert not verdict.identical
    assert verdict.equal
    assert "parts.Late.rotation.layer: 0.52 before, 0.520004 now" in str(verdict)


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"parts__Late__rotation__layer": 0.5201}, "parts.Late.rotation.layer: 0.52 before, 0.5201 now"),
        ({"model__weights__sha256": "ef" * 32}, "model.weights.sha256"),
        ({"images__sha256": "ef" * 32}, "images.sha256"),
        ({"parts__Pool__rotation__by_transform__0__layer": None}, "parts.Pool.rotation.by_transform[0].layer"),
        ({"parts__Pool__translation__by_transform": []}, "parts.Pool.translation.by_transform: tuple of 1 before"),
    ],
)
def test_the_first_difference_beyond_rounding_is_named(changes: dict[str, Any], first: str) -> None:
    verdict = compare(report(), changed(parts__Early__translation__channel=0.910001, **changes))
    assert not verdict.equal
    assert str(verdict).startswith("DIFFERENT: " + first)


def test_measures_of_small_changes_may_lose_more_digits() -> None:
    before = warped_report()

    def after(change: float) -> Report:
        body = before.model_dump(mode="json")
        body["blocks"][0]["second_opinion"]["local_error"]["shear"]["value"] *= 1 + change
        return Report.model_validate(body)

    assert compare(before, after(5e-4)).equal
    assert "second opinion by more than 0.001; the first" in str(compare(before, after(5e-4)))
    assert not compare(before, after(2e-3)).equal


def test_repetitions_are_other_audits_of_the_same_question() -> None:
    (first, again), (second, more) = (next(item) for item in [iter(list(_take(2)))] * 2)
    assert again.repetition == 1
    assert more.repetition == 2
    assert len({first, second, audit_id(request_of(report()))}) == 3
    assert again.model_copy(update={"repetition": 0}) == request_of(report())


def _take(count: int) -> list[Any]:
    repetitions = next_repetition(report())
    return [next(repetitions) for _ in range(count)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "Input should be an object."),
        ("{", "Invalid JSON: EOF while parsing an object at line 1 column 1."),
        ('{"id": 1}', "id: Input should be text."),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_is_no_report_gets_one_line(tmp_path: Path, capsys: Any, content: str | None, message: str) -> None:
    file = tmp_path / "report.json"
    if content is not None:
        file.write_text(content)
    assert main(["replay", str(file), "--url", "http://127.0.0.1:9"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{file} is not a report: ")
    assert message in line
