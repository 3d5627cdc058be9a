"""The progress of an experiment where there is no terminal."""

import io

from experiments.progress import steps


def test_each_step_is_a_line_with_the_time_that_is_left():
    out = io.StringIO()
    with steps("width", 200.0, out) as shown:
        shown.begin("first")
        shown.add(100.0)
        shown.begin("second")
        shown.add(100.0)
        shown.begin("third")
    lines = out.getvalue().splitlines()
    assert lines[0] == "width   0%: first"
    assert lines[1].startswith("width  50%, about 0:00:0")
    assert lines[1].endswith(" left: second")
    assert lines[2].startswith("width 100%, about 0:00:00 left: third")
