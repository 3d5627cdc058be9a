"""Both clients and the command line ask for warps and other measures, and send them as the service takes them."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest
from zooaudit import AuditClient, InvalidRequest, Leaderboard
from zooaudit.cli import make_parser
from zooaudit.cli.commands import _options
from zooaudit.contract import (
    AuditRequest,
    BatchAnswer,
    BatchAnswers,
    Deformations,
    MeasuredMethod,
    Warps,
    leaderboard_row,
    summary_of,
)
from zooaudit.options import request_from
from zooaudit.views.leaderboard_table import leaderboard_table
from zooaudit.views.tables import plain

from tests.client.samples import CLIENTS, ID, Script, answer, audit, cost, got, warped_report

MODEL = "timm/resnet18.a1_in1k"
ASKED: dict[str, Any] = {
    "warps": [{"kind": "rotation", "amounts": [15.0, 22.5]}, {"kind": "translation", "amounts": [0.5]}],
    "deformation": {"displacements_px": [0.5, 1.0], "cutoff": 5},
    "local": True,
    "consistency_draws": 5,
    "variance": True,
}
"""What the service is sent, however it is written."""


@pytest.mark.parametrize(
    "options",
    [
        ASKED,
        ASKED | {"warps": {"translation": [0.5], "rotation": (22.5, 15)}},
        ASKED
        | {"warps": iter([Warps(kind="translation", amounts=(0.5,)), Warps(kind="rotation", amounts=(15, 22.5))])},
        ASKED | {"deformation": {"displacements_px": iter([1, 0.5]), "cutoff": 5}},
        ASKED | {"deformation": Deformations(displacements_px=(0.5, 1), cutoff=5)},
    ],
)
def test_they_may_be_written_in_several_ways(options: Any):
    request = request_from(MODEL, options)
    assert {name: value for name, value in request.model_dump(mode="json").items() if name in ASKED} == ASKED
    assert request_from(MODEL, {"deformation": {}}).deformation == Deformations()
    assert request_from(MODEL, {"warps": {}}) == AuditRequest(model=MODEL)


@pytest.mark.parametrize("client_type", CLIENTS)
async def test_both_clients_send_them(client_type):
    script = Script(answer(audit()))
    client = client_type("http://service.test", transport=script)
    await got(client.submit(MODEL, **(ASKED | {"warps": {"rotation": [15, 22.5], "translation": [0.5]}})))
    body = json.loads(script.requests[0].content)
    assert {name: body[name] for name in ASKED} == ASKED


@pytest.mark.parametrize("client_type", CLIENTS)
async def test_a_mistake_is_found_before_anything_is_sent(client_type):
    client = client_type("http://service.test", transport=Script(answer(audit())))
    for options, field in (
        ({"warps": {"rotation": [181]}}, "warps.0"),
        ({"warps": {"twist": [1]}}, "warps.0.kind"),
        ({"deformation": {"displacements_px": [0]}}, "deformation.displacements_px.0"),
        ({"local": 1}, "local"),
        ({"consistency_draws": 101}, "consistency_draws"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await got(client.submit(MODEL, **options))
        assert next(error.field for error in caught.value.problem.errors or ()) == field


@pytest.mark.parametrize("command", ["audit", "sweep"])
def test_the_command_line_takes_them(command: str):
    given = "--warps", "rotation:22.5,15 translation:0.5", "--deformation", "1,.5:5", "--local"
    args = make_parser().parse_args([command, MODEL, *given, "--consistency-draws", "5", "--variance"])
    assert request_from(MODEL, _options(args)) == AuditRequest.model_validate({"model": MODEL, **ASKED})
    args = make_parser().parse_args([command, MODEL, "--deformation"])
    assert request_from(MODEL, _options(args)).deformation == Deformations()
    args = make_parser().parse_args([command, MODEL, "--deformation", "none", "--warps", "none"])
    assert request_from(MODEL, _options(args)) == AuditRequest(model=MODEL)
    assert not set(ASKED) & set(_options(make_parser().parse_args([command, MODEL])))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--warps", "15,30"], "'15,30' is not like rotation:15,30 translation:0.5 or none"),
        (["--warps", "scale:2"], "the amounts of scale are from 0.8 to 1.25"),
        (["--deformation", "timm/resnet18"], "'timm/resnet18' is not a list of numbers such as 0.5,1,2"),
        (["--consistency-draws", "many"], "'many' is not a whole number"),
    ],
)
def test_a_mistake_on_the_command_line_is_a_sentence(given: list[str], says: str):
    with redirect_stderr(io.StringIO()) as errors, pytest.raises(SystemExit) as caught:
        make_parser().parse_args(["audit", MODEL, *given])
    assert caught.value.code == 2
    assert says in errors.getvalue()
    assert len(errors.getvalue().splitlines()) == 1


def test_the_cost_tells_how_much_of_it_is_for_other_measures():
    request = AuditRequest(model=MODEL, num_images=100, local=True, consistency_draws=5)
    first, *_ = str(cost(request=request)).splitlines()
    assert "72,000 forward images, 2,100 of them for other measures, " in first
    assert "other measures" not in str(cost())


def warped_board() -> Leaderboard:
    method = summary_of(warped_report()).method
    return Leaderboard(
        method=method,
        methods=(MeasuredMethod(method=method, models=1),),
        rows=(leaderboard_row(warped_report()),),
        total=1,
        families={"resnet": 1},
        pending=0,
        unreadable=0,
    )


@pytest.mark.parametrize("client_type", CLIENTS)
async def test_a_leaderboard_is_chosen_by_them(client_type):
    for options in (
        {"warps": {"rotation": [22.5, 15]}, "deformation": {"displacements_px": [1, 0.5]}},
        {"warps": "rotation:15,22.5", "deformation": Deformations(displacements_px=(0.5, 1))},
        {"warps": [Warps(kind="rotation", amounts=(15, 22.5))], "deformation": "0.5,1"},
    ):
        script = Script(answer(warped_board()))
        client = client_type("http://service.test", transport=script)
        shown = await got(client.leaderboard(local=True, variance=False, consistency_draws=5, **options))
        assert dict(script.requests[0].url.params) == {
            "warps": "rotation:15,22.5",
            "deformation": "0.5,1",
            "local": "true",
            "variance": "false",
            "consistency_draws": "5",
        }
        assert shown == warped_board()


def test_a_leaderboard_shows_the_measure_that_it_is_sorted_by():
    script = Script(answer(warped_board()))
    args = make_parser().parse_args(["leaderboard", "--sort", "local_error.Late.shear", "--warps", "none", "--local"])
    client = AuditClient("http://service.test", transport=script)
    with redirect_stdout(io.StringIO()) as out:
        assert args.run(client, args) == 0
    late = warped_report().parts["Late"].second_opinion
    assert late
    head, row = out.getvalue().splitlines()[1:3]
    assert "Local error Late shear" in head
    assert f"{late.local_error['shear'].value:.3f}" in row
    assert dict(script.requests[0].url.params) == {
        "sort": "-local_error.Late.shear",
        "limit": "20",
        "warps": "none",
        "local": "true",
    }


@pytest.mark.parametrize(
    ("column", "head"), [("deformation.Late.ratio", "Deformation Late ratio"), ("consistency", "Consistency")]
)
def test_a_leaderboard_shows_the_ratio_and_the_consistency_that_it_is_sorted_by(column: str, head: str):
    board = warped_board()
    args = make_parser().parse_args(["leaderboard", "--sort", column])
    client = AuditClient("http://service.test", transport=Script(answer(board)))
    with redirect_stdout(io.StringIO()) as out:
        assert args.run(client, args) == 0
    late, consistency = board.rows[0].parts["Late"].second_opinion, board.rows[0].consistency
    assert late
    assert consistency
    ratios = [row.ratio or 0 for row in late.deformation]
    value = consistency.value if column == "consistency" else sum(ratios) / len(ratios)
    heads, row = out.getvalue().splitlines()[1:3]
    assert head in heads
    assert f" {value:.3f} " in row
    assert head not in plain([leaderboard_table(board)])


def test_a_leaderboard_has_warps_beside_the_other_transforms():
    board = warped_board()
    text = plain([leaderboard_table(board)])
    assert "Warp rot. Late" in text
    frame = Leaderboard.to_dataframe(board)
    assert set(board.method.transforms if board.method else ()) <= set(frame["kind"])
    (row,) = frame.query("measure == 'consistency'").to_dict("records")
    assert board.rows[0].consistency
    assert row["value"] == board.rows[0].consistency.value


def sorted_by(column: str, *more: str, board: Leaderboard | None = None) -> tuple[str, str]:
    """Return what the command line writes on its two streams of a leaderboard sorted by ``column``."""
    args = make_parser().parse_args(["leaderboard", "--sort", column, *more])
    client = AuditClient("http://service.test", transport=Script(answer(board or warped_board())))
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as errors:
        assert args.run(client, args) == 0
    return out.getvalue(), errors.getvalue()


def test_a_leaderboard_that_no_row_has_the_column_of_says_so():
    column = "warp_scale.Late.channel"
    board = warped_board()
    late = board.rows[0].parts["Late"].model_copy(update={"warp_scale": None})
    rows = tuple(row.model_copy(update={"parts": {**row.parts, "Late": late}}) for row in board.rows)
    without = board.model_copy(update={"rows": rows})
    for more in ([], ["--json"]):
        out, errors = sorted_by(column, *more, board=without)
        assert errors == f"No model here has a {column}: the rows are not sorted by it.\n"
        assert "resnet18" in out
    for column in ("warp_scale.Late.channel", "consistency", "model", "parameters"):
        assert sorted_by(column)[1] == ""


@pytest.mark.parametrize("command", ["audit", "leaderboard"])
def test_the_help_tells_how_deformations_and_reflections_are_written(command: str):
    with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit):
        make_parser().parse_args([command, "--help"])
    text = " ".join(out.getvalue().split())
    assert "--deformation PX,...[:CUTOFF]" in text or "--deformation [PX,...[:CUTOFF]]" in text
    assert "4:5" in text or "1,2:5" in text
    assert "--reflections LIST" in text


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ({"reflections": "horizontal"}, {"reflections": ["horizontal"]}),
        ({"translations_px": 8}, {"translations_px": [8]}),
        ({"rotations_deg": 90}, {"rotations_deg": [90]}),
        ({"warps": {"rotation": 15}}, {"warps": {"rotation": [15]}}),
        ({"warps": Warps(kind="rotation", amounts=(15,))}, {"warps": {"rotation": [15]}}),
        ({"deformation": {"displacements_px": 0.5}}, {"deformation": {"displacements_px": [0.5]}}),
    ],
)
def test_the_only_one_of_several_needs_no_list(one: Any, many: Any):
    assert request_from(MODEL, one) == request_from(MODEL, many)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"deformation": [1]}, 'deformation: give {"displacements_px": [0.5, 1, 2, 4], "cutoff": 3} or the like'),
        ({"deformation": "1,2"}, 'deformation: give {"displacements_px"'),
        ({"warps": "rotation:15"}, 'warps: give amounts by kind, such as {"rotation": [15, 30]}'),
        ({"warps": 15}, "warps: give amounts by kind"),
        ({"warps": {"rotation": "15"}}, "warps.0.amounts.0: Input should be a number"),
        ({"warps": {"rotation": range(36, 73)}}, "warps.0.amounts: give at most 36, not 37"),
        ({"reflections": "diagonal"}, "reflections.0: Input should be 'horizontal' or 'vertical'"),
        ({"translations_px": "1-8"}, "translations_px.0: Input should be a whole number"),
        ({"deformation": {"cutoff": "35"}}, "deformation.cutoff: Input should be a whole number"),
    ],
)
@pytest.mark.parametrize("client_type", CLIENTS)
async def test_what_is_neither_is_refused_in_words(client_type, options: Any, says: str):
    script = Script(answer(audit()))
    with pytest.raises(InvalidRequest) as caught:
        await got(client_type("http://service.test", transport=script).submit(MODEL, **options))
    assert str(caught.value).startswith(f"The request is not valid. {says}")
    assert len(caught.value.problem.errors or ()) == 1
    assert script.requests == []


@pytest.mark.parametrize("options", [{"warps": {"rotation": [181]}}, {"deformation": [1]}])
def test_a_mistake_in_the_method_of_a_leaderboard_is_an_error_of_the_library(options: Any):
    with pytest.raises(InvalidRequest):
        AuditClient("http://service.test", transport=Script(answer(warped_board()))).leaderboard(**options)


@pytest.mark.parametrize("client_type", CLIENTS)
async def test_one_label_and_one_request_are_not_split_up(client_type):
    script = Script(answer(audit()), answer(BatchAnswers(answers=(BatchAnswer(status=202, audit=audit()),))))
    client = client_type("http://service.test", transport=script)
    await got(client.annotate(ID, labels="paper"))
    assert json.loads(script.requests[0].content) == {"labels": ["paper"]}
    assert len(await got(client.submit_all(AuditRequest(model=MODEL)))) == 1
