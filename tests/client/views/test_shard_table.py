"""The table of the shards says who measures what, whatever the width, and leaves out no digit of a number."""

import io
import re
import sys

import pytest
from zooaudit.contract import Progress, Sharing
from zooaudit.views import terminal
from zooaudit.views.shard_table import shard_table, transform_ranges
from zooaudit.views.tables import fitted, plain

from tests.client.samples import audit, shard, sharing
from tests.client.views.test_terminal import Terminal

SENTENCE = "3 workers take part; 9 transforms wait; 1,280 forward images were measured again."
TRANSFORMS = [
    "1-12 px, 90°",
    "13, 15, 17, 19, 21, 23 px",
    "14, 16, 18, 20, 22, 24 px",
    "untrained, seed 0: 1-32 px",
]


def test_each_shard_has_its_transforms_worker_and_progress():
    lines = plain([shard_table(sharing())]).splitlines()
    assert lines[0] == SENTENCE
    assert [re.split("  +", line) for line in lines[1:]] == [
        ["Transforms", "Worker", "Device", "State", "Forward images"],
        ["1-12 px, 90°", "gpu-a:4242", "NVIDIA H100", "measuring", "640 of 72,000"],
        ["13, 15, 17, 19, 21, 23 px", "gpu-b:17", "NVIDIA H100", "done", "72,000 of 72,000"],
        ["14, 16, 18, 20, 22, 24 px", "gpu-b:17", "NVIDIA H100", "measuring", "0 of 72,000"],
        [
            "untrained, seed 0: 1-32 px",
            "a-machine-with-a-long-name.cluster.example.org:4711",
            "NVIDIA H100",
            "measuring",
            "640 of 1,280",
        ],
    ]


@pytest.mark.parametrize(
    ("shared", "text"),
    [
        (sharing(shard(), workers=1, waiting=0, repeated=0), "Measured by gpu-a:4242 on NVIDIA H100."),
        (Sharing(shards=(), workers=0, waiting=35, repeated=0), "0 workers take part; 35 transforms wait."),
    ],
)
def test_what_needs_no_table_is_a_line(shared, text):
    assert plain([shard_table(shared)]) == text
    out = Terminal()
    terminal.print_tables([shard_table(shared)], out)
    assert re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()) == f"{text}\n"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"workers": 1, "waiting": 1, "repeated": 0}, "1 worker takes part; 1 transform waits."),
        ({"workers": 1, "waiting": 0, "repeated": 1}, "1 worker takes part; 0 transforms wait; 1 forward image was "),
        ({"workers": 2, "waiting": 0, "repeated": 0}, "2 workers take part; 0 transforms wait."),
    ],
)
def test_one_shard_of_several_keeps_its_table(changes, sentence):
    lines = plain([shard_table(sharing(shard(), **changes))]).splitlines()
    assert lines[0].startswith(sentence)
    assert lines[2].split() == ["90°", "gpu-a:4242", "NVIDIA", "H100", "measuring", "640", "of", "72,000"]


@pytest.mark.parametrize(
    ("transforms", "text"),
    [
        (["90°", "180°", "270°"], "90°, 180°, 270°"),
        (["32 px", "3 px", "1 px", "2 px"], "1-3, 32 px"),
        (["1 px crop", "1 px zero", "2 px crop", "2 px zero", "3 px zero", "90°"], "1, 2 px crop, 1-3 px zero, 90°"),
        (["mirrored", "1 px", "1 px", "5 pixels", "99999 px"], "mirrored, 1 px, 5 pixels, 99999 px"),
        (
            ["warp by 30°", "warp by 0.5 px", "warp by 22.5°", "shear -0.1", "shear 0.1", "scale 0.9"],
            "warp by 22.5°, 30°, warp by 0.5 px, shear −0.1, 0.1, scale 0.9",
        ),
        ([f"warp by {angle}°" for angle in range(-160, 180, 20)], "warp by −160 to 160° (17)"),
        (
            ["scale --", "deformation by 0.5, 1 px", "local error", "variance over warp_shear"],
            "scale --, deformation by 0.5, 1 px, local error, variance over warp shear",
        ),
        ([], ""),
    ],
)
def test_transforms_are_joined_by_kind(transforms, text):
    assert transform_ranges(transforms) == text


@pytest.mark.parametrize("has_rich", [True, False])
@pytest.mark.parametrize("columns", [52, 80, 120, 200])
def test_a_terminal_shows_who_has_what_and_every_number(monkeypatch, has_rich, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    if not has_rich:
        monkeypatch.setitem(sys.modules, "rich", None)
    out = Terminal()
    terminal.print_tables([shard_table(sharing())], out)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert max(map(len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    assert text.startswith(SENTENCE)
    for word in ("640 of 72,000", "72,000 of 72,000", " 0 of 72,000", "640 of 1,280", "gpu-a:4242", ".org:4711"):
        assert word in text
    head = next(place for place, line in enumerate(lines) if "Worker" in line)
    first_column = [line[: lines[head].index("Worker")].strip(" ─") for line in lines[head:]]
    assert " ".join(filter(None, first_column)) == " ".join(["Transforms", *TRANSFORMS])
    assert ("NVIDIA" in text, "done" in text) == (columns >= 120, columns >= 80)


def test_a_terminal_that_is_too_narrow_for_any_table_cuts_nothing(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert fitted(shard_table(sharing()), 40) is None
    out = Terminal()
    terminal.print_tables([shard_table(sharing())], out)
    lines = out.getvalue().splitlines()[-4:]
    assert [line.split("  ")[0] for line in lines] == TRANSFORMS
    assert re.split("  +", lines[1])[1:] == ["gpu-b:17", "NVIDIA H100", "done", "72,000 of 72,000"]


def test_a_terminal_obeys_nothing_that_a_worker_is_called():
    out = Terminal()
    terminal.print_tables([shard_table(sharing(shard(["\x1b[2J"], "\x1b[31mx", device="\x07")))], out)
    alone = sharing(shard(worker="\x1b[2J", device="\x07"), workers=1, waiting=0, repeated=0)
    terminal.print_tables([shard_table(alone)], out)
    assert "\x1b[2J" not in out.getvalue()
    assert "\x1b[31mx" not in out.getvalue()
    assert "\x07" not in out.getvalue()


SHARED = audit("running", phase="measuring", done=640, total=2560, eta_s=40).model_copy(update={"sharing": sharing()})


def test_the_line_of_progress_names_the_workers_if_there_are_several():
    out = io.StringIO()
    with terminal.progress(out) as show:
        show(SHARED)
        show(SHARED.model_copy(update={"sharing": sharing(workers=1), "progress": Progress(phase="storing")}))
    assert out.getvalue().splitlines() == [
        "timm/resnet18.a1_in1k: measuring 640/2560 forward images (25 %), 40 s left, on 3 workers",
        "timm/resnet18.a1_in1k: storing",
    ]


@pytest.mark.parametrize(("columns", "has_room"), [(70, False), (83, False), (84, True), (120, True)])
def test_the_bar_names_the_workers_if_it_has_room_for_the_whole_number(monkeypatch, columns, has_room):
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    with terminal.progress(out) as show:
        show(SHARED)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    text = "measuring 640/2560 forward images (25 %), 40 s left"
    assert re.search(f"━━━ {re.escape(text)}(, on 3 workers)?\\s*$", shown)[1] == (
        ", on 3 workers" if has_room else None
    )


def test_a_notebook_shows_the_shards_as_text():
    shown = audit("running").model_copy(update={"sharing": sharing(shard(worker="<b>x</b>"))})._repr_html_()
    assert SENTENCE in shown
    assert '<td style="text-align: left">&lt;b&gt;x&lt;/b&gt;</td>' in shown
    assert "<b>" not in shown
