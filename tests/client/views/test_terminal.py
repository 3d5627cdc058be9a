"""Tables and progress are aligned lines in a pipe and drawn on a terminal, which obeys nothing that a service sent."""

import io
import re
import sys

import pytest
from zooaudit import Audit
from zooaudit.contract import QueuePosition
from zooaudit.views import terminal
from zooaudit.views.audit_tables import audit_table, audits_table
from zooaudit.views.comparison_tables import comparison_tables
from zooaudit.views.tables import Table
from zooaudit.views.text import duration, printable, state

from tests.client.samples import audit, comparison, report


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_report_in_a_pipe():
    out = io.StringIO()
    terminal.print_report(report(), out)
    in_words, _, table = out.getvalue().partition("\n\n")
    assert in_words.splitlines()[0].endswith(" in words")
    assert in_words.splitlines()[1].startswith("When the image is shifted, its features move with it at every depth")
    lines = table.splitlines()
    assert lines[0] == "timm/resnet18.a1_in1k (pretrained weights)"
    assert lines[1].split("  ")[0] == "Part"
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:7]}
    assert list(rows) == ["Early", "Middle", "Late", "Pool", "Final"]
    assert all(row == ["3", "0.910", "0.950", "0.310", "0.520"] for row in rows.values())
    assert lines[7] == (
        "8 images of synthetic, seed 0; shifts 1 px, rotations 90 deg; correlation, border crop, float32"
    )


def test_a_report_says_when_its_weights_are_untrained():
    out = io.StringIO()
    terminal.print_report(report("untrained"), out)
    assert "(UNTRAINED weights: the architecture's own equivariance)" in out.getvalue()


def test_a_score_that_cannot_be_measured_has_its_reason():
    out = io.StringIO()
    terminal.print_report(report(final_reason="no classifier"), out)
    assert "Final" in out.getvalue()
    assert "No score for Final under translation and Final under rotation" in out.getvalue()
    assert out.getvalue().partition("\n\n")[2].splitlines()[6].split() == ["Final", "0", "–", "–", "–", "–"]
    assert out.getvalue().splitlines()[-1] == "Final: no classifier"


def test_a_report_on_a_terminal():
    out = Terminal()
    terminal.print_report(report("untrained"), out)
    assert "UNTRAINED" in out.getvalue()
    assert "0.910" in out.getvalue()
    assert "─" in out.getvalue()


def test_a_table_too_wide_for_the_terminal_is_not_broken_up(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    out = Terminal()
    terminal.print_tables([Table(["Id", "Model"], [["0" * 32, "timm/resnet18.a1_in1k"]])], out)
    assert out.getvalue().splitlines()[1] == f"{'0' * 32}  timm/resnet18.a1_in1k"


@pytest.mark.parametrize("has_rich", [True, False])
@pytest.mark.parametrize("columns", [80, 200])
def test_a_terminal_shows_as_much_as_it_has_room_for(monkeypatch, has_rich, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    if not has_rich:
        monkeypatch.setitem(sys.modules, "rich", None)
    out = Terminal()
    terminal.print_tables(comparison_tables(comparison()), out)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert max(map(len, lines)) <= columns
    assert ("0.910 ±0.010" in out.getvalue()) is (columns == 200)
    piped = io.StringIO()
    terminal.print_tables(comparison_tables(comparison()), piped)
    assert "0.910 ±0.010" in piped.getvalue()


@pytest.mark.parametrize("out", [io.StringIO(), Terminal()])
def test_a_table_shows_markup_as_text(out):
    terminal.print_tables([Table(["[i]Model"], [["[red]x[/red] <b>"]], title="[bold]t", notes=["[b]n"])], out)
    assert "[red]x[/red] <b>" in out.getvalue()
    assert all(text in out.getvalue() for text in ("[bold]t", "[i]Model", "[b]n"))


def test_control_characters_are_not_printed():
    assert printable("a\x1b[31m\nb") == "a [31m b"


def test_progress_in_a_pipe_is_a_line_now_and_then():
    out = io.StringIO()
    with terminal.progress(out) as show:
        show(audit())
        for done in range(101):
            show(audit("running", phase="measuring", done=done, total=100, eta_s=200 - 2 * done))
        show(audit("succeeded"))
    lines = out.getvalue().splitlines()
    assert len(lines) == 13
    assert lines[0] == "timm/resnet18.a1_in1k: waiting for a worker"
    assert lines[2] == "timm/resnet18.a1_in1k: measuring 10/100 forward images (10 %), 3 min 00 s left"
    assert lines[-1] == "timm/resnet18.a1_in1k: succeeded"


def test_a_wait_in_a_pipe_is_a_line_whenever_half_of_those_before_have_gone():
    out = io.StringIO()
    with terminal.progress(out) as show:
        for position in range(40, 0, -1):
            show(queued(position, 30.0 * position))
        show(audit("running", phase="loading"))
    assert [line.removeprefix("timm/resnet18.a1_in1k: ") for line in out.getvalue().splitlines()] == [
        "40th in the queue, starts in about 20 min",
        "31st in the queue, starts in about 16 min",
        "15th in the queue, starts in about 7 min 30 s",
        "7th in the queue, starts in about 3 min 30 s",
        "3rd in the queue, starts in about 1 min 30 s",
        "next in the queue, starts in about 30 s",
        "loading",
    ]


def test_a_queued_audit_tells_no_more_than_is_known():
    assert state(queued(2, None)) == "2nd in the queue"
    assert state(queued(1, None)) == state(queued(1, 0.0)) == state(audit()) == "waiting for a worker"
    assert audits_table([queued(12, 5.0), audit()]).rows[0][1] == "queued 12th"
    table = audit_table(queued(2, 60.0, priority="high"))
    assert ("Status", "2nd in the queue, starts in about 1 min") in table.rows
    assert ("Priority", "high") in table.rows
    assert "Priority" not in dict(audit_table(audit()).rows)


def queued(position: int, starts_in_s: float | None, priority: str = "normal") -> Audit:
    waiting = audit()
    request = waiting.request.model_copy(update={"priority": priority})
    queue = QueuePosition(position=position, starts_in_s=starts_in_s)
    return waiting.model_copy(update={"queue": queue, "request": request})


def test_progress_on_a_terminal_is_a_bar(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = Terminal()
    with terminal.progress(out) as show:
        show(audit())
        show(audit("running", phase="measuring", done=50, total=100, eta_s=7))
    assert "measuring 50/100 forward images (50 %), 7 s left" in out.getvalue()
    assert "━" in out.getvalue()


def test_a_download_is_counted_in_megabytes():
    now = audit("running", phase="downloading", done=12_000_000, total=48_000_000, unit="bytes")
    assert state(now) == "downloading 12/48 MB (25 %)"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
